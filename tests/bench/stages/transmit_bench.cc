// SPDX-License-Identifier: Apache-2.0
//
// Against librdkafka's mock cluster, whose own thread is not counted. User and system CPU are of all other
// threads: the time of a message is spent in three of them.
#include <poll.h>
#include <sys/eventfd.h>

#include <stdexcept>

#include "agent/transmit/framing.h"
#include "agent/transmit/producer.h"
#include "agent/transmit/transmitter.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

constexpr uint64_t events = 400'000;
constexpr uint64_t most_outstanding = 20'000;  // as in the transmitter

void framing(benchmark::State& state) {
    const Content& content = Content::get();
    std::string framed;
    Meter meter;
    for (auto _ : state)
        for (const Message& message : content.messages()) {
            transmit::add_confluent_frame(7, message.value, framed);
            benchmark::DoNotOptimize(framed.data());
        }
    meter.report(state, state.iterations() * content.messages().size());
}
BENCHMARK(framing)->Name("transmit/framing");

class Counting final : public transmit::ProducerListener {
public:
    void on_report(void*, rd_kafka_resp_err_t error) override {
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(error));
        ++reports;
    }
    void on_error(rd_kafka_resp_err_t, const std::string&) override {}
    void on_replaced(const std::string&, bool) override {}
    uint64_t reports = 0;
};

// The agent's producer, without spool and window.
void produce(benchmark::State& state) {
    const Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const transmit::Options options = mock_options();
    for (auto _ : state) {
        Counting counting;
        auto producer = checked(transmit::Producer::create(options, 0, wake.get(), counting));
        Batches batches(100);
        const auto wait_below = [&](uint64_t sent, uint64_t bound) {
            for (producer->poll(); sent - counting.reports > bound; producer->poll()) {
                pollfd waiting{wake.get(), POLLIN, 0};
                poll(&waiting, 1, 1000);
                uint64_t count = 0;
                (void)!read(wake.get(), &count, sizeof count);
            }
        };
        const auto send = [&](uint64_t number) {
            for (uint64_t sent = 0; sent < number;) {
                for (const Message& message : batches.next())
                    if (producer->send({message.topic, message.key, message.value}, nullptr) !=
                        RD_KAFKA_RESP_ERR_NO_ERROR)
                        throw std::runtime_error("the producer does not take a message");
                sent += 100;
                wait_below(sent, most_outstanding);
            }
            wait_below(number, 0);
        };
        send(100);  // the first finds the topic
        counting.reports = 0;
        Meter meter(Whose::process);
        send(events);
        meter.report(state, events);
    }
}
BENCHMARK(produce)->Name("transmit/produce")->Iterations(1)->Unit(benchmark::kMillisecond);

// All of it: from the rows of the spool to the acknowledgement.
void transmit_all(benchmark::State& state) {
    const auto size = static_cast<size_t>(state.range(0));
    const transmit::Options options = mock_options();
    for (auto _ : state) {
        Folder folder("transmit");
        spool::Options settings;
        settings.directory = folder.path();
        auto spool = checked(spool::Spool::open(settings));
        Batches batches(size);
        for (uint64_t appended = 0; appended < events; appended += size)
            checked(spool->append(batches.next(), {}));
        const uint64_t all = spool->stats().held;
        Meter meter(Whose::process);
        auto transmitter = checked(transmit::Transmitter::start(options, checked(spool->reader())));
        while (transmitter->status().acknowledged < all) {
            const timespec moment{0, 20'000'000};
            nanosleep(&moment, nullptr);
        }
        meter.report(state, all);
    }
}
BENCHMARK(transmit_all)
    ->Name("transmit/spool_to_ack")
    ->Arg(100)
    ->Arg(2000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace

}  // namespace tcptrail::bench
