// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/long_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <span>

#include "tests/catch.h"
#include "tests/faults/broker.h"

namespace tests {

namespace {

// Beyond what it had with the first events: the window, librdkafka's queue and the database's cache fill up
// once, while it catches up, however long it was held up. 24 to 32 MB were measured.
constexpr uint64_t may_grow_kib = 40 << 10;

// Topics must be there before the agent, and what it traces before the load.
std::vector<std::string> agent_of(const Setting& setting, const std::string& servers) {
    setting.create_topics();
    return setting.agent(servers);
}

std::vector<std::string> load_beside(const Process& agent, uint64_t connections, uint64_t rate) {
    REQUIRE(is_tracing(agent));
    return generator(connections, rate);
}

pid_t after_first_events(const Setting& setting, const Process& agent) {
    require_delivered(setting, 500);
    return agent.pid();
}

}  // namespace

MemoryWatch::MemoryWatch(pid_t process)
    : thread_([this, process](const std::stop_token& stop) {
          const uint64_t page_kb = static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 1024;
          while (!stop.stop_requested()) {
              uint64_t all = 0, resident = 0;
              std::ifstream("/proc/" + std::to_string(process) + "/statm") >> all >> resident;
              resident *= page_kb;
              if (resident == 0) return;
              samples_.push_back(resident);
              std::this_thread::sleep_for(std::chrono::milliseconds(500));
          }
      }) {}

std::vector<uint64_t> MemoryWatch::end() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return samples_;
}

LongRun::LongRun(uint64_t connections, uint64_t rate, const std::string& servers)
    : agent_(agent_of(setting_, servers)),
      load_(load_beside(agent_, connections, rate)),
      watch_(after_first_events(setting_, agent_)) {}

Truth LongRun::end_load() {
    const int status = load_.wait(seconds(900));
    return truth_of(Finished{status, load_.output(), load_.errors()});
}

void LongRun::require_flat_memory() {
    const std::vector<uint64_t> samples = watch_.end();
    REQUIRE(samples.size() > 10);
    std::printf("resident: %lu KiB at first", samples.front());
    for (size_t third = 0; third < 3; ++third) {
        const auto [least, most] =
            std::ranges::minmax(std::span(samples).subspan(third * (samples.size() / 3), samples.size() / 3));
        std::printf(", %lu to %lu", least, most);
    }
    std::printf(" in the thirds of %zu samples\n", samples.size());
    CHECK(std::ranges::max(samples) < samples.front() + may_grow_kib);
}

Outcome LongRun::finish(const std::vector<Truth>& others, uint64_t less) {
    std::vector<Truth> truths = others;
    truths.push_back(end_load());
    uint64_t ends = 0;
    for (const Truth& truth : truths)
        ends += 2 * truth.connections;
    require_delivered(setting_, ends - less, seconds(300));
    require_flat_memory();
    require_stops(agent_);
    return require_audit(setting_, truths);
}

}  // namespace tests
