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

}  // namespace

void forget_page_count(std::span<char> first_page) {
    first_page[version_valid_for] = static_cast<char>(first_page[change_counter] ^ 1);
}

std::optional<FirstPage> FirstPage::lend(const std::string& path, const std::string& donor) {
    constexpr int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    Fd file(open(path.c_str(), O_RDWR | flags));
    const Fd good(open(donor.c_str(), O_RDONLY | flags));
    if (!file.valid() || !good.valid()) return std::nullopt;
    std::string before = read_page(file.get());
    std::string lent = read_page(good.get());
    if (before.empty() || lent.empty()) return std::nullopt;
    forget_page_count(lent);
    if (!write_page(file.get(), lent)) {
        (void)write_page(file.get(), before);
        return std::nullopt;
    }
    return FirstPage(std::move(file), std::move(before), std::move(lent));
}

FirstPage::~FirstPage() {
    if (file_.valid() && read_page(file_.get()) == lent_) (void)write_page(file_.get(), before_);
}

}  // namespace tcptrail::spool
