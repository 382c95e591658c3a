// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark costs per event besides Google Benchmark's time: user and system CPU, and allocations by
// operator new, which the program replaces to count them.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace tcptrail::bench {

// Of the calling thread.
uint64_t allocations();

// The sum is exact; how it is split the kernel estimates from its ticks.
struct Cpu {
    double all_ns = 0;
    double user_ns = 0;
    double system_ns = 0;
};

// Of the thread that measures, or of all threads of the process but those of librdkafka's mock broker.
enum class Whose { thread, process };

// Measures from its construction on; pause() and go_on() leave out what lies between.
class Meter {
public:
    explicit Meter(Whose whose = Whose::thread);
    void pause();
    void go_on();
    // Ends the measurement: sets the counters ns, cpu_ns, user_ns, system_ns and allocations, each per
    // event.
    void report(benchmark::State& state, uint64_t events);

private:
    Cpu cpu() const;

    Whose whose_;
    bool running_ = false;
    Cpu began_, spent_;
    uint64_t began_ns_ = 0, ns_ = 0;
    uint64_t began_allocations_ = 0, allocations_ = 0;
};

}  // namespace tcptrail::bench
