// SPDX-License-Identifier: Apache-2.0
//
// Records what the ring holds while a command runs: the content that the benchmarks of the stages work on.
//
//   record_ring FILE COMMAND…
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "agent/capture/capture.h"
#include "agent/capture/ring.h"

namespace {

using namespace tcptrail;

// Takes what is there. Returns the number of records.
uint64_t take(capture::Ring& ring, std::ofstream& file) {
    uint64_t taken = 0;
    for (; const auto bytes = ring.next(); ++taken) {
        const uint64_t header = bytes->size();
        const char padding[8] = {};
        file.write(reinterpret_cast<const char*>(&header), sizeof header);
        file.write(reinterpret_cast<const char*>(bytes->data()), static_cast<std::streamsize>(bytes->size()));
        file.write(padding, static_cast<std::streamsize>((8 - bytes->size() % 8) % 8));
    }
    ring.release(ring.position());
    return taken;
}

Result<uint64_t> record(const char* path, char** command) {
    capture::Options options;
    options.pin.clear();
    // It reads nothing: the ring is ours.
    auto capture = capture::Capture::start(options, [](const tcptrail_record&) { return true; });
    if (!capture) return std::unexpected(std::move(capture.error()));
    auto ring = capture::Ring::open(Fd(dup((*capture)->wake_fd())));
    if (!ring) return std::unexpected(std::move(ring.error()));
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!file) return fail(fmt::format("cannot write {}", path));

    const pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    uint64_t records = 0;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        records += take(**ring, file);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    // What is closed with a process, and what a sweep finds.
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    if (auto swept = (*capture)->sweep(); !swept) return std::unexpected(std::move(swept.error()));
    records += take(**ring, file);
    if (status != 0) return fail(fmt::format("{} failed", command[0]));
    return records;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: record_ring FILE COMMAND…\n");
        return 2;
    }
    const auto records = record(argv[1], argv + 2);
    if (!records) {
        std::fprintf(stderr, "record_ring: %s\n", records.error().message.c_str());
        std::remove(argv[1]);
        return static_cast<int>(records.error().code);
    }
    std::printf("%lu records in %s\n", *records, argv[1]);
}
