// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/driven_spool.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <utility>

#include "tests/catch.h"
#include "tests/kafka/setting.h"

namespace tests {

namespace {

// There are thousands of runs of some milliseconds: no polling.
std::pair<int, std::string> output_of(const std::vector<std::string>& command) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    std::vector<char*> arguments;
    for (const std::string& argument : command)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int failed = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    REQUIRE(failed == 0);
    std::string output;
    std::array<char, 65536> bytes{};
    for (ssize_t length = 0; (length = read(ends[0], bytes.data(), bytes.size())) > 0;)
        output.append(bytes.data(), static_cast<size_t>(length));
    close(ends[0]);
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), std::move(output)};
}

}  // namespace

Told told_by(const std::string& output, int status) {
    Told told;
    told.status = status;
    told.output = output;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string verb;
        words >> verb;
        if (verb == "found") {
            told.opened = true;
            words >> told.found;
            told.kept = told.end = told.found;
        } else if (verb == "begin") {
            words >> told.end >> told.end;
        } else if (verb == "kept") {
            words >> told.kept;
        } else if (verb == "release" || verb == "read") {
            for (uint64_t number = 0; words >> number;)
                (verb == "read" ? told.read : told.released).insert(number);
        } else if (verb == "error") {
            told.errors.push_back(line);
        } else if (verb == "stats") {
            auto& stats = told.stats.emplace_back();
            for (std::string word; words >> word;)
                stats[word.substr(0, word.find('='))] = std::stoul(word.substr(word.find('=') + 1));
        }
    }
    return told;
}

DrivenSpool::DrivenSpool(const std::filesystem::path& folder) : path_(folder / "driven") {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(folder);
}

DrivenSpool::DrivenSpool(const std::filesystem::path& folder, const DrivenSpool& other)
    : DrivenSpool(folder) {
    if (std::filesystem::exists(other.path_))
        std::filesystem::copy(other.path_, path_, std::filesystem::copy_options::recursive);
}

Told DrivenSpool::write(const std::vector<std::string>& settings, const std::vector<std::string>& faults,
                        seconds limit) const {
    std::vector<std::string> command{"/usr/bin/timeout",
                                     "-s",
                                     "KILL",
                                     std::to_string(limit.count()),
                                     "/usr/bin/env",
                                     "DISK_FAULTS_FOLDER=" + path_.string(),
                                     "LD_PRELOAD=" + built("tests/tools/disk_faults.so")};
    command.insert(command.end(), faults.begin(), faults.end());
    for (const std::string& word : {built("tests/tools/spool_driver"), std::string("write"), path_.string()})
        command.push_back(word);
    command.insert(command.end(), settings.begin(), settings.end());
    const auto [status, output] = output_of(command);
    return told_by(output, status);
}

Told DrivenSpool::check(const std::vector<std::string>& prefix) const {
    std::vector<std::string> command = prefix;
    for (const std::string& word : {built("tests/tools/spool_driver"), std::string("check"), path_.string()})
        command.push_back(word);
    const auto [status, output] = output_of(command);
    return told_by(output, status);
}

uint64_t DrivenSpool::calls(const std::vector<std::string>& settings) const {
    const std::string count = path_.string() + ".count";
    const Told told = write(settings, {"DISK_FAULTS_COUNT=" + count});
    INFO(told.output);
    REQUIRE(told.status == 0);
    uint64_t calls = 0;
    std::ifstream(count) >> calls;
    REQUIRE(calls > 0);
    return calls;
}

bool is_balanced(const Told::Stats& stats) {
    uint64_t left = 0;
    for (const char* account :
         {"released", "too_large", "evicted", "expired", "damaged", "memory_full", "held"})
        left += stats.at(account);
    return stats.at("in") == left;
}

namespace {

// Of what was committed: neither delivered nor there.
uint64_t missing(const Told& before, const Told& then, const Told& checked) {
    uint64_t count = 0;
    for (uint64_t number = 0; number < checked.found; ++number)
        count += !before.released.contains(number) && !then.released.contains(number) &&
                 !checked.read.contains(number);
    return count;
}

}  // namespace

void require_nothing_lost(const Told& before, const Told& killed, const Told& checked) {
    INFO("before:\n" << before.output << "killed:\n" << killed.output << "checked:\n" << checked.output);
    REQUIRE(checked.status == 0);
    REQUIRE(checked.stats.size() == 2);
    CHECK(checked.errors.empty());
    const uint64_t mark = checked.found;
    CHECK(mark >= std::max(before.end, killed.kept));
    CHECK(mark <= std::max(before.end, killed.end));
    const auto& stats = checked.stats.front();
    CHECK(stats.at("files_set_aside") == 0);
    CHECK(stats.at("in") == mark);
    CHECK(stats.at("held") == checked.read.size());
    CHECK(stats.at("damaged") == 0);
    CHECK(is_balanced(stats));
    CHECK(is_balanced(checked.stats.back()));
    CHECK(checked.stats.back().at("held") == 0);
    CHECK(missing(before, killed, checked) == stats.at("evicted"));
    CHECK((checked.read.empty() || *checked.read.rbegin() < mark));
}

void require_account(const Told& before, const Told& failed, const Told& checked) {
    INFO("before:\n" << before.output << "failed:\n" << failed.output << "checked:\n" << checked.output);
    REQUIRE(failed.status == 0);
    REQUIRE(failed.stats.size() == 1);
    const auto& then = failed.stats.back();
    CHECK(then.at("settled") == 1);
    CHECK(then.at("in") == failed.end);
    CHECK(is_balanced(then));
    REQUIRE(checked.status == 0);
    REQUIRE(checked.stats.size() == 2);
    CHECK(checked.errors.empty());
    CHECK(checked.found == failed.end);
    const auto& stats = checked.stats.front();
    CHECK(stats.at("files_set_aside") == 0);
    CHECK(stats.at("in") == failed.end);
    CHECK(stats.at("held") == checked.read.size());
    CHECK(is_balanced(stats));
    CHECK(missing(before, failed, checked) ==
          stats.at("evicted") + stats.at("damaged") + stats.at("memory_full"));
}

}  // namespace tests
