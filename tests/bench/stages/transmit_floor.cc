// SPDX-License-Identifier: Apache-2.0
//
// The floor of transmit: librdkafka alone produces the same bytes with the settings of the agent, in one
// loop of one thread, without headers of its own, spool, window or status.
#include <librdkafka/rdkafka.h>

#include <stdexcept>

#include "agent/transmit/client.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

constexpr uint64_t events = 400'000;
constexpr uint64_t most_outstanding = 20'000;

void count_report(rd_kafka_t*, const rd_kafka_message_t* message, void* reports) {
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(message->err));
    ++*static_cast<uint64_t*>(reports);
}

void librdkafka_alone(benchmark::State& state) {
    transmit::Options options;
    options.properties.emplace("test.mock.num.brokers", "1");
    for (auto _ : state) {
        uint64_t reports = 0;
        auto conf = checked(transmit::make_conf(options, transmit::Role::producer));
        rd_kafka_conf_set_opaque(conf.get(), &reports);
        rd_kafka_conf_set_dr_msg_cb(conf.get(), count_report);
        const auto client = checked(transmit::make_client(std::move(conf), transmit::Role::producer));
        const transmit::TopicPtr topic(rd_kafka_topic_new(client.get(), options.topics[0].c_str(), nullptr));
        Batches batches(100);
        const auto send = [&](uint64_t number) {
            for (uint64_t sent = 0; sent < number; sent += 100) {
                for (const Message& message : batches.next())
                    if (rd_kafka_produce(topic.get(), RD_KAFKA_PARTITION_UA, 0,
                                         const_cast<char*>(message.value.data()), message.value.size(),
                                         message.key.data(), message.key.size(), nullptr) != 0)
                        throw std::runtime_error("librdkafka does not take a message");
                rd_kafka_poll(client.get(), 0);
                while (sent + 100 - reports > most_outstanding)
                    rd_kafka_poll(client.get(), 100);
            }
            while (reports < number)
                rd_kafka_poll(client.get(), 100);
        };
        send(100);
        reports = 0;
        Meter meter(Whose::process);
        send(events);
        meter.report(state, events);
    }
}
BENCHMARK(librdkafka_alone)->Name("floor/librdkafka_produce")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace

}  // namespace tcptrail::bench
