// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/ping.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <utility>

namespace tcptrail::transmit {
namespace {

using Clock = std::chrono::steady_clock;

// A broker's settings are a question that only it can answer.
void ask(rd_kafka_t* client, BrokerAnswer& broker, int timeout_ms, rd_kafka_queue_t* queue) {
    ConfigResourcePtr resource(
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, std::to_string(broker.id).c_str()));
    rd_kafka_ConfigResource_t* asked = resource.get();
    AdminOptionsPtr options(rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS));
    rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, nullptr, 0);
    rd_kafka_AdminOptions_set_opaque(options.get(), &broker);
    rd_kafka_DescribeConfigs(client, &asked, 1, options.get(), queue);
}

// Whether an error came from the broker itself: one that refuses to tell has answered.
bool answered(rd_kafka_resp_err_t error) {
    // librdkafka's own errors are negative; it knows what a broker can do only once they have talked.
    return error >= RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

}  // namespace

Result<> try_client(const Options& options, Milliseconds deadline) {
    auto session = Session::open(options, Role::admin);
    if (!session) return std::unexpected(session.error());
    // What is known when client and broker have taken each other.
    char* id = rd_kafka_clusterid((*session)->get(), static_cast<int>(deadline.count()));
    if (!id) return (*session)->failed("no answer from the brokers", "timed out");
    rd_kafka_mem_free((*session)->get(), id);
    return {};
}

Result<PingReport> ping(const Options& options, Milliseconds deadline) {
    const auto end = Clock::now() + deadline;
    auto left_ms = [&end] {
        const auto left = std::chrono::ceil<Milliseconds>(end - Clock::now()).count();
        return static_cast<int>(std::max<int64_t>(left, 1));
    };
    auto opened = Session::open(options, Role::admin);
    if (!opened) return std::unexpected(opened.error());
    Session& session = **opened;
    // Of no topic in particular: the list of brokers is all that is wanted.
    auto metadata = session.metadata(deadline);
    if (!metadata) return std::unexpected(metadata.error());

    PingReport report;
    if (char* id = rd_kafka_clusterid(session.get(), left_ms())) {
        report.cluster_id = id;
        rd_kafka_mem_free(session.get(), id);
    }
    for (const auto& broker : std::span((*metadata)->brokers, static_cast<size_t>((*metadata)->broker_cnt)))
        report.brokers.push_back({broker.id, fmt::format("{}:{}", broker.host, broker.port), "no answer"});
    std::sort(report.brokers.begin(), report.brokers.end(),
              [](const BrokerAnswer& a, const BrokerAnswer& b) { return a.id < b.id; });

    QueuePtr queue(rd_kafka_queue_new(session.get()));
    for (BrokerAnswer& broker : report.brokers)
        ask(session.get(), broker, left_ms(), queue.get());
    for (size_t i = 0; i < report.brokers.size(); i++) {
        EventPtr event(rd_kafka_queue_poll(queue.get(), left_ms() + 500));
        if (!event) break;
        auto& broker = *static_cast<BrokerAnswer*>(rd_kafka_event_opaque(event.get()));
        broker.problem =
            answered(rd_kafka_event_error(event.get())) ? "" : rd_kafka_event_error_string(event.get());
    }
    return report;
}

}  // namespace tcptrail::transmit
