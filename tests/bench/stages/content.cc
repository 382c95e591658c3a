// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stages/content.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

#include "agent/base/clock.h"
#include "agent/encode/event.h"
#include "tests/unit/records.h"

namespace tcptrail::bench {

namespace {

constexpr size_t made_records = 4000;
constexpr uint64_t header_bytes = 8;

// HZ and the names of the reasons say nothing about the cost.
const connections::Kernel some_kernel = {
    250, {"NOT_SPECIFIED", "NO_SOCKET", "TCP_INVALID_ACK_SEQUENCE", "TCP_ABORT_ON_DATA"}, true};

}  // namespace

std::string folder() {
    if (const char* chosen = std::getenv("TCPTRAIL_BENCH")) return chosen;
    const char* build = std::getenv("BUILD");
    return std::string(build ? build : "build") + "/bench";
}

Content& Content::get() {
    static Content content;
    return content;
}

Content::Content() : kernel_(some_kernel), context_({}), host_(context::identify_host("/proc", "")) {
    std::filesystem::create_directories(folder());
    const std::string path = folder() + "/ring.bin";
    is_recorded_ = std::filesystem::exists(path);
    is_recorded_ ? read(path) : make();
    for (const auto& bytes : raw_) {
        tcptrail_record room;
        const auto record = capture::decode(bytes, room);
        if (!record)
            throw std::runtime_error(path + ": " + record.error().message + "; record it anew, or remove it");
        records_.push_back(**record);
    }
    if (records_.empty()) throw std::runtime_error(path + " has no records");

    const std::string proc = fmt::format("{}/proc-{}", folder(), getpid());
    make_processes(proc);
    context::Options options;
    options.proc = proc;
    context_ = context::Context(options);
    encode::EventEncoder encoder(host_);
    connections_.reserve(records_.size());
    for (const tcptrail_record& record : records_) {
        connections_.push_back(connections::connection_of(record, kernel_, boot_to_unix_offset()));
        events_.push_back(
            encoder.encode(connections_.back(), context_.find(connections_.back().owner), unix_nanos()));
        messages_.push_back(encode::to_message(events_.back()));
        message_bytes_ += messages_.back().key.size() + messages_.back().value.size();
    }
    std::filesystem::remove_all(proc);
}

// As in the ring: a header of eight bytes, of which four tell the length, then the record, aligned to eight.
void Content::read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    memory_.resize(std::filesystem::file_size(path) / sizeof(uint64_t));
    auto bytes = std::as_writable_bytes(std::span(memory_));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    for (std::span<const std::byte> rest = bytes; rest.size() >= header_bytes;) {
        uint32_t length = 0;
        std::memcpy(&length, rest.data(), sizeof length);
        const size_t whole = (header_bytes + length + 7) / 8 * 8;
        if (length == 0 || whole > rest.size()) throw std::runtime_error(path + " is broken");
        raw_.push_back(rest.subspan(header_bytes, length));
        rest = rest.subspan(whole);
    }
}

// Both ends of connections that one process opens to another.
void Content::make() {
    constexpr size_t words = (sizeof(tcptrail_record) + 7) / 8;
    memory_.resize(made_records * words);
    for (size_t i = 0; i < made_records; ++i) {
        tcptrail_record record = tests::make_record(i % 2 ? TCPTRAIL_ROLE_SERVER : TCPTRAIL_ROLE_CLIENT);
        i % 2 ? tests::walk(record, {3, 1, 8, 9, 7}) : tests::walk(record, {2, 1, 4, 5, 7});
        record.birth.cookie = i + 1;
        record.birth.local_port = static_cast<uint16_t>(32768 + i / 2);
        std::memcpy(&memory_[i * words], &record, sizeof record);
        raw_.emplace_back(reinterpret_cast<const std::byte*>(&memory_[i * words]), sizeof record);
    }
}

// The owners have ended since they were recorded.
void Content::make_processes(const std::string& proc) const {
    const auto ticks = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
    std::filesystem::create_directories(proc + "/self");
    std::filesystem::copy_file("/proc/self/mounts", proc + "/self/mounts");
    std::set<uint32_t> made;
    for (const tcptrail_record& record : records_) {
        const tcptrail_owner& owner = record.birth.owner;
        if (!owner.actor.pid || !made.insert(owner.actor.pid).second) continue;
        const std::string process = fmt::format("{}/{}", proc, owner.actor.pid);
        const std::string name(owner.actor.name, strnlen(owner.actor.name, sizeof owner.actor.name));
        std::filesystem::create_directory(process);
        std::filesystem::create_symlink("/usr/local/bin/" + name, process + "/exe");
        std::ofstream(process + "/stat") << owner.actor.pid << " (" << name << ") S" <<
            [] {
                std::string zeros;
                for (int field = 4; field < 22; ++field)
                    zeros += " 0";
                return zeros;
            }() << ' ' << owner.start_ns / (1'000'000'000 / ticks)
                                         << '\n';
        std::ofstream(process + "/cgroup") << "0::/system.slice/" << name << ".service\n";
        std::ofstream(process + "/status") << "Name:\t" << name << "\nUid:\t" << owner.actor.uid << '\n';
    }
}

}  // namespace tcptrail::bench
