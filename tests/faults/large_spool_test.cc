// SPDX-License-Identifier: Apache-2.0
//
// Fault 51: what a spool holds costs neither time nor memory at the start.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/broker.h"
#include "tests/faults/driven_spool.h"
#include "tests/kafka/setting.h"

using namespace tests;

namespace {

using Clock = std::chrono::steady_clock;

// Nothing of it is in the page cache.
void forget(const std::filesystem::path& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    CHECK(fdatasync(file) == 0);
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(file);
}

uint64_t resident_kib(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string word; status >> word;)
        if (word == "VmRSS:") {
            uint64_t kib = 0;
            status >> kib;
            return kib;
        }
    return 0;
}

struct Start {
    std::chrono::milliseconds took{};
    uint64_t kib = 0;
};

Start start_on(const std::filesystem::path& spool, const std::string& held) {
    const Setting setting;
    const auto began = Clock::now();
    Process agent(setting.agent(nobody_answers, {"spool.directory=" + spool.string(), "spool.max_bytes=20GiB",
                                                 "capture.ring_bytes=1MiB"}));
    const auto traces = [&] { return agent.errors().find("tracing") != std::string::npos; };
    while (!traces() && Clock::now() < began + seconds(30))
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
    INFO(agent.errors());
    REQUIRE(traces());
    CHECK(agent.errors().find(held) != std::string::npos);
    std::this_thread::sleep_for(seconds(2));
    const uint64_t kib = resident_kib(agent.pid());
    // In order it would wait for Kafka.
    agent.signal(SIGKILL);
    REQUIRE(agent.wait(seconds(10)) == 128 + SIGKILL);
    return {took, kib};
}

void start_with(uint64_t megabytes) {
    const Folder folder;
    const DrivenSpool large(folder.path());
    const auto began = Clock::now();
    const Told told = large.write({"fill=yes", "appends=" + std::to_string(megabytes), "events=1",
                                   "bytes=900000", "max_bytes=20000000000", "sync=normal", "pause_ms=0"},
                                  {}, seconds(1000));
    const std::chrono::duration<double> filled = Clock::now() - began;
    REQUIRE(told.status == 0);
    REQUIRE(told.stats.back().at("held") == megabytes);
    const auto file = large.path() / "spool.db";
    REQUIRE(std::filesystem::file_size(file) > megabytes * 900'000);
    const Start empty = start_on(folder.path() / "empty", "");
    forget(file);
    const Start full =
        start_on(large.path(), "the spool holds " + std::to_string(megabytes) + " events from before");
    std::printf(
        "fault 51: %lu MB, filled in %.0f s: traces after %ld ms, %lu MiB resident; empty: %ld ms, %lu MiB\n",
        megabytes, filled.count(), full.took.count(), full.kib / 1024, empty.took.count(), empty.kib / 1024);
    CHECK(full.took < empty.took + seconds(1));
    // The reader holds some batches for Kafka, as it would of any number.
    CHECK(full.kib < empty.kib + 32 * 1024);
}

}  // namespace

TEST_CASE("fault 51: 300 MB in the spool at the start", "[faults][root]") {
    start_with(300);
}

TEST_CASE("fault 51: 10 GB in the spool at the start", "[.][soak][root]") {
    start_with(10'000);
}
