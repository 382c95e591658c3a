// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the spool share.
#pragma once

#include <sqlite3.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "agent/spool/spool.h"
#include "tests/catch.h"
#include "tests/unit/temporary_folder.h"

namespace tcptrail::spool {

namespace fs = std::filesystem;

// A folder for a spool.
class TemporaryFolder : public tests::TemporaryFolder {
public:
    std::string file() const { return path() + "/spool.db"; }
};

// All in one lane; spool_lanes_test has two.
inline Options options_in(const std::string& folder, uint64_t max_bytes = 1u << 30) {
    Options options;
    options.directory = folder;
    options.max_bytes = max_bytes;
    options.live_first = false;
    options.loose_bytes = 0;
    return options;
}

inline std::vector<Message> messages(int first, int count, size_t value_bytes = 20) {
    std::vector<Message> list;
    for (int i = first; i < first + count; i++) {
        std::string value = "value " + std::to_string(i) + " ";
        // What cannot be compressed, so that sizes are what they are here.
        for (uint32_t noise = static_cast<uint32_t>(i) + 1; value.size() < value_bytes;) {
            noise = noise * 1664525 + 1013904223;
            value.push_back(static_cast<char>(noise >> 24));
        }
        list.push_back({i % 7 == 0 ? Topic::agents : Topic::connections, "key " + std::to_string(i), value});
    }
    return list;
}

// Whether what waits is refused: a file that is another's for a moment is no error.
inline bool becomes_refused(Spool& spool) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (spool.maintain())
        if (std::chrono::steady_clock::now() > end) return false;
    return true;
}

inline std::vector<Message> contents(const Batch& batch) {
    std::vector<Message> list;
    for (const MessageView& message : batch.messages)
        list.push_back({message.topic, std::string(message.key), std::string(message.value)});
    return list;
}

inline bool same(const std::vector<Message>& a, const std::vector<Message>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Message& x, const Message& y) {
        return x.topic == y.topic && x.key == y.key && x.value == y.value;
    });
}

inline bool balanced(const SpoolStats& stats) {
    return stats.in == stats.released + stats.too_large + stats.evicted + stats.expired + stats.damaged +
                           stats.memory_full + stats.held;
}

// A spool with its reader.
struct Open {
    std::unique_ptr<Spool> spool;
    std::unique_ptr<SpoolReader> reader;
};

inline Open open_spool(const Options& options) {
    auto spool = Spool::open(options);
    if (!spool) FAIL(spool.error().message);
    auto reader = (*spool)->reader();
    if (!reader) FAIL(reader.error().message);
    return {std::move(*spool), std::move(*reader)};
}

// Reads and releases all that can be read; returns the values.
inline std::vector<std::string> drain(Open& open) {
    std::vector<std::string> values;
    // A broken page is met by the reader, replaced by the appender, and then read on.
    for (int round = 0; round < 20; round++) {
        for (;;) {
            auto batch = open.reader->next();
            if (!batch || !*batch) break;
            for (const MessageView& message : (*batch)->messages)
                values.emplace_back(message.value);
            open.reader->release((*batch)->id);
        }
        (void)open.spool->maintain();
    }
    return values;
}

// Runs SQL on the file, beside the spool or without it.
inline void sql(const std::string& file, const std::string& text) {
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    char* problem = nullptr;
    const int code = sqlite3_exec(database, text.c_str(), nullptr, nullptr, &problem);
    INFO(text << ": " << (problem ? problem : ""));
    sqlite3_free(problem);
    sqlite3_close(database);
    REQUIRE(code == SQLITE_OK);
}

inline std::vector<std::string> set_aside_files(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder))
        if (auto name = entry.path().filename().string(); name.find("spool.db.corrupt-") == 0)
            if (name.find("-wal") == std::string::npos && name.find("-shm") == std::string::npos)
                names.push_back(name);
    return names;
}

inline void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Its first bytes.
inline std::string read_file(const std::string& path, size_t length) {
    std::string bytes(length, '\0');
    std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(length));
    return bytes;
}

}  // namespace tcptrail::spool
