// SPDX-License-Identifier: Apache-2.0
//
// What has to be done on a Kubernetes node before the agent and after it, by root in a container without a
// shell.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/capture/detach.h"
#include "agent/commands/command.h"
#include "agent/spool/lock.h"

namespace tcptrail::commands {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* examples = R"(
Examples:
  tcptrail node prepare --owner 64000:64000     before an agent that runs as that user
  tcptrail node clean --spool                   when it is gone for good

The chart (deploy/helm) runs them: prepare before each start of an agent, clean when it is uninstalled. Both need root.)";

constexpr std::chrono::milliseconds retry_interval{200};

struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
};

std::optional<Owner> parse_owner(const std::string& text) {
    Owner owner;
    const char *const end = text.data() + text.size(), *at = text.data();
    auto [colon, error] = std::from_chars(at, end, owner.uid);
    if (error != std::errc() || colon == end || *colon != ':') return std::nullopt;
    const auto [last, problem] = std::from_chars(colon + 1, end, owner.gid);
    return problem == std::errc() && last == end ? std::optional(owner) : std::nullopt;
}

// A link is given itself, not where it leads; a file that has further names stays whose it is.
Result<> give_one(const fs::path& path, const Owner& owner) {
    struct stat found{};
    if (lstat(path.c_str(), &found) != 0) return fail_errno(path.string(), errno);
    if (found.st_uid == owner.uid && found.st_gid == owner.gid) return {};
    if (!S_ISDIR(found.st_mode) && found.st_nlink > 1) return {};
    if (lchown(path.c_str(), owner.uid, owner.gid) != 0)
        return fail_errno("cannot give " + path.string() + " to its user", errno);
    return {};
}

// `directory` with all that an agent of another user has left there. Others see nothing of it: it tells who
// talks to whom.
Result<> give(const std::string& directory, const Owner& owner) {
    std::error_code problem;
    fs::create_directories(directory, problem);
    if (problem) return fail_errno("cannot make " + directory, problem.value());
    struct stat found{};
    if (stat(directory.c_str(), &found) != 0) return fail_errno(directory, errno);
    // Only its owner may, and for a moment that is us.
    if ((found.st_mode & 07777) != S_IRWXU &&
        (chown(directory.c_str(), geteuid(), getegid()) != 0 || chmod(directory.c_str(), S_IRWXU) != 0))
        return fail_errno("cannot close " + directory + " to others", errno);
    fs::recursive_directory_iterator entry(directory, problem);
    for (const fs::recursive_directory_iterator end; !problem && entry != end; entry.increment(problem))
        if (auto given = give_one(entry->path(), owner); !given) return given;
    if (problem) return fail_errno("cannot read " + directory, problem.value());
    return give_one(directory, owner);
}

bool is_on_bpffs(fs::path path) {
    std::error_code ignored;
    while (path.has_parent_path() && path != path.root_path() && !fs::exists(path, ignored))
        path = path.parent_path();
    struct statfs system{};
    return statfs(path.c_str(), &system) == 0 && static_cast<uint32_t>(system.f_type) == BPF_FS_MAGIC;
}

struct PrepareOptions {
    ConfigOptions config;
    std::string owner;
};

Result<ExitCode> prepare(const PrepareOptions& options) {
    const auto owner = parse_owner(options.owner);
    if (!owner)
        return fail("--owner: a number of a user and one of a group, as in 64000:64000", ExitCode::usage);
    const auto config = load_config(options.config, false);
    if (!config) return std::unexpected(config.error());
    if (const std::string& pin = config->capture.pin; pin.empty()) {
        printf("capture.pin is empty: tracing ends with the agent\n");
    } else if (!is_on_bpffs(pin)) {
        printf(
            "%s is on no BPF file system: tracing ends with the agent; mount one on the node (mount -t bpf "
            "bpf "
            "/sys/fs/bpf)\n",
            pin.c_str());
    } else {
        if (auto given = give(pin, *owner); !given) return std::unexpected(given.error());
        printf("%s is the agent's\n", pin.c_str());
    }
    if (auto given = give(config->spool.directory, *owner); !given) return std::unexpected(given.error());
    printf("%s is the agent's\n", config->spool.directory.c_str());
    return ExitCode::ok;
}

struct CleanOptions {
    ConfigOptions config;
    uint32_t wait_secs = 60;
    bool spool = false;
    std::optional<uint32_t> stay_secs;
};

