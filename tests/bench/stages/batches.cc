// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stages/batches.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "agent/checkpoint.h"

namespace tcptrail::bench {

Folder::Folder(const std::string& name)
    : path_(std::filesystem::absolute(fmt::format("{}/{}-{}", folder(), name, getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Batches::Batches(size_t size) : messages_(Content::get().messages()), size_(size) {
    const size_t all = messages_.size();
    messages_.reserve(all + size);
    for (size_t i = 0; i < size; ++i)
        messages_.push_back(messages_[i % all]);
}

std::span<const Message> Batches::next() {
    const auto batch = std::span(messages_).subspan(at_, size_);
    at_ = (at_ + size_) % (messages_.size() - size_);
    return batch;
}

std::vector<std::string> payloads(size_t size) {
    std::vector<std::string> made;
    spool::PayloadBuilder builder;
    for (const Message& message : Content::get().messages()) {
        builder.add(message);
        if (builder.events() == size) made.push_back(builder.take());
    }
    if (made.empty()) made.push_back(builder.take());
    return made;
}

Releaser::Releaser(std::unique_ptr<spool::SpoolReader> reader)
    : reader_(std::move(reader)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

Releaser::~Releaser() {
    thread_.request_stop();
    const uint64_t one = 1;
    (void)!::write(reader_->wake_fd(), &one, sizeof one);
}

void Releaser::run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        pollfd waiting{reader_->wake_fd(), POLLIN, 0};
        poll(&waiting, 1, 1000);
        uint64_t count = 0;
        (void)!::read(waiting.fd, &count, sizeof count);
        for (auto batch = reader_->next(); batch && *batch; batch = reader_->next())
            reader_->release((*batch)->id);
    }
}

transmit::Options mock_options() {
    transmit::Options options;
    options.properties.emplace("test.mock.num.brokers", "1");
    const char* more = std::getenv("TCPTRAIL_KAFKA");
    for (std::string_view rest = more ? more : ""; !rest.empty();) {
        const std::string_view each = rest.substr(0, rest.find(','));
        const size_t equals = std::min(each.find('='), each.size() - 1);
        options.properties.insert_or_assign(std::string(each.substr(0, equals)),
                                            std::string(each.substr(equals + 1)));
        rest.remove_prefix(std::min(each.size() + 1, rest.size()));
    }
    return options;
}

std::string next_mark() {
    static Checkpoint checkpoint;
    ++checkpoint.sequence;
    const auto bytes = checkpoint.as_bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace tcptrail::bench
