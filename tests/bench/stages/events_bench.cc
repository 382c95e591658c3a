// SPDX-License-Identifier: Apache-2.0
//
// From a record to the message for Kafka.
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "agent/base/clock.h"
#include "agent/encode/event.h"
#include "tests/bench/stages/content.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

void connections_stage(benchmark::State& state) {
    const Content& content = Content::get();
    const uint64_t boot_to_unix = boot_to_unix_offset();
    Meter meter;
    for (auto _ : state)
        for (const tcptrail_record& record : content.records())
            benchmark::DoNotOptimize(connections::connection_of(record, content.kernel(), boot_to_unix));
    meter.report(state, state.iterations() * content.records().size());
}
BENCHMARK(connections_stage)->Name("connections/connection_of");

template <class Step>
void each_connection(benchmark::State& state, Step step) {
    const Content& content = Content::get();
    Meter meter;
    for (auto _ : state)
        for (const connections::Connection& connection : content.connections())
            step(connection);
    meter.report(state, state.iterations() * content.connections().size());
}

// Of owners that are known already.
void context_stage(benchmark::State& state) {
    Content& content = Content::get();
    each_connection(state, [&](const connections::Connection& connection) {
        benchmark::DoNotOptimize(content.context().find(connection.owner));
    });
}
BENCHMARK(context_stage)->Name("context/find_known");

// CLOCK_BOOTTIME nanoseconds, as far as /proc tells.
uint64_t own_start_ns() {
    std::ifstream file("/proc/self/stat");
    std::string stat{std::istreambuf_iterator<char>(file), {}};
    std::istringstream fields(stat.substr(stat.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field)
        fields >> skipped;
    uint64_t ticks = 0;
    fields >> ticks;
    return ticks * (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

// Of an owner that is not: /proc is read. It is this process, which seems to have called execve() each time.
void context_of_new(benchmark::State& state) {
    context::Context context(context::Options{});
    connections::Owner owner;
    owner.pid = static_cast<uint32_t>(getpid());
    owner.start_ns = own_start_ns();
    if (context.find(owner).executable.empty()) state.SkipWithError("/proc does not tell of this process");
    Meter meter;
    for (auto _ : state)
        for (const char* name : {"one", "other"}) {
            owner.name = name;
            benchmark::DoNotOptimize(context.find(owner));
        }
    meter.report(state, 2 * state.iterations());
}
BENCHMARK(context_of_new)->Name("context/find_new");

// With the look-up of the owner, whose views it needs: as the agent encodes for Kafka,
void encode_message(benchmark::State& state) {
    Content& content = Content::get();
    encode::EventEncoder encoder(content.host());
    each_connection(state, [&](const connections::Connection& connection) {
        benchmark::DoNotOptimize(
            &encoder.encode_message(connection, content.context().find(connection.owner), unix_nanos()));
    });
}
BENCHMARK(encode_message)->Name("context+encode/message");

// and for who looks into the event.
void encode_object(benchmark::State& state) {
    Content& content = Content::get();
    encode::EventEncoder encoder(content.host());
    each_connection(state, [&](const connections::Connection& connection) {
        benchmark::DoNotOptimize(
            &encoder.encode(connection, content.context().find(connection.owner), unix_nanos()));
    });
}
BENCHMARK(encode_object)->Name("context+encode/object");

// What protobuf alone takes for an object that is filled, into memory that is there.
void serialize(benchmark::State& state) {
    const Content& content = Content::get();
    std::string bytes;
    Meter meter;
    for (auto _ : state)
        for (const v1::ConnectionEvent& event : content.events()) {
            event.SerializeToString(&bytes);
            benchmark::DoNotOptimize(bytes.data());
        }
    meter.report(state, state.iterations() * content.events().size());
}
BENCHMARK(serialize)->Name("floor/protobuf_serialize");

// The floor of encode: the message's bytes copied.
void copy(benchmark::State& state) {
    const Content& content = Content::get();
    std::string bytes;
    Meter meter;
    for (auto _ : state)
        for (const Message& message : content.messages()) {
            bytes.assign(message.key).append(message.value);
            benchmark::DoNotOptimize(bytes.data());
        }
    meter.report(state, state.iterations() * content.messages().size());
}
BENCHMARK(copy)->Name("floor/copy_message");

}  // namespace

}  // namespace tcptrail::bench
