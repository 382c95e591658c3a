// SPDX-License-Identifier: Apache-2.0
//
// The format: https://www.sqlite.org/fileformat2.html#b_tree_pages. Numbers are big-endian.
#include "agent/spool/tree_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "agent/base/fd.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr uint8_t interior = 5;
constexpr size_t header_bytes = 12, child_bytes = 4, longest_varint = 9;

using Page = std::array<uint8_t, page_bytes>;

std::optional<Page> read_page(int file, uint64_t number) {
    Page page;
    const auto at = static_cast<off_t>((number - 1) * page_bytes);
    if (number == 0 || pread(file, page.data(), page.size(), at) != static_cast<ssize_t>(page.size()))
        return std::nullopt;
    return page;
}

uint32_t number_at(const Page& page, size_t at, size_t bytes) {
    uint32_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | page[at + i];
    return number;
}

// Of an interior page. Nothing: its bytes do not add up.
std::optional<std::vector<uint32_t>> children_of(const Page& page) {
    const size_t count = number_at(page, 3, 2), content = number_at(page, 5, 2);
    if (content < header_bytes + 2 * count || content > page.size()) return std::nullopt;
    size_t used = page[7];
    std::vector<uint32_t> children;
    for (size_t i = 0; i < count; i++) {
        const size_t at = number_at(page, header_bytes + 2 * i, 2);
        if (at < content || at + child_bytes >= page.size()) return std::nullopt;
        children.push_back(number_at(page, at, child_bytes));
        size_t key_bytes = 1;
        while (key_bytes < longest_varint && at + child_bytes + key_bytes < page.size() &&
               page[at + child_bytes + key_bytes - 1] & 0x80)
            key_bytes++;
        used += child_bytes + key_bytes;
    }
    children.push_back(number_at(page, 8, 4));
    for (size_t block = number_at(page, 1, 2), last = 0; block != 0; block = number_at(page, block, 2)) {
        if (block <= last || block + 4 > page.size()) return std::nullopt;
        used += number_at(page, block + 2, 2);
        last = block;
    }
    if (used != page.size() - content) return std::nullopt;
    return children;
}

}  // namespace

bool leads_to_all(const std::string& path, Database& database) {
    const auto root = database.value("SELECT rootpage FROM sqlite_schema WHERE name = 'batch'");
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!root || !file.valid()) return true;
    // From level to level: all pages of one are of one kind.
    std::vector<uint32_t> level{static_cast<uint32_t>(*root)};
    while (!level.empty()) {
        const auto first = read_page(file.get(), level.front());
        if (!first || first->front() != interior) return true;
        std::vector<uint32_t> next;
        for (const uint32_t number : level) {
            const auto page = read_page(file.get(), number);
            if (!page) return true;
            const auto children = page->front() == interior ? children_of(*page) : std::nullopt;
            if (!children) return false;
            next.insert(next.end(), children->begin(), children->end());
        }
        // A page that leads back to one before would have no end.
        if (next.size() <= level.size()) return false;
        level = std::move(next);
    }
    return true;
}

}  // namespace tcptrail::spool
