// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/compression.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

// While the broker is there: what is appended is taken, released and deleted. Of the appending thread.
void append(benchmark::State& state) {
    Folder folder("spool");
    spool::Options options;
    options.directory = folder.path();
    auto spool = checked(spool::Spool::open(options));
    Releaser releaser(checked(spool->reader()));
    Batches batches(static_cast<size_t>(state.range(0)));
    Meter meter;
    for (auto _ : state)
        checked(spool->append(batches.next(), next_mark()));
    meter.report(state, state.iterations() * static_cast<uint64_t>(state.range(0)));
    state.counters["bytes_stored"] = static_cast<double>(spool->stats().held_bytes);
}
BENCHMARK(append)->Name("spool/append")->Arg(100)->Arg(2000)->MinTime(2);

// While it is not: all of it stays, and is merged by the spool's own thread. Of the appending thread.
void append_offline(benchmark::State& state) {
    Folder folder("spool");
    spool::Options options;
    options.directory = folder.path();
    options.live_first = false;
    auto spool = checked(spool::Spool::open(options));
    Batches batches(static_cast<size_t>(state.range(0)));
    Meter meter;
    for (auto _ : state)
        checked(spool->append(batches.next(), next_mark()));
    meter.report(state, state.iterations() * static_cast<uint64_t>(state.range(0)));
}
BENCHMARK(append_offline)->Name("spool/append_offline")->Arg(100)->Arg(2000)->MinTime(2);

// The payload alone: what append does before it compresses.
void build(benchmark::State& state) {
    Batches batches(static_cast<size_t>(state.range(0)));
    spool::PayloadBuilder builder;
    Meter meter;
    for (auto _ : state) {
        for (const Message& message : batches.next())
            builder.add(message);
        benchmark::DoNotOptimize(builder.take());
    }
    meter.report(state, state.iterations() * static_cast<uint64_t>(state.range(0)));
}
BENCHMARK(build)->Name("spool/build")->Arg(100)->Arg(2000);

void pack_with(benchmark::State& state, std::string (spool::Compressor::*pack)(std::string), int level) {
    const auto size = static_cast<size_t>(state.range(0));
    const std::vector<std::string> plain = payloads(size);
    spool::Compressor compressor(level);
    uint64_t batches = 0, stored = 0;
    Meter meter;
    for (auto _ : state) {
        std::string copy = plain[batches++ % plain.size()];
        stored += (compressor.*pack)(std::move(copy)).size();
    }
    meter.report(state, batches * size);
    state.counters["bytes"] = static_cast<double>(stored) / static_cast<double>(batches * size);
}
void pack(benchmark::State& state) {
    pack_with(state, &spool::Compressor::pack, spool::fast_level);
}
BENCHMARK(pack)->Name("spool/pack")->Arg(100)->Arg(2000);

// By the spool's own thread, of what waits.
void pack_densely(benchmark::State& state) {
    pack_with(state, &spool::Compressor::pack_densely, spool::dense_level);
}
BENCHMARK(pack_densely)->Name("spool/pack_densely")->Arg(2000);

void unpack(benchmark::State& state) {
    const auto size = static_cast<size_t>(state.range(0));
    std::vector<std::string> packed = payloads(size);
    spool::Compressor compressor(spool::fast_level);
    for (std::string& payload : packed)
        payload = compressor.pack(std::move(payload));
    spool::Decompressor decompressor;
    uint64_t batches = 0;
    Meter meter;
    for (auto _ : state) {
        const auto plain = checked(decompressor.unpack(packed[batches++ % packed.size()]));
        benchmark::DoNotOptimize(checked(spool::parse_payload(plain)).data());
    }
    meter.report(state, batches * size);
}
BENCHMARK(unpack)->Name("spool/unpack+parse")->Arg(100)->Arg(2000);

}  // namespace

}  // namespace tcptrail::bench
