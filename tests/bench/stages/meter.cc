// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stages/meter.h"

#include <sys/resource.h>
#include <time.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
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

double read_clock(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

std::string first_line(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Of the threads of librdkafka's mock broker, which a real producer does not have.
double mock_ns() {
    double sum = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator task("/proc/self/task", error), end; !error && task != end;
         task.increment(error))
        if (first_line(task->path() / "comm").starts_with("rdk:mock"))
            sum += std::strtod(first_line(task->path() / "schedstat").c_str(), nullptr);
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
    const bool thread = whose_ == Whose::thread;
    rusage usage{};
    getrusage(thread ? RUSAGE_THREAD : RUSAGE_SELF, &usage);
    Cpu cpu{read_clock(thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID), nanos(usage.ru_utime),
            nanos(usage.ru_stime)};
    if (!thread) cpu.all_ns -= mock_ns();
    return cpu;
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
    spent_.all_ns += now.all_ns - began_.all_ns;
    spent_.user_ns += now.user_ns - began_.user_ns;
    spent_.system_ns += now.system_ns - began_.system_ns;
    running_ = false;
}

void Meter::report(benchmark::State& state, uint64_t events) {
    if (running_) pause();
    const double each = events ? 1 / static_cast<double>(events) : 0;
    state.counters["events"] = static_cast<double>(events);
    state.counters["ns"] = static_cast<double>(ns_) * each;
    // The mock broker's part is known as a whole: it is taken to be split as the rest is.
    const double split = spent_.user_ns + spent_.system_ns;
    const double user = split > 0 ? spent_.user_ns / split : 1;
    state.counters["cpu_ns"] = spent_.all_ns * each;
    state.counters["user_ns"] = spent_.all_ns * each * user;
    state.counters["system_ns"] = spent_.all_ns * each * (1 - user);
    state.counters["allocations"] = static_cast<double>(allocations_) * each;
}

}  // namespace tcptrail::bench