// An agent that still has its last words may hold what is to be removed.
template <class Try>
auto until(Clock::time_point deadline, Try attempt) {
    auto result = attempt();
    while (!result && Clock::now() < deadline) {
        std::this_thread::sleep_for(retry_interval);
        result = attempt();
    }
    return result;
}

Result<> remove_pins(const std::string& directory, Clock::time_point deadline) {
    if (directory.empty() || !is_on_bpffs(directory)) {
        printf("nothing is pinned in %s\n",
               directory.empty() ? "capture.pin, which is empty" : directory.c_str());
        return {};
    }
    const auto detached = until(deadline, [&] { return capture::detach(directory); });
    if (!detached) return std::unexpected(detached.error());
    print_detached(directory, *detached);
    return {};
}

Result<> remove_spool(const std::string& directory, Clock::time_point deadline) {
    std::error_code problem;
    if (!fs::exists(directory, problem)) return {};
    const auto lock = until(deadline, [&] { return spool::lock_directory(directory); });
    if (!lock) return std::unexpected(lock.error());
    for (const auto& entry : fs::directory_iterator(directory, problem)) {
        fs::remove_all(entry.path(), problem);
        if (problem) return fail_errno("cannot remove " + entry.path().string(), problem.value());
    }
    if (problem) return fail_errno("cannot read " + directory, problem.value());
    // Where something is mounted on it, it stays, empty.
    if (rmdir(directory.c_str()) != 0 && errno != EBUSY)
        return fail_errno("cannot remove " + directory, errno);
    printf("removed %s, with the events that waited there\n", directory.c_str());
    return {};
}

// A signal that came before is here, too.
void stay(uint32_t seconds, const sigset_t& ends) {
    const timespec most{static_cast<time_t>(seconds), 0};
    if (seconds == 0)
        (void)sigwaitinfo(&ends, nullptr);
    else
        (void)sigtimedwait(&ends, nullptr, &most);
}

Result<ExitCode> clean(const CleanOptions& options) {
    // Whoever has enough of waiting lets this end first what it has begun.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    const auto config = load_config(options.config, false);
    if (!config) return std::unexpected(config.error());
    const auto deadline = Clock::now() + std::chrono::seconds(options.wait_secs);
    if (auto removed = remove_pins(config->capture.pin, deadline); !removed)
        return std::unexpected(removed.error());
    if (options.spool)
        if (auto removed = remove_spool(config->spool.directory, deadline); !removed)
            return std::unexpected(removed.error());
    fflush(stdout);
    if (options.stay_secs) stay(*options.stay_secs, ends);
    return ExitCode::ok;
}

void add_prepare(CLI::App& node, Action& action) {
    auto options = std::make_shared<PrepareOptions>();
    CLI::App* command =
        node.add_subcommand("prepare", "make the folders of capture.pin and of the spool, for a user");
    command->footer(examples);
    command->add_option("--owner", options->owner, "the agent's user and group")
        ->type_name("UID:GID")
        ->required();
    add_config_options(*command, options->config);
    command->callback([options, &action] { action = [options] { return prepare(*options); }; });
}

void add_clean(CLI::App& node, Action& action) {
    auto options = std::make_shared<CleanOptions>();
    CLI::App* command = node.add_subcommand("clean", "end the tracing and remove what an agent has left");
    command->footer(examples);
    command->add_flag("--spool", options->spool, "the spool, too, with the events that wait there");
    command->add_option("--wait", options->wait_secs, "for an agent that is about to end")
        ->type_name("SECONDS")
        ->check(CLI::Range(0, 3600).description(""))
        ->default_str("60");
    command
        ->add_option("--stay", options->stay_secs, "afterwards do nothing for so long; 0: until told to end")
        ->type_name("SECONDS")
        ->check(CLI::Range(0, 3600).description(""));
    add_config_options(*command, options->config);
    command->callback([options, &action] { action = [options] { return clean(*options); }; });
}

}  // namespace

void add_node(CLI::App& app, Action& action) {
    CLI::App* node = app.add_subcommand("node", "what a Kubernetes node needs before an agent and after it");
    node->footer(examples);
    node->require_subcommand(1);
    add_prepare(*node, action);
    add_clean(*node, action);
}

}  // namespace tcptrail::commands
