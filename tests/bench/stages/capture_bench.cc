// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "agent/capture/decode.h"
#include "tests/bench/stages/content.h"
#include "tests/bench/stages/filled_ring.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

// The records of a real ring, found one by one and not looked into; as in the agent nothing is released
// between.
void drain(benchmark::State& state) {
    auto ring = make_filled_ring();
    if (!ring) return state.SkipWithError(ring.error().message.c_str());
    uint64_t events = 0;
    Meter meter;
    for (auto _ : state) {
        (*ring)->seek(0);
        while (const auto bytes = (*ring)->next()) {
            benchmark::DoNotOptimize(bytes->data());
            ++events;
        }
    }
    meter.report(state, events);
}
BENCHMARK(drain)->Name("capture/drain");

void decode(benchmark::State& state) {
    const Content& content = Content::get();
    Meter meter;
    for (auto _ : state)
        for (const auto& bytes : content.raw()) {
            tcptrail_record room;
            const auto record = capture::decode(bytes, room);
            benchmark::DoNotOptimize(*record);
        }
    meter.report(state, state.iterations() * content.raw().size());
}
BENCHMARK(decode)->Name("capture/decode");

// The floor of both: the same bytes copied.
void copy(benchmark::State& state) {
    const Content& content = Content::get();
    Meter meter;
    for (auto _ : state)
        for (const auto& bytes : content.raw()) {
            tcptrail_record room;
            std::memcpy(&room, bytes.data(), std::min(bytes.size(), sizeof room));
            benchmark::DoNotOptimize(room);
        }
    meter.report(state, state.iterations() * content.raw().size());
}
BENCHMARK(copy)->Name("floor/copy_record");

}  // namespace

}  // namespace tcptrail::bench
