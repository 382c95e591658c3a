// SPDX-License-Identifier: Apache-2.0
//
// What fuzzing has found once must not come back, nor may a well-formed input that ends too early be trouble.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/catch.h"
#include "tests/fuzz/target.h"

using tests::fuzz::Target;
using tests::fuzz::targets;

namespace {

void run(const Target& target, const std::string& input) {
    // A copy of its exact size: a sanitizer sees what reads beyond it.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    target.run(bytes);
}

}  // namespace

TEST_CASE("fuzz: findings of earlier runs", "[unit][fuzz]") {
    REQUIRE_FALSE(targets().empty());
    for (const Target& target : targets()) {
        const std::filesystem::path folder = "tests/fuzz/corpus/" + target.name;
        if (!std::filesystem::exists(folder)) continue;
        for (const auto& file : std::filesystem::directory_iterator(folder)) {
            INFO(file.path());
            std::ostringstream text;
            text << std::ifstream(file.path(), std::ios::binary).rdbuf();
            CHECK_NOTHROW(run(target, text.str()));
        }
    }
}

TEST_CASE("fuzz: seeds, whole and cut off anywhere", "[unit][fuzz]") {
    for (const Target& target : targets()) {
        const auto seeds = target.seeds();
        REQUIRE_FALSE(seeds.empty());
        for (const std::string& seed : seeds) {
            INFO(target.name << ": " << seed.substr(0, 100));
            // At most some two hundred places of a long one.
            const size_t step = seed.size() / 200 + 1;
            for (size_t size = 0; size < seed.size(); size += step) {
                INFO("the first " << size << " bytes");
                CHECK_NOTHROW(run(target, seed.substr(0, size)));
            }
            CHECK_NOTHROW(run(target, seed));
        }
    }
}
