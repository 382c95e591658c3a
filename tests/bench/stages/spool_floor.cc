// SPDX-License-Identifier: Apache-2.0
//
// The floor of the spool: SQLite alone stores the same bytes in the same transactions, with the same
// settings. And zstd alone.
#include <sqlite3.h>
#include <zstd.h>

#include <stdexcept>

#include "agent/spool/compression.h"
#include "agent/spool/schema.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

constexpr int most_log_pages = 2048;  // as the spool's own thread allows

void run(sqlite3_stmt* statement) {
    int code = sqlite3_step(statement);
    while (code == SQLITE_ROW)
        code = sqlite3_step(statement);
    sqlite3_reset(statement);
    if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(sqlite3_db_handle(statement)));
}

// With the spool's tables and settings, but through SQLite's own functions.
class Store {
public:
    explicit Store(const std::string& path) {
        if (auto made = spool::open_store(path); !made) throw std::runtime_error(made.error().message);
        sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
        execute(
            "PRAGMA secure_delete = OFF; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864; "
            "PRAGMA cache_size = -2000; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0");
        begin_ = prepare("BEGIN IMMEDIATE");
        insert_ = prepare(spool::insert_into_batch);
        remove_ = prepare("DELETE FROM batch WHERE id BETWEEN ?1 AND ?2");
        totals_ = prepare(spool::update_totals);
        mark_ = prepare(spool::update_mark);
        commit_ = prepare("COMMIT");
        sqlite3_wal_hook(
            database_,
            [](void* pages, sqlite3*, const char*, int count) {
                *static_cast<int*>(pages) = count;
                return SQLITE_OK;
            },
            &log_pages_);
    }
    ~Store() {
        for (sqlite3_stmt* statement : {begin_, insert_, remove_, totals_, mark_, commit_})
            sqlite3_finalize(statement);
        sqlite3_close_v2(database_);
    }
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    void store(const std::string& payload, int64_t id, bool remove_last, const std::string& mark) {
        run(begin_);
        if (remove_last) {
            sqlite3_bind_int64(remove_, 1, 0);
            sqlite3_bind_int64(remove_, 2, id - 1);
            run(remove_);
        }
        for (int column = 1; column <= 6; ++column)
            sqlite3_bind_int64(insert_, column, id);
        sqlite3_bind_blob64(insert_, 7, payload.data(), payload.size(), SQLITE_STATIC);
        run(insert_);
        for (int column = 1; column <= 11; ++column)
            sqlite3_bind_int64(totals_, column, id);
        run(totals_);
        sqlite3_bind_blob64(mark_, 1, mark.data(), mark.size(), SQLITE_STATIC);
        sqlite3_bind_int64(mark_, 2, id);
        run(mark_);
        run(commit_);
    }
    // In the agent another thread does it.
    bool wants_checkpoint() const { return log_pages_ >= most_log_pages; }
    void checkpoint() { execute("PRAGMA wal_checkpoint(RESTART)"); }

private:
    void execute(const char* sql) {
        if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
            throw std::runtime_error(sqlite3_errmsg(database_));
    }
    sqlite3_stmt* prepare(const char* sql) {
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
            SQLITE_OK)
            throw std::runtime_error(sqlite3_errmsg(database_));
        return statement;
    }

    sqlite3* database_ = nullptr;
    sqlite3_stmt *begin_, *insert_, *remove_, *totals_, *mark_, *commit_;
    int log_pages_ = 0;
};

void sqlite_alone(benchmark::State& state, bool remove_last) {
    const auto size = static_cast<size_t>(state.range(0));
    std::vector<std::string> packed = payloads(size);
    spool::Compressor compressor(spool::fast_level);
    for (std::string& payload : packed)
        payload = compressor.pack(std::move(payload));
    Folder folder("sqlite");
    Store store(folder.path() + "/spool.db");
    int64_t id = 0;
    Meter meter;
    for (auto _ : state) {
        store.store(packed[static_cast<size_t>(id) % packed.size()], id + 1, remove_last, next_mark());
        ++id;
        if (!store.wants_checkpoint()) continue;
        state.PauseTiming();
        meter.pause();
        store.checkpoint();
        meter.go_on();
        state.ResumeTiming();
    }
    meter.report(state, static_cast<uint64_t>(id) * size);
}
void sqlite_append(benchmark::State& state) {
    sqlite_alone(state, true);
}
BENCHMARK(sqlite_append)->Name("floor/sqlite_append")->Arg(100)->Arg(2000)->MinTime(2);
void sqlite_append_offline(benchmark::State& state) {
    sqlite_alone(state, false);
}
BENCHMARK(sqlite_append_offline)->Name("floor/sqlite_append_offline")->Arg(100)->Arg(2000)->MinTime(2);

// By level of zstd; below zero are the fast ones.
void zstd_alone(benchmark::State& state) {
    const auto size = static_cast<size_t>(state.range(0));
    const std::vector<std::string> plain = payloads(size);
    std::string packed(ZSTD_compressBound(plain[0].size() * 2), '\0');
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, static_cast<int>(state.range(1)));
    uint64_t batches = 0, stored = 0;
    Meter meter;
    for (auto _ : state) {
        const std::string& payload = plain[batches++ % plain.size()];
        stored += ZSTD_compress2(context, packed.data(), packed.size(), payload.data(), payload.size());
    }
    meter.report(state, batches * size);
    state.counters["bytes"] = static_cast<double>(stored) / static_cast<double>(batches * size);
    ZSTD_freeCCtx(context);
}
BENCHMARK(zstd_alone)->Name("floor/zstd")->ArgsProduct({{100, 2000}, {-5, -3, -1, 1, 3}});

}  // namespace

}  // namespace tcptrail::bench
