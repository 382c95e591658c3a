// SPDX-License-Identifier: Apache-2.0
//
// The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log. Numbers are big-endian; checksums
// are made of words in the order of bytes that the magic number tells, which is the writer's own.
#include "agent/spool/log_repair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "agent/base/fd.h"
#include "agent/spool/first_page.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr size_t header_bytes = 32, frame_header_bytes = 24, frame_bytes = frame_header_bytes + page_bytes;
constexpr size_t header_sum_at = 24, salts_at = 8, header_salts_at = 16, frame_sum_at = 16, salt_bytes = 8;
constexpr uint32_t magic = 0x377f0682, version = 3'007'000;  // the magic of a little-endian writer
constexpr uint64_t longest_log_bytes = 256u << 20;           // several times what it grows to

uint32_t get(std::span<const char> bytes, size_t at) {
    uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return std::byteswap(value);
}

void put(std::span<char> bytes, size_t at, uint32_t value) {
    value = std::byteswap(value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

using Sum = std::array<uint32_t, 2>;

Sum sum_at(std::span<const char> bytes, size_t at) {
    return {get(bytes, at), get(bytes, at + 4)};
}

void put_sum(std::span<char> bytes, size_t at, Sum sum) {
    put(bytes, at, sum[0]);
    put(bytes, at + 4, sum[1]);
}

// From `sum` on.
Sum sum_of(Sum sum, std::span<const char> bytes) {
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
        Sum word{};
        std::memcpy(word.data(), bytes.data() + at, sizeof word);
        sum[0] += word[0] + sum[1];
        sum[1] += word[1] + sum[0];
    }
    return sum;
}

class Log {
public:
    explicit Log(std::string bytes) : bytes_(std::move(bytes)) {}

    size_t frames() const { return (bytes_.size() - header_bytes) / frame_bytes; }
    std::span<char> header() { return std::span(bytes_).first(header_bytes); }
    std::span<char> frame(size_t index) {
        return std::span(bytes_).subspan(header_bytes + index * frame_bytes, frame_bytes);
    }
    std::span<char> page(size_t index) { return frame(index).subspan(frame_header_bytes); }
    std::span<char> salts(size_t index) { return frame(index).subspan(salts_at, salt_bytes); }
    uint32_t page_number(size_t index) { return get(frame(index), 0); }
    const std::string& bytes() const { return bytes_; }

    // Of the frame, when that of the one before is `before`.
    Sum sum_after(Sum before, size_t index) {
        return sum_of(sum_of(before, frame(index).first(8)), page(index));
    }
    Sum stored(size_t index) { return sum_at(frame(index), frame_sum_at); }

private:
    std::string bytes_;
};

// What is wrong with the frames up to the last one that fits.
struct Diagnosis {
    std::vector<size_t> damaged;  // their contents
    size_t mended = 0;            // frames, and the header, that are wrong only beside their contents
    size_t end = 0;               // how many frames there are
};

Diagnosis diagnose(Log& log) {
    Diagnosis found;
    Sum sum = sum_of({}, log.header().first(header_sum_at));
    const bool has_header = sum == sum_at(log.header(), header_sum_at);
    // Where only the sum is wrong, the first frame fits what it should be.
    if (!has_header && log.sum_after(sum, 0) != log.stored(0)) sum = sum_at(log.header(), header_sum_at);
    size_t damaged = 0, mended = 0;
    // What an earlier round of the log has left behind its end has other salts, as a rule.
    const auto salts = has_header ? log.header().subspan(header_salts_at, salt_bytes) : log.salts(0);
    const auto has_salts = [&](size_t index) { return std::ranges::equal(log.salts(index), salts); };
    std::vector<size_t> all_damaged;
    for (size_t index = 0; index < log.frames(); index++) {
        const Sum wanted = log.sum_after(sum, index);
        const bool fits = wanted == log.stored(index);
        const auto next_fits = [&] {
            return index + 1 < log.frames() && has_salts(index + 1) &&
                   log.sum_after(wanted, index + 1) == log.stored(index + 1);
        };
        if ((fits && has_salts(index)) || next_fits()) {
            mended += !fits || !has_salts(index);
            found.end = index + 1;
            found.mended = mended;
            damaged = all_damaged.size();
            sum = wanted;
        } else {
            all_damaged.push_back(index);
            sum = log.stored(index);
        }
    }
    all_damaged.resize(damaged);
    found.damaged = std::move(all_damaged);
    if (found.end > 0) found.mended += !has_header;
    return found;
}

// As it was before that frame; nothing: it was not there.
bool read_before(Log& log, size_t index, uint32_t page, int database, std::span<char> to) {
    for (size_t earlier = index; earlier-- > 0;)
        if (log.page_number(earlier) == page) {
            std::ranges::copy(log.page(earlier), to.begin());
            return true;
        }
    const auto at = static_cast<off_t>(page_bytes * (uint64_t{page} - 1));
    return page > 0 && pread(database, to.data(), to.size(), at) == static_cast<ssize_t>(to.size());
}

// Puts what its page was before in the place of a frame's contents, or, where the page is new or its number
// damaged, the first page once more.
bool take_out(Log& log, size_t index, int database, uint32_t most_pages) {
    const auto frame = log.frame(index);
    std::vector<char> before(page_bytes);
    uint32_t page = log.page_number(index);
    if (page > most_pages || !read_before(log, index, page, database, before)) {
        page = 1;
        if (!read_before(log, index, page, database, before)) return false;
    }
    if (page == 1) forget_page_count(before);
    put(frame, 0, page);
    // How many pages there are then, where it ends a transaction.
    if (get(frame, 4) > most_pages) put(frame, 4, 0);
    std::ranges::copy(before, log.page(index).begin());
    return true;
}

// Of all frames, from the first to the last.
void seal(Log& log, size_t frames) {
    const auto header = log.header();
    // Salts that a damaged header has not are the first frame's; it is damaged itself less often than they
    // are.
    if (sum_of({}, header.first(header_sum_at)) != sum_at(header, header_sum_at)) {
        put(header, 0, magic);
        put(header, 4, version);
        put(header, 8, page_bytes);
        std::ranges::copy(log.salts(0), header.begin() + header_salts_at);
    }
    Sum sum = sum_of({}, header.first(header_sum_at));
    put_sum(header, header_sum_at, sum);
    for (size_t index = 0; index < frames; index++) {
        const auto frame = log.frame(index);
        std::ranges::copy(header.subspan(header_salts_at, salt_bytes), log.salts(index).begin());
        sum = log.sum_after(sum, index);
        put_sum(frame, frame_sum_at, sum);
    }
}

std::optional<std::string> read_all(const std::string& name) {
    const Fd file(open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (!file.valid() || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    const auto size = static_cast<uint64_t>(status.st_size);
    if (size < header_bytes + frame_bytes || size > longest_log_bytes) return std::nullopt;
    std::string bytes(size, '\0');
    for (size_t at = 0; at < size;) {
        const ssize_t got = pread(file.get(), bytes.data() + at, size - at, static_cast<off_t>(at));
        if (got <= 0) return std::nullopt;
        at += static_cast<size_t>(got);
    }
    return bytes;
}

bool write_all(const std::string& name, std::span<const char> bytes) {
    (void)unlink(name.c_str());
    const Fd file(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640));
    while (file.valid() && !bytes.empty()) {
        const ssize_t written = write(file.get(), bytes.data(), bytes.size());
        if (written <= 0) break;
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    if (bytes.empty()) return true;
    (void)unlink(name.c_str());
    return false;
}

}  // namespace

std::optional<uint64_t> repair_log(const std::string& path, const std::string& to) {
    // Words of the writer's machine, which is of this kind.
    if constexpr (std::endian::native != std::endian::little) return 0;
    auto bytes = read_all(path + "-wal");
    if (!bytes) return 0;
    Log log(std::move(*bytes));
    const Diagnosis found = diagnose(log);
    const uint64_t wrong = found.damaged.size() + found.mended;
    if (wrong == 0) return 0;
    const Fd database(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (!database.valid() || fstat(database.get(), &status) != 0) return 0;
    const auto most_pages =
        static_cast<uint32_t>(static_cast<uint64_t>(status.st_size) / page_bytes + log.frames());
    for (const size_t index : found.damaged)
        if (!take_out(log, index, database.get(), most_pages)) return 0;
    seal(log, found.end);
    const auto mended = std::span(log.bytes()).first(header_bytes + found.end * frame_bytes);
    if (!write_all(to + "-wal", mended)) return std::nullopt;
    return wrong;
}

}  // namespace tcptrail::spool
