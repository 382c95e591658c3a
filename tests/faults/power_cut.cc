// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/power_cut.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <string_view>

#include "tests/catch.h"

namespace tests {

namespace {

constexpr size_t block = 4096, sector = 512;

// A write of one block or less, or a new size.
struct Change {
    bool is_size = false;
    size_t offset = 0;  // or the size
    std::string_view bytes;
};

struct File {
    std::string durable;
    std::vector<Change> since;  // its last sync
};

struct NameChange {
    std::string from;  // to be removed; empty: none
    std::string to;    // to be made; empty: none
    size_t file = 0;
};

using Names = std::map<std::string, size_t>;  // of files

void put(std::string& bytes, const Change& change) {
    if (change.is_size) {
        bytes.resize(change.offset);
        return;
    }
    if (bytes.size() < change.offset + change.bytes.size()) bytes.resize(change.offset + change.bytes.size());
    change.bytes.copy(bytes.data() + change.offset, change.bytes.size());
}

void put(Names& names, const NameChange& change) {
    if (!change.from.empty()) names.erase(change.from);
    if (!change.to.empty()) names[change.to] = change.file;
}

class Disk {
public:
    void run(const LoggedCall& call) {
        switch (call.record.call) {
            case DiskCall::open:
                // An inode's number is used again by a new file.
                if (names_now_.contains(call.payload)) break;
                numbers_[call.record.inode] = files_.size();
                change({"", call.payload, files_.size()});
                files_.emplace_back();
                break;
            case DiskCall::write:
                split(file_of(call), call);
                break;
            case DiskCall::truncate:
                file_of(call).since.push_back({true, call.record.offset, {}});
                break;
            case DiskCall::sync:
                // The folder's has only names.
                if (numbers_.contains(call.record.inode)) sync(file_of(call));
                for (const NameChange& one : names_since_)
                    put(names_, one);
                names_since_.clear();
                break;
            case DiskCall::rename: {
                const std::string from = call.payload.c_str(), to = call.payload.c_str() + from.size() + 1;
                change({from, to, names_now_.at(from)});
                break;
            }
            case DiskCall::unlink:
                change({call.payload, "", 0});
                break;
            case DiskCall::note:
                break;
        }
    }

    void write(std::mt19937& random, const std::filesystem::path& folder) {
        for (size_t kept = random() % (names_since_.size() + 1), i = 0; i < kept; ++i)
            put(names_, names_since_[i]);
        for (const auto& [path, file] : names_) {
            std::string bytes = files_[file].durable;
            tear(bytes, files_[file].since, random);
            std::ofstream(folder / std::filesystem::path(path).filename(), std::ios::binary) << bytes;
        }
    }

private:
    void change(const NameChange& one) {
        put(names_now_, one);
        names_since_.push_back(one);
    }

    static void sync(File& file) {
        for (const Change& one : file.since)
            put(file.durable, one);
        file.since.clear();
    }

    static void split(File& file, const LoggedCall& call) {
        const std::string_view all = call.payload;
        for (size_t at = 0; at < all.size();) {
            const size_t offset = call.record.offset + at;
            const size_t length = std::min(block - offset % block, all.size() - at);
            file.since.push_back({false, offset, all.substr(at, length)});
            at += length;
        }
    }

    static void tear(std::string& bytes, const std::vector<Change>& since, std::mt19937& random) {
        const unsigned kind = random() % 5;
        if (kind == 0) return;  // nothing of it
        // Some of it: from one in ten to nine in ten; or all until some moment.
        const unsigned tenths = 1 + random() % 9;
        const size_t until = kind == 2 ? random() % (since.size() + 1) : since.size();
        size_t size = bytes.size();
        for (size_t i = 0; i < until; ++i) {
            const Change& one = since[i];
            size = one.is_size ? one.offset : std::max(size, one.offset + one.bytes.size());
            const bool whole = kind <= 2 || one.is_size || random() % 10 < tenths;
            if (whole)
                put(bytes, one);
            else if (random() % 20 == 0)
                put(bytes, {false, one.offset, one.bytes.substr(0, random() % (block / sector) * sector)});
        }
        // The size came to the disk, the blocks did not.
        if (kind == 4) bytes.resize(std::max(bytes.size(), size));
    }

    File& file_of(const LoggedCall& call) { return files_[numbers_.at(call.record.inode)]; }

    std::deque<File> files_;
    std::map<uint64_t, size_t> numbers_;  // of files, by inode
    Names names_, names_now_;
    std::vector<NameChange> names_since_;
};

}  // namespace

std::vector<LoggedCall> read_disk_log(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<LoggedCall> calls;
    for (DiskRecord record{}; file.read(reinterpret_cast<char*>(&record), sizeof record);) {
        LoggedCall call{record, std::string(record.payload_bytes, '\0')};
        REQUIRE(file.read(call.payload.data(), record.payload_bytes));
        calls.push_back(std::move(call));
    }
    return calls;
}

void cut_power(const std::vector<LoggedCall>& calls, size_t count, std::mt19937& random,
               const std::filesystem::path& to) {
    Disk disk;
    for (size_t i = 0; i < count; ++i)
        disk.run(calls[i]);
    std::filesystem::remove_all(to);
    std::filesystem::create_directories(to);
    disk.write(random, to);
}

}  // namespace tests
