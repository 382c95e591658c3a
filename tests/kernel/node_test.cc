// SPDX-License-Identifier: Apache-2.0
//
// What the chart's containers do on a node before an agent and after it: as root, without most capabilities.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kernel/observer.h"

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using tcptrail::test::binary;
using tests::eventually;
using tests::Finished;
using tests::Process;
using tests::seconds;

namespace {

constexpr uid_t user = 64000;

// A node's folders: a bpffs in a mount namespace of this process's own, whose root is root's alone.
class Node {
public:
    Node() {
        REQUIRE(unshare(CLONE_NEWNS) == 0);
        REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        // For the user: mkdtemp() lets only root through.
        REQUIRE(chmod(folder_.path().c_str(), 0755) == 0);
        fs::create_directory(folder_.path() / "bpf");
        REQUIRE(mount("bpf", (folder_.path() / "bpf").c_str(), "bpf", 0, "mode=0700") == 0);
    }
    ~Node() { umount2((folder_.path() / "bpf").c_str(), MNT_DETACH); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    fs::path folder() const { return folder_.path(); }
    fs::path pin() const { return folder_.path() / "bpf/tcptrail"; }
    fs::path spool() const { return folder_.path() / "spool"; }

    // The program with the node's settings, by setpriv: as `uid`, with these capabilities and no others.
    std::vector<std::string> command(uid_t uid, const std::string& capabilities,
                                     std::vector<std::string> arguments) const {
        std::vector<std::string> all = {"/usr/bin/setpriv",
                                        "--reuid=" + std::to_string(uid),
                                        "--regid=" + std::to_string(uid),
                                        "--clear-groups",
                                        "--no-new-privs",
                                        "--bounding-set=-all," + capabilities,
                                        "--inh-caps=-all," + capabilities};
        if (uid) all.push_back("--ambient-caps=-all," + capabilities);
        all.push_back(binary());
        all.insert(all.end(), arguments.begin(), arguments.end());
        all.insert(all.end(), {"--set", "capture.pin=" + pin().string(), "--set",
                               "spool.directory=" + spool().string()});
        return all;
    }
    Finished prepare() const {
        return tests::run(
            command(0, "+chown,+dac_read_search", {"node", "prepare", "--owner", "64000:64000"}));
    }
    Finished clean(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"node", "clean"});
        return tests::run(command(0, "+dac_override,+bpf", more));
    }
    std::vector<std::string> agent() const {
        return command(user, "+bpf,+perfmon,+dac_read_search",
                       {"run", "--set", "kafka.brokers=127.0.0.1:1", "--set", "serve.socket=", "--set",
                        "serve.metrics.listen=" + (folder_.path() / "metrics").string(), "--set",
                        "capture.priority_boost=0"});
    }

private:
    tests::Folder folder_;
};

struct Owned {
    uid_t uid;
    mode_t mode;
    bool operator==(const Owned&) const = default;
};

Owned owner_of(const fs::path& path) {
    struct stat found{};
    REQUIRE(lstat(path.c_str(), &found) == 0);
    return {found.st_uid, found.st_mode & 07777};
}

}  // namespace

TEST_CASE("node prepare, an agent of its own user, node clean", "[kernel]") {
    const Node node;
    const Finished prepared = node.prepare();
    INFO(prepared.output << prepared.errors);
    REQUIRE(prepared.status == 0);
    CHECK(owner_of(node.pin()) == Owned{user, 0700});
    CHECK(owner_of(node.spool()) == Owned{user, 0700});
    // In the folder that the test's own is, for the socket.
    REQUIRE(chown(node.folder().c_str(), user, user) == 0);
    {
        Process running(node.agent());
        REQUIRE(eventually(seconds(60),
                           [&] { return running.errors().find("sending to Kafka") != std::string::npos; }));
        CHECK_FALSE(fs::is_empty(node.pin()));
        // Who cleans too soon waits, and says for whom.
        const Finished early = node.clean({"--wait", "1"});
        CHECK(early.status == 69);
        CHECK_THAT(early.errors, ContainsSubstring("in use by process " + std::to_string(running.pid())));
        running.signal(SIGTERM);
        REQUIRE(running.wait(seconds(60)) == 0);
    }
    // Once more, now that the folders are not root's and have something in them.
    CHECK(node.prepare().status == 0);

    const Finished cleaned = node.clean();
    INFO(cleaned.output << cleaned.errors);
    CHECK(cleaned.status == 0);
    CHECK_FALSE(fs::exists(node.pin()));
    CHECK(fs::exists(node.spool() / "spool.db"));

    const Finished again = node.clean({"--spool"});
    INFO(again.output << again.errors);
    CHECK(again.status == 0);
    CHECK_THAT(again.output, ContainsSubstring("nothing is pinned"));
    CHECK_FALSE(fs::exists(node.spool()));
}

