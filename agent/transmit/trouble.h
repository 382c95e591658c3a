// SPDX-License-Identifier: Apache-2.0
//
// What librdkafka's errors mean for the agent: how long to wait, and what to tell the user.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <string>
#include <string_view>

#include "agent/transmit/options.h"

namespace tcptrail::transmit {

enum class Trouble {
    passing,        // the cluster is about to be well again: try soon
    missing_topic,  // an administrator has to make it: try every few seconds
    forbidden,      // credentials, certificates, ACLs: trying hot would lock accounts
    too_large,      // the batch, or the message in it
};

Trouble classify(rd_kafka_resp_err_t error);

// For the attempt after `attempt` failed ones in a row (from 0).
std::chrono::milliseconds retry_delay(Trouble trouble, unsigned attempt);

// One sentence about a topic's error, with what to do where that is known.
std::string explain(rd_kafka_resp_err_t error, const std::string& topic, const std::string& brokers);

// "; grant RIGHT on it" where the error says that somebody may not do something with a topic; else nothing.
std::string needed_right(rd_kafka_resp_err_t error, std::string_view right);

}  // namespace tcptrail::transmit
