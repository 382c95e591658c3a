// SPDX-License-Identifier: Apache-2.0
//
// What an agent must do where it cannot begin: say so, once.
#pragma once

#include <string>
#include <vector>

namespace tests {

// Runs an agent, which must end by itself, with this exit status and one line on its errors: the event
// "failed". Returns its message.
std::string require_refusal(const std::vector<std::string>& command, int status);

// `command` behind a wrapper: {"/usr/bin/prlimit", "--nofile=64"}.
std::vector<std::string> behind(std::vector<std::string> wrapper, const std::vector<std::string>& command);

// In a mount namespace of its own, after `script`, in which mounts are nobody else's.
std::vector<std::string> after_mounts(const std::string& script, const std::vector<std::string>& command);

}  // namespace tests
