// SPDX-License-Identifier: Apache-2.0
//
// Drives a spool as the agent does, by its public interface, and writes down what it knows, a line in one
// write() each: what it says before it is killed is true.
//
//   spool_driver write FOLDER [KEY=VALUE…]     appends, reads and releases; goes on from the spool's mark
//       appends=24 events=5 bytes=300 sync=full|normal max_bytes=N pause_ms=1
//       fill=                                    yes: releases nothing
//       first=0                                  where no mark is found
//       while=PATH                               removed in the end; then it waits for the disk
//   spool_driver check FOLDER                  reads and releases all that is there
//
//   found MARK             the mark that the spool had
//   begin FIRST END        these events are appended now
//   kept MARK              all events before it are committed (sync=full: durable)
//   release N…             these events are delivered
//   read N…                these were there (check)
//   error TEXT
//   stats NAME=VALUE…      of the spool
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "agent/spool/spool.h"

namespace {

using namespace tcptrail;
using namespace tcptrail::spool;

void say(const std::string& line) {
    const std::string whole = line + "\n";
    if (write(STDOUT_FILENO, whole.data(), whole.size()) < 0) _exit(3);
}

void say_stats(const Spool& spool) {
    const SpoolStats stats = spool.stats();
    say("stats in=" + std::to_string(stats.in) + " released=" + std::to_string(stats.released) +
        " too_large=" + std::to_string(stats.too_large) + " evicted=" + std::to_string(stats.evicted) +
        " expired=" + std::to_string(stats.expired) + " damaged=" + std::to_string(stats.damaged) +
        " memory_full=" + std::to_string(stats.memory_full) + " held=" + std::to_string(stats.held) +
        " files_set_aside=" + std::to_string(stats.files_set_aside) +
        " settled=" + std::to_string(spool.settled()));
}

std::vector<Message> messages(uint64_t first, uint64_t end, size_t bytes) {
    std::vector<Message> list;
    for (uint64_t n = first; n < end; ++n) {
        std::string value = std::to_string(n) + " ";
        // What cannot be compressed.
        for (uint64_t noise = n + 1; value.size() < bytes;) {
            noise = noise * 6364136223846793005u + 1442695040888963407u;
            value.append(reinterpret_cast<const char*>(&noise), sizeof noise);
        }
        list.push_back({Topic::connections, std::to_string(n), std::move(value)});
    }
    return list;
}

std::string numbers_of(const Batch& batch) {
    std::string numbers;
    for (const MessageView& message : batch.messages)
        numbers += " " + std::string(message.key);
    return numbers;
}

class Driver {
public:
    bool open(const Options& options) {
        auto spool = Spool::open(options);
        if (!spool) return failed(spool.error());
        auto reader = (*spool)->reader();
        if (!reader) return failed(reader.error());
        spool_ = std::move(*spool);
        reader_ = std::move(*reader);
        mark_ = spool_->committed_mark();
        say("found " + (mark_.empty() ? "0" : mark_));
        return true;
    }

    void write(std::map<std::string, std::string>& settings) {
        const uint64_t appends = std::stoul(settings["appends"]), events = std::stoul(settings["events"]);
        uint64_t next = mark_.empty() ? std::stoul(settings["first"]) : std::stoul(mark_);
        for (uint64_t i = 0; i < appends; ++i) {
            say("begin " + std::to_string(next) + " " + std::to_string(next + events));
            const auto list = messages(next, next + events, std::stoul(settings["bytes"]));
            next += events;
            note(spool_->append(list, std::to_string(next)));
            // What is taken is released a little later, and the last is left for the next one.
            if (settings["fill"].empty() && i % 3 == 2) deliver("release", 1);
            // Faster than the disk.
            while (!settings["fill"].empty() && spool_->stats().memory_bytes > 4u << 20) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
                note(spool_->maintain());
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(std::stoul(settings["pause_ms"])));
            note(spool_->maintain());
        }
        if (!settings["while"].empty()) {
            // The disk is well again.
            (void)unlink(settings["while"].c_str());
            reader_->give_back();
            settle();
        }
        say_stats(*spool_);
    }

    void check() {
        say_stats(*spool_);
        for (int round = 0; round < 40; ++round) {
            if (!deliver("read", 0) && round > 2) break;
            note(spool_->maintain());
        }
        settle();
        say_stats(*spool_);
    }

private:
    static bool failed(const Error& error) {
        say("error " + error.message);
        return false;
    }
    void note(const Result<>& done) {
        if (!done) failed(done.error());
        if (spool_->committed_mark() == mark_) return;
        mark_ = spool_->committed_mark();
        say("kept " + mark_);
    }
    // Takes all that there is, and releases what it has, but the newest `leave`. False: nothing to release.
    bool deliver(const char* verb, size_t leave) {
        for (;;) {
            auto batch = reader_->next();
            if (!batch) failed(batch.error());
            if (!batch || !*batch) break;
            taken_.emplace_back((*batch)->id, numbers_of(**batch));
        }
        const bool any = taken_.size() > leave;
        for (; taken_.size() > leave; taken_.pop_front()) {
            say(verb + taken_.front().second);
            reader_->release(taken_.front().first);
        }
        return any;
    }
    // Until the disk has all of it; it is tried again after five seconds at most.
    void settle() {
        for (int i = 0; i < 1500 && !(spool_->settled() && spool_->idle()); ++i) {
            note(spool_->maintain());
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }

    std::unique_ptr<Spool> spool_;
    std::unique_ptr<SpoolReader> reader_;
    std::string mark_;
    std::deque<std::pair<uint64_t, std::string>> taken_;  // ids, and what is in them
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: spool_driver write|check FOLDER [KEY=VALUE…]\n");
        return 2;
    }
    std::map<std::string, std::string> settings{
        {"appends", "24"}, {"events", "5"}, {"bytes", "300"}, {"sync", "full"},           {"pause_ms", "1"},
        {"while", ""},     {"first", "0"},  {"fill", ""},     {"max_bytes", "1000000000"}};
    for (int i = 3; i < argc; ++i) {
        const std::string_view setting = argv[i];
        const size_t equals = setting.find('=');
        settings[std::string(setting.substr(0, equals))] = setting.substr(equals + 1);
    }
    Options options;
    options.loose_bytes = 0;  // what merges is under test, too
    options.directory = argv[2];
    options.max_bytes = std::stoul(settings["max_bytes"]);
    options.sync = settings["sync"] == "full" ? Sync::full : Sync::normal;
    Driver driver;
    if (!driver.open(options)) return 1;
    if (std::string_view(argv[1]) == "check")
        driver.check();
    else
        driver.write(settings);
}
