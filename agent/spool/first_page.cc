// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/first_page.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

// Offsets in the header of a database, https://www.sqlite.org/fileformat2.html#the_database_header: the
// change counter, and its value when the number of pages was written down. Where they differ, SQLite takes
// the number of pages from the size of the file.
constexpr size_t change_counter = 24;
constexpr size_t version_valid_for = 92;

// Empty: it is no regular file, or shorter.
std::string read_page(int file) {
    struct stat status{};
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return {};
    std::string page(page_bytes, '\0');
    if (pread(file, page.data(), page.size(), 0) != static_cast<ssize_t>(page.size())) return {};
    return page;
}

bool write_page(int file, const std::string& page) {
    return pwrite(file, page.data(), page.size(), 0) == static_cast<ssize_t>(page.size());
}

std::string copy_of(const std::string& path) {
    return path + "-page1";
}

constexpr int open_flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

}  // namespace

void forget_page_count(std::span<char> first_page) {
    first_page[version_valid_for] = static_cast<char>(first_page[change_counter] ^ 1);
}

std::optional<FirstPage> FirstPage::lend(const std::string& path, const std::string& donor) {
    Fd file(open(path.c_str(), O_RDWR | open_flags));
    const Fd good(open(donor.c_str(), O_RDONLY | open_flags));
    std::string before = read_page(file.get());
    std::string lent = read_page(good.get());
    if (before.empty() || lent.empty()) return std::nullopt;
    forget_page_count(lent);
    const Fd copy(open(copy_of(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | open_flags, 0640));
    FirstPage page(path, std::move(file), std::move(before), std::move(lent));
    if (!write_page(copy.get(), page.before_)) return std::nullopt;
    if (!write_page(page.file_.get(), page.lent_)) {
        (void)write_page(page.file_.get(), page.before_);
        return std::nullopt;
    }
    return page;
}

FirstPage::~FirstPage() {
    if (!file_.valid()) return;
    const bool is_theirs = read_page(file_.get()) != lent_;
    if (is_theirs || write_page(file_.get(), before_)) (void)unlink(copy_of(path_).c_str());
}

void FirstPage::put_back(const std::string& path) {
    const Fd copy(open(copy_of(path).c_str(), O_RDONLY | open_flags));
    const std::string before = read_page(copy.get());
    // A copy that was not finished: nothing was lent yet.
    if (before.empty() && copy.valid()) (void)unlink(copy_of(path).c_str());
    if (before.empty()) return;
    const Fd file(open(path.c_str(), O_RDWR | open_flags));
    if (write_page(file.get(), before) || !exists(path)) (void)unlink(copy_of(path).c_str());
}

}  // namespace tcptrail::spool
