// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/refusal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/catch.h"
#include "tests/kafka/process.h"

namespace tests {

std::string require_refusal(const std::vector<std::string>& command, int status) {
    const Finished finished = run(command, seconds(30));
    INFO(finished.errors);
    REQUIRE(finished.status == status);
    CHECK(finished.output.empty());
    CHECK(std::ranges::count(finished.errors, '\n') == 1);
    const auto told = nlohmann::json::parse(finished.errors);
    CHECK(told.at("level") == "error");
    CHECK(told.at("event") == "failed");
    CHECK(told.at("exit_status") == status);
    return told.at("message");
}

std::vector<std::string> behind(std::vector<std::string> wrapper, const std::vector<std::string>& command) {
    wrapper.insert(wrapper.end(), command.begin(), command.end());
    return wrapper;
}

std::vector<std::string> after_mounts(const std::string& script, const std::vector<std::string>& command) {
    return behind({"/usr/bin/unshare", "--mount", "sh", "-c", script + " && exec \"$@\"", "sh"}, command);
}

}  // namespace tests
