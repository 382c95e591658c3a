// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/inspect.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace tcptrail::spool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t batches_per_transaction = 16;
// A page that cannot be read hides a run of ids; no longer run than this is stepped over.
constexpr uint64_t max_unreadable_ids = 1 << 16;

uint64_t size_of(const std::string& path) {
    std::error_code problem;
    const auto size = fs::file_size(path, problem);
    return problem ? 0 : size;
}

}  // namespace

std::vector<FileSetAside> files_set_aside(const std::string& directory) {
    std::vector<FileSetAside> files;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(directory, problem)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with("spool.db.corrupt-") || name.ends_with("-wal") || name.ends_with("-shm"))
            continue;
        files.push_back({entry.path(), size_of(entry.path())});
    }
    std::ranges::sort(files, {}, &FileSetAside::path);
    return files;
}

Result<Inspector> Inspector::open(const std::string& path) {
    if (std::error_code problem; !fs::exists(path, problem))
        return fail("there is no spool at " + path + (problem ? ": " + problem.message() : "") +
                    "; spool.directory, or --directory, says where it is");
    Inspector inspector;
    inspector.path_ = path;
    const bool has_log = size_of(path + "-wal") > 0;
    auto opened = Database::open_read_only(path, !has_log);
    // Known once it is read: the log may need a file beside it that cannot be made.
    auto probed = opened ? opened->value("PRAGMA user_version") : std::unexpected(opened.error());
    if (!probed && has_log) {
        opened = Database::open_read_only(path, true);
        probed = opened ? opened->value("PRAGMA user_version") : std::unexpected(opened.error());
        inspector.warning_ = "the log " + path + "-wal cannot be read here: its last events are not shown";
    }
    if (!probed) return probed.error().within("cannot read " + path);
    inspector.database_ = std::move(*opened);
    // It lets SQLite read a file that is shorter than its header says.
    (void)inspector.database_.execute("PRAGMA writable_schema = ON; PRAGMA cache_size = -2000");
    return inspector;
}

Result<Inspector::Overview> Inspector::overview() {
    Overview overview;
    const auto value = [this](const char* sql) { return database_.value(sql).value_or(0); };
    overview.format = value("PRAGMA user_version");
    if (overview.format < 1 || overview.format > format_version)
        return fail(path_ + ": a file of format " + std::to_string(overview.format) +
                    "; this program knows formats up to " + std::to_string(format_version) +
                    ": use the one of the agent that wrote it");
    if (auto totals = read_totals(database_)) overview.totals = *totals;
    if (overview.format > 1)
        if (auto mark = read_mark(database_)) overview.has_mark = !mark->empty();
    overview.batches = value("SELECT count(*) FROM batch");
    overview.messages_set_aside = value("SELECT count(*) FROM set_aside");
    overview.oldest_unix_nanos = value("SELECT created_unix_nanos FROM batch ORDER BY id LIMIT 1");
    overview.newest_unix_nanos = value("SELECT created_unix_nanos FROM batch ORDER BY id DESC LIMIT 1");
    overview.file_bytes = size_of(path_);
    overview.log_bytes = size_of(path_ + "-wal");
    return overview;
}

Result<uint64_t> Inspector::each_set_aside(const std::function<bool(const MessageView&)>& visit) {
    uint64_t damaged = 0;
    // There are few of them.
    auto select = database_.prepare(select_set_aside);
    if (!select) return select.error().within("cannot read " + path_);
    Query rows(*select);
    for (;;) {
        auto found = rows.step();
        if (!found) return found.error().within("cannot read " + path_);
        if (!*found) return damaged;
        const SetAside row = read_set_aside(rows);
        auto plain = row.whole ? decompressor_.unpack(row.payload) : fail("damaged");
        auto messages = plain ? parse_payload(*plain) : std::unexpected(plain.error());
        if (!messages) damaged++;
        for (const MessageView& message : messages.value_or(std::vector<MessageView>()))
            if (!visit(message)) return damaged;
    }
}

Result<bool> Inspector::each(const std::function<bool(const Found&)>& visit) {
    auto select = database_.prepare("SELECT * FROM batch WHERE id >= ?1 ORDER BY id LIMIT ?2");
    if (!select) return select.error().within("cannot read " + path_);
    bool hidden = false;
    uint64_t next = 0;
    for (uint64_t unreadable = 0; unreadable < max_unreadable_ids;) {
        Query rows(*select, next, batches_per_transaction);
        uint64_t seen = 0;
        for (;;) {
            auto found = rows.step();
            if (!found) {
                hidden = true;
                unreadable++;
                next++;
                break;
            }
            if (!*found) {
                if (seen == 0) return hidden;
                break;
            }
            const Row row = read_row(rows);
            Found batch{.head = row.head, .head_whole = row.head_whole, .problem = {}, .messages = {}};
            std::vector<char> plain;
            if (!row.whole) batch.problem = row.head_whole ? "its payload is damaged" : "its head is damaged";
            if (row.whole) {
                auto unpacked = decompressor_.unpack(row.payload);
                auto messages = unpacked ? parse_payload(*unpacked) : std::unexpected(unpacked.error());
                if (!messages) batch.problem = messages.error().message;
                if (messages && messages->size() != row.head.events)
                    batch.problem = "its payload has " + std::to_string(messages->size()) + " events, not " +
                                    std::to_string(row.head.events);
                else if (messages)
                    batch.messages = std::move(*messages);
                if (unpacked) plain = std::move(*unpacked);
            }
            if (!visit(batch)) return hidden;
            seen++;
            unreadable = 0;
            next = std::max(next, row.head.id) + 1;
        }
    }
    return hidden;
}

}  // namespace tcptrail::spool
