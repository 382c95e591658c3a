// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stages/meter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <sstream>
#include <string>

#include "agent/base/clock.h"

namespace {

thread_local uint64_t count = 0;

void* counted(size_t bytes) {
    ++count;
    if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t bytes) {
    return counted(bytes);
}
void* operator new[](size_t bytes) {
    return counted(bytes);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
    std::free(memory);
}

namespace tcptrail::bench {

namespace {

double nanos(const timeval& time) {
    return 1e9 * static_cast<double>(time.tv_sec) + 1e3 * static_cast<double>(time.tv_usec);
}

Cpu usage_of(int who) {
    rusage usage{};
    getrusage(who, &usage);
    return {nanos(usage.ru_utime), nanos(usage.ru_stime)};
}

// Of the threads of librdkafka's mock broker, which a real producer does not have.
Cpu usage_of_mock() {
    static const double tick_ns = 1e9 / static_cast<double>(sysconf(_SC_CLK_TCK));
    Cpu sum;
    std::error_code error;
    for (std::filesystem::directory_iterator task("/proc/self/task", error), end; !error && task != end;
         task.increment(error)) {
        std::ifstream file(task->path() / "stat");
        std::string line;
        std::getline(file, line);
        if (line.find("(rdk:mock") == std::string::npos) continue;
        std::istringstream fields(line.substr(line.rfind(')') + 1));
        std::string skipped;
        for (int field = 3; field < 14; ++field)
            fields >> skipped;
        double user = 0, system = 0;
        fields >> user >> system;
        sum.user_ns += user * tick_ns;
        sum.system_ns += system * tick_ns;
    }
    return sum;
}

}  // namespace

uint64_t allocations() {
    return count;
}

Meter::Meter(Whose whose) : whose_(whose) {
    go_on();
}

Cpu Meter::cpu() const {
    if (whose_ == Whose::thread) return usage_of(RUSAGE_THREAD);
    const Cpu all = usage_of(RUSAGE_SELF), mock = usage_of_mock();
    return {all.user_ns - mock.user_ns, all.system_ns - mock.system_ns};
}

void Meter::go_on() {
    running_ = true;
    began_ = cpu();
    began_allocations_ = allocations();
    began_ns_ = monotonic_nanos();
}

void Meter::pause() {
    ns_ += monotonic_nanos() - began_ns_;
    allocations_ += allocations() - began_allocations_;
    const Cpu now = cpu();
    spent_.user_ns += now.user_ns - began_.user_ns;
    spent_.system_ns += now.system_ns - began_.system_ns;
    running_ = false;
}

void Meter::report(benchmark::State& state, uint64_t events) {
    if (running_) pause();
    const double each = events ? 1 / static_cast<double>(events) : 0;
    state.counters["events"] = static_cast<double>(events);
    state.counters["ns"] = static_cast<double>(ns_) * each;
    state.counters["user_ns"] = spent_.user_ns * each;
    state.counters["system_ns"] = spent_.system_ns * each;
    state.counters["allocations"] = static_cast<double>(allocations_) * each;
}

}  // namespace tcptrail::bench
