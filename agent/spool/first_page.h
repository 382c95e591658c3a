// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "agent/base/fd.h"

namespace tcptrail::spool {

// So that SQLite takes the number of pages from the size of the file, or from its log, rather than from this
// page.
void forget_page_count(std::span<char> first_page);

// SQLite's first page tells where the tables are: without it the file cannot be opened. All spools that were
// made with this format have the same, so a file whose first page is damaged is lent that of another one
// while it is read.
class FirstPage {
public:
    // Puts the first page of the spool at `donor`, which is at rest, in the place of that of `path`. Nothing:
    // one of them is no file of that kind, or cannot be written.
    static std::optional<FirstPage> lend(const std::string& path, const std::string& donor);
    // Puts back what was there, unless SQLite has written another page meanwhile.
    ~FirstPage();
    // The same, where a process was killed before it did: it lies in <path>-page1 meanwhile.
    static void put_back(const std::string& path);
    FirstPage(FirstPage&& other) noexcept = default;
    FirstPage& operator=(FirstPage&&) = delete;

private:
    FirstPage(std::string path, Fd file, std::string before, std::string lent)
        : path_(std::move(path)),
          file_(std::move(file)),
          before_(std::move(before)),
          lent_(std::move(lent)) {}

    std::string path_;
    Fd file_;
    std::string before_;
    std::string lent_;
};

}  // namespace tcptrail::spool
