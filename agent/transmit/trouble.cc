// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/trouble.h"

#include <fmt/format.h>

#include <algorithm>

namespace tcptrail::transmit {

Trouble classify(rd_kafka_resp_err_t error) {
    switch (error) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
            return Trouble::missing_topic;
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR__SSL:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
        case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
            return Trouble::forbidden;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
            return Trouble::too_large;
        default:
            return Trouble::passing;
    }
}

std::chrono::milliseconds retry_delay(Trouble trouble, unsigned attempt) {
    struct {
        int64_t first_ms, longest_ms;
    } limits = {100, 10'000};
    if (trouble == Trouble::missing_topic) limits = {1000, 5000};
    if (trouble == Trouble::forbidden) limits = {5000, 60'000};
    // A smaller batch is made for it, so there is nothing to wait for.
    if (trouble == Trouble::too_large) limits = {0, 0};
    return std::chrono::milliseconds(std::min(limits.first_ms << std::min(attempt, 10u), limits.longest_ms));
}

std::string explain(rd_kafka_resp_err_t error, const std::string& topic, const std::string& brokers) {
    switch (error) {
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
            return fmt::format(
                "the brokers do not allow to write to topic {}: grant Write and Describe on it", topic);
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
            return "the brokers do not allow idempotent writes: grant Write on the topics, or "
                   "IdempotentWrite on the cluster";
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
            return fmt::format("the brokers refuse batches of this size for topic {} (max.message.bytes)",
                               topic);
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
            return fmt::format(
                "topic {} does not exist on the brokers; make it with: tcptrail topics create --brokers {}",
                topic, brokers);
        case RD_KAFKA_RESP_ERR__FAIL:
            return fmt::format(
                "topic {}: the brokers did not say where they stored a message: it is sent again", topic);
        default:
            return fmt::format("topic {}: {}", topic, rd_kafka_err2str(error));
    }
}

std::string needed_right(rd_kafka_resp_err_t error, std::string_view right) {
    if (error != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED &&
        error != RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        return {};
    return fmt::format("; grant {} on it", right);
}

}  // namespace tcptrail::transmit
