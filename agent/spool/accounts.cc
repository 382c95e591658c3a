// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/accounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <type_traits>

#include "agent/base/fd.h"

namespace tcptrail::spool {
namespace {

constexpr uint64_t this_version = 1;

// As it lies in the file. What is not used of `mark` is zero.
struct Stored {
    uint64_t version = this_version;
    uint64_t inode = 0;
    uint64_t boot = 0;
    Totals totals;
    std::array<uint64_t, 2> delivered_created{};  // live, backlog
    uint64_t unix_nanos_at_boot = 0;
    uint64_t mark_bytes = 0;
    std::array<char, max_mark_bytes> mark{};
    uint64_t sum = 0;  // of all before it
};
static_assert(std::has_unique_object_representations_v<Stored>);

uint64_t sum_of(const Stored& stored) {
    return checksum(0, {reinterpret_cast<const char*>(&stored), offsetof(Stored, sum)});
}

std::string name_of(const std::string& path) {
    return path + "-accounts";
}

}  // namespace

uint64_t this_boot() {
    const Fd file(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    char id[64];
    const ssize_t length = file.valid() ? read(file.get(), id, sizeof id) : 0;
    return length > 0 ? checksum(0, {id, static_cast<size_t>(length)}) : 0;
}

std::optional<Accounts> read_accounts(const std::string& path) {
    // What lies there may be a pipe.
    const Fd file(open(name_of(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    Stored stored;
    if (!file.valid() || pread(file.get(), &stored, sizeof stored, 0) != sizeof stored) return std::nullopt;
    if (stored.version != this_version || stored.sum != sum_of(stored)) return std::nullopt;
    Accounts accounts;
    accounts.inode = stored.inode;
    accounts.totals = stored.totals;
    accounts.delivered[Lane::live].created_unix_nanos = stored.delivered_created[0];
    accounts.delivered[Lane::backlog].created_unix_nanos = stored.delivered_created[1];
    accounts.unix_nanos_at_boot = stored.unix_nanos_at_boot;
    accounts.mark.assign(stored.mark.data(), std::min<size_t>(stored.mark_bytes, stored.mark.size()));
    accounts.boot = stored.boot;
    return accounts;
}

Result<> write_accounts(const std::string& path, const Accounts& accounts) {
    const std::string name = name_of(path);
    Stored stored{.inode = accounts.inode,
                  .boot = accounts.boot,
                  .totals = accounts.totals,
                  .delivered_created = {accounts.delivered[Lane::live].created_unix_nanos,
                                        accounts.delivered[Lane::backlog].created_unix_nanos},
                  .unix_nanos_at_boot = accounts.unix_nanos_at_boot,
                  .mark_bytes = std::min(accounts.mark.size(), max_mark_bytes)};
    std::memcpy(stored.mark.data(), accounts.mark.data(), stored.mark_bytes);
    stored.sum = sum_of(stored);
    const Fd file(open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640));
    if (!file.valid()) return fail_errno("cannot open " + name, errno);
    const ssize_t written = pwrite(file.get(), &stored, sizeof stored, 0);
    if (written == static_cast<ssize_t>(sizeof stored)) return {};
    return fail_errno("cannot write " + name, written < 0 ? errno : ENOSPC);
}

Totals catch_up(const Totals& found, const Totals& known) {
    Totals totals = known;
    totals.leave(&Totals::damaged, known.in - std::min(found.in, known.in));
    return totals.with(found.events, found.bytes, found.last_id);
}

}  // namespace tcptrail::spool
