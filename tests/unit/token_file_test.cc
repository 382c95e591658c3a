// SPDX-License-Identifier: Apache-2.0
#include "agent/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/catch.h"
#include "tests/unit/config_files.h"

using namespace tcptrail;

namespace {

const std::string first = "0123456789abcdef", second = "fedcba9876543210";

}  // namespace

TEST_CASE("token file: what is replaced is taken up at once") {
    const tests::ConfigFolder folder;
    const std::string path = folder.write("token", first + "\n");
    auto file = TokenFile::open(path);
    REQUIRE(file);
    CHECK(file->token() == first);
    for (int i = 0; i < 3; ++i)
        CHECK(file->renew() == false);
    // By renaming, as most programs do it.
    const std::string other = folder.write("other", second + "\r\n");
    REQUIRE(rename(other.c_str(), path.c_str()) == 0);
    CHECK(file->renew() == true);
    CHECK(file->token() == second);
    CHECK(file->renew() == false);
    // In place, with as many bytes.
    (void)folder.write("token", first + "\n");
    CHECK(file->renew() == true);
    CHECK(file->token() == first);
}

TEST_CASE("token file: behind a symbolic link") {
    const tests::ConfigFolder folder;
    const std::string one = folder.write("one", first), two = folder.write("two", second);
    const std::string path = one + ".link";
    std::filesystem::create_symlink(one, path);
    auto file = TokenFile::open(path);
    REQUIRE(file);
    std::filesystem::remove(path);
    std::filesystem::create_symlink(two, path);
    CHECK(file->renew() == true);
    CHECK(file->token() == second);
}

TEST_CASE("token file: what cannot be used changes nothing, and is tried again") {
    const tests::ConfigFolder folder;
    const std::string path = folder.write("token", first);
    CHECK_FALSE(TokenFile::open(path + ".missing"));
    auto file = TokenFile::open(path);
    REQUIRE(file);
    for (const char* wrong : {"", "short", "has blanks in its 0123456789"}) {
        INFO(wrong);
        (void)folder.write("token", wrong);
        for (int i = 0; i < 3; ++i)
            CHECK_FALSE(file->renew());
        CHECK(file->token() == first);
    }
    std::filesystem::remove(path);
    CHECK_FALSE(file->renew());
    CHECK(file->token() == first);
    // The same one comes back: no other token, and no error any more.
    (void)folder.write("token", first);
    CHECK(file->renew() == false);
    (void)folder.write("token", second);
    CHECK(file->renew() == true);
    CHECK(file->token() == second);
}

TEST_CASE("token file: one that is half written, and written on within a tick of the clock") {
    const tests::ConfigFolder folder;
    const std::string path = folder.write("token", first);
    auto file = TokenFile::open(path);
    REQUIRE(file);
    struct stat before{};
    REQUIRE(stat(path.c_str(), &before) == 0);
    (void)folder.write("token", second);  // as many bytes in the same file
    const timespec times[] = {before.st_atim, before.st_mtim};
    REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
    CHECK(file->renew() == true);
    CHECK(file->token() == second);
}
