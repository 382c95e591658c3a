// SPDX-License-Identifier: Apache-2.0
//
// Catch2 as the tests use it: version 2 (Debian 12, one header) and version 3 (Debian 13).
#pragma once

#include <string>

#include "agent/base/error.h"

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
namespace Catch::Matchers {
// The name that version 3 gives it.
inline StdString::ContainsMatcher ContainsSubstring(const std::string& text) {
    return Contains(text);
}
}  // namespace Catch::Matchers
#endif

// What fails is told with its error, not as {?}.
template <typename T>
struct Catch::StringMaker<tcptrail::Result<T>> {
    static std::string convert(const tcptrail::Result<T>& result) {
        return result ? std::string("a value") : "error: " + result.error().message;
    }
};

namespace tests {

// Counts the running test case as skipped, and prints why.
void skip(const std::string& reason);

}  // namespace tests

// Leaves the test case, which then counts as skipped: for what this machine cannot do.
#define SKIP_TEST(reason)    \
    do {                     \
        tests::skip(reason); \
        return;              \
    } while (false)