TEST_CASE("node prepare takes over what another user's agent has left", "[kernel]") {
    const Node node;
    fs::create_directories(node.pin() / "1");
    fs::create_directory(node.spool());
    std::ofstream(node.spool() / "spool.db") << "events";
    std::ofstream(node.folder() / "elsewhere") << "root's";
    fs::create_symlink(node.folder() / "elsewhere", node.spool() / "link");
    fs::create_hard_link(node.folder() / "elsewhere", node.spool() / "name");
    const Finished prepared = node.prepare();
    INFO(prepared.output << prepared.errors);
    REQUIRE(prepared.status == 0);
    CHECK(owner_of(node.pin() / "1").uid == user);
    CHECK(owner_of(node.spool() / "spool.db").uid == user);
    CHECK(owner_of(node.spool() / "link").uid == user);
    // A link does not lead out, and what has another name may be anybody's.
    CHECK(owner_of(node.folder() / "elsewhere").uid == 0);
}

TEST_CASE("node prepare without a BPF file system", "[kernel]") {
    const Node node;
    REQUIRE(umount2((node.folder() / "bpf").c_str(), MNT_DETACH) == 0);
    const Finished prepared = node.prepare();
    CHECK(prepared.status == 0);
    CHECK_THAT(prepared.output, ContainsSubstring("on no BPF file system"));
    CHECK_FALSE(fs::exists(node.pin()));
    CHECK(owner_of(node.spool()) == Owned{user, 0700});
    CHECK(node.clean().status == 0);
}

TEST_CASE("node clean stays until it is told to end, and ends its work first", "[kernel]") {
    const Node node;
    REQUIRE(node.prepare().status == 0);
    // Somebody has it.
    const int held = open(node.pin().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(held >= 0);
    REQUIRE(flock(held, LOCK_EX | LOCK_NB) == 0);
    Process cleaning(node.command(0, "+dac_override,+bpf", {"node", "clean", "--wait", "60", "--stay", "0"}));
    CHECK(cleaning.output().empty());
    usleep(500'000);
    cleaning.signal(SIGTERM);
    usleep(500'000);
    CHECK(fs::exists(node.pin()));
    close(held);
    CHECK(cleaning.wait(seconds(10)) == 0);
    CHECK_FALSE(fs::exists(node.pin()));

    Process staying(node.command(0, "+dac_override,+bpf", {"node", "clean", "--stay", "0"}));
    CHECK(eventually(seconds(10),
                     [&] { return staying.output().find("nothing is pinned") != std::string::npos; }));
    staying.signal(SIGTERM);
    CHECK(staying.wait(seconds(10)) == 0);
    CHECK(tests::run(node.command(0, "+dac_override,+bpf", {"node", "clean", "--stay", "1"}), seconds(10))
              .status == 0);
}

TEST_CASE("ready asks each agent at an address", "[kernel]") {
    const Node node;
    REQUIRE(node.prepare().status == 0);
    std::ofstream(node.folder() / "token") << "0123456789abcdef\n";
    auto command = node.agent();
    command.insert(command.end(), {"--set", "serve.metrics.listen=127.0.0.1:19466", "--set",
                                   "serve.metrics.token_file=" + (node.folder() / "token").string()});
    const auto ready = [](const std::vector<std::string>& more = {}) {
        std::vector<std::string> all = {binary(), "ready", "127.0.0.1:19466"};
        all.insert(all.end(), more.begin(), more.end());
        return tests::run(all);
    };
    const Finished nobody = ready();
    CHECK(nobody.status == 1);
    CHECK_THAT(nobody.output,
               ContainsSubstring("127.0.0.1:19466: no answer: connect: Connection refused\n0 of 1 ready"));
    Process running(command);
    INFO(running.errors());
    CHECK(
        eventually(seconds(60), [&] { return ready().output == "127.0.0.1:19466: ready\n1 of 1 ready\n"; }));
    CHECK(ready({"--token-file", (node.folder() / "token").string()}).status == 0);
    CHECK(ready({"--token-file", "/nonexistent"}).status == 66);
    CHECK(tests::run({binary(), "ready", "127.0.0.1"}).status == 2);
    running.signal(SIGTERM);
    CHECK(running.wait(seconds(60)) == 0);
    CHECK(node.clean().status == 0);
}

TEST_CASE("capabilities that are permitted are used", "[kernel]") {
    const tests::Folder folder;
    const fs::path program = folder.path() / "tcptrail";
    fs::copy_file(binary(), program);
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    if (tests::run({"/usr/sbin/setcap", "cap_bpf,cap_perfmon,cap_sys_ptrace=p", program}).status != 0)
        SKIP_TEST("this file system has no capabilities of files");
    // As runc does it for a user other than root: permitted before exec, none ambient, no_new_privs. The
    // bounding set has one of the three less.
    const Finished checked = tests::run({"/usr/sbin/capsh", "--drop=cap_sys_ptrace", "--keep=1",
                                         "--user=nobody", "--caps=cap_bpf,cap_perfmon=p", "--no-new-privs",
                                         "--shell=" + program.string(), "--", "check", "-o", "json"});
    INFO(checked.output << checked.errors);
    CHECK(checked.status == 0);
    const auto checks = nlohmann::json::parse(checked.output).at("checks");
    for (const auto& [capability, status] :
         {std::pair("CAP_BPF", "ok"), {"CAP_PERFMON", "ok"}, {"CAP_SYS_PTRACE", "warning"}})
        CHECK(std::ranges::any_of(checks, [&](const auto& each) {
            return each.at("name") == capability && each.at("status") == status;
        }));
}
