// SPDX-License-Identifier: Apache-2.0
//
// The floor of transmit: librdkafka alone produces the same bytes with the settings of the agent, in one
// loop of one thread, without spool, window or status. And what the headers of each record are of it.
#include <librdkafka/rdkafka.h>

#include <stdexcept>
#include <vector>

#include "agent/transmit/client.h"
#include "agent/transmit/framing.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

constexpr uint64_t events = 400'000;
constexpr uint64_t most_outstanding = 20'000;

// Headers of messages that are done are the next ones', as in the agent.
struct Reports {
    uint64_t count = 0;
    std::vector<rd_kafka_headers_t*> spare;
    ~Reports() {
        for (rd_kafka_headers_t* headers : spare)
            rd_kafka_headers_destroy(headers);
    }
};

void count_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(message->err));
    Reports& reports = *static_cast<Reports*>(opaque);
    ++reports.count;
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_detach_headers(const_cast<rd_kafka_message_t*>(message), &headers) ==
        RD_KAFKA_RESP_ERR_NO_ERROR)
        reports.spare.push_back(headers);
}

rd_kafka_headers_t* make_headers(Reports& reports) {
    if (!reports.spare.empty()) {
        rd_kafka_headers_t* headers = reports.spare.back();
        reports.spare.pop_back();
        return headers;
    }
    rd_kafka_headers_t* headers = rd_kafka_headers_new(2);
    const std::string_view type = transmit::content_type(Topic::connections);
    rd_kafka_header_add(headers, "content-type", -1, type.data(), static_cast<ssize_t>(type.size()));
    rd_kafka_header_add(headers, "schema-version", -1, transmit::schema_version.data(),
                        static_cast<ssize_t>(transmit::schema_version.size()));
    return headers;
}

rd_kafka_resp_err_t send_one(rd_kafka_t* client, rd_kafka_topic_t* topic, const Message& message,
                             Reports* with_headers) {
    void* value = const_cast<char*>(message.value.data());
    if (with_headers)
        return rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_VALUE(value, message.value.size()),
                                 RD_KAFKA_V_KEY(message.key.data(), message.key.size()),
                                 RD_KAFKA_V_HEADERS(make_headers(*with_headers)), RD_KAFKA_V_END);
    return rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, value, message.value.size(), message.key.data(),
                            message.key.size(), nullptr) == 0
               ? RD_KAFKA_RESP_ERR_NO_ERROR
               : rd_kafka_last_error();
}

void librdkafka_alone(benchmark::State& state, bool with_headers) {
    const transmit::Options options = mock_options();
    for (auto _ : state) {
        Reports reports;
        auto conf = checked(transmit::make_conf(options, transmit::Role::producer));
        rd_kafka_conf_set_opaque(conf.get(), &reports);
        rd_kafka_conf_set_dr_msg_cb(conf.get(), count_report);
        const auto client = checked(transmit::make_client(std::move(conf), transmit::Role::producer));
        const transmit::TopicPtr topic(rd_kafka_topic_new(client.get(), options.topics[0].c_str(), nullptr));
        Batches batches(100);
        const auto send = [&](uint64_t number) {
            for (uint64_t sent = 0; sent < number; sent += 100) {
                for (const Message& message : batches.next())
                    if (send_one(client.get(), topic.get(), message, with_headers ? &reports : nullptr) !=
                        RD_KAFKA_RESP_ERR_NO_ERROR)
                        throw std::runtime_error("librdkafka does not take a message");
                rd_kafka_poll(client.get(), 0);
                while (sent + 100 - reports.count > most_outstanding)
                    rd_kafka_poll(client.get(), 100);
            }
            while (reports.count < number)
                rd_kafka_poll(client.get(), 100);
        };
        send(100);
        reports.count = 0;
        Meter meter(Whose::process);
        send(events);
        meter.report(state, events);
    }
}
void with_headers(benchmark::State& state) {
    librdkafka_alone(state, true);
}
BENCHMARK(with_headers)->Name("floor/librdkafka_produce")->Iterations(1)->Unit(benchmark::kMillisecond);
void without_headers(benchmark::State& state) {
    librdkafka_alone(state, false);
}
BENCHMARK(without_headers)
    ->Name("floor/librdkafka_produce_without_headers")
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace

}  // namespace tcptrail::bench
