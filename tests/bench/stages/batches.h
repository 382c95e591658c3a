// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks of the spool and of transmit share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "agent/spool/spool.h"
#include "agent/transmit/options.h"
#include "tests/bench/stages/content.h"

namespace tcptrail::bench {

// An empty folder that goes with its owner.
class Folder {
public:
    explicit Folder(const std::string& name);
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// The messages of the content over and over, `size` at a time.
class Batches {
public:
    explicit Batches(size_t size);
    // Valid until the next call.
    std::span<const Message> next();

private:
    std::vector<Message> messages_;  // the content, and as much again as a batch may reach over its end
    size_t size_;
    size_t at_ = 0;
};

// Payloads as PayloadBuilder makes them, `size` messages each.
std::vector<std::string> payloads(size_t size);

// A thread that takes what is appended and releases it at once, as if Kafka had it.
class Releaser {
public:
    explicit Releaser(std::unique_ptr<spool::SpoolReader> reader);
    ~Releaser();

private:
    void run(const std::stop_token& stop);

    std::unique_ptr<spool::SpoolReader> reader_;
    std::jthread thread_;
};

// With a mock cluster; TCPTRAIL_KAFKA=property=value,… tries other settings.
transmit::Options mock_options();

// Of a checkpoint's size, never twice the same.
std::string next_mark();

// The value, or an end of the program.
template <class Value>
Value checked(Result<Value> result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<Value>) return std::move(*result);
}

}  // namespace tcptrail::bench
