// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/refusal.h"

#include <algorithm>

#include "tests/catch.h"
#include "tests/kafka/process.h"

namespace tests {

std::string require_refusal(const std::vector<std::string>& command, int status) {
    const Finished finished = run(command, seconds(30));
    INFO(finished.errors);
    REQUIRE(finished.status == status);
    CHECK(finished.output.empty());
    CHECK(finished.errors.starts_with("tcptrail: "));
    CHECK(std::ranges::count(finished.errors, '\n') == 1);
    return finished.errors;
}

std::vector<std::string> behind(std::vector<std::string> wrapper, const std::vector<std::string>& command) {
    wrapper.insert(wrapper.end(), command.begin(), command.end());
    return wrapper;
}

std::vector<std::string> after_mounts(const std::string& script, const std::vector<std::string>& command) {
    return behind({"/usr/bin/unshare", "--mount", "sh", "-c", script + " && exec \"$@\"", "sh"}, command);
}

}  // namespace tests
