// SPDX-License-Identifier: Apache-2.0
//
// Tracing outlives the agent on this kernel, whatever its programs are attached by. tests/faults has what
// needs a broker; here the spool is read.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"

using namespace tcptrail::test;
using tests::eventually;
using tests::Finished;
using tests::Process;
using tests::seconds;

namespace {

// A bpffs of the test's own, in a mount namespace of this process's own.
class BpfFs {
public:
    explicit BpfFs(const std::filesystem::path& folder) : path_(folder / "bpf") {
        REQUIRE(unshare(CLONE_NEWNS) == 0);
        REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        std::filesystem::create_directory(path_);
        REQUIRE(mount("bpf", path_.c_str(), "bpf", 0, nullptr) == 0);
    }
    ~BpfFs() { umount2(path_.c_str(), MNT_DETACH); }
    BpfFs(const BpfFs&) = delete;
    BpfFs& operator=(const BpfFs&) = delete;

    std::string setting() const { return "capture.pin=" + (path_ / "tcptrail").string(); }

private:
    std::filesystem::path path_;
};

// The last ACK of a burst may take that long in a slow guest.
constexpr int settle_ms = 500;

bool is_tracing(const Process& agent) {
    return eventually(seconds(60),
                      [&] { return agent.errors().find("sending to Kafka") != std::string::npos; });
}

}  // namespace

namespace {

// Each connection of the namespace once, of one run with the numbers 1 to N.
void require_all_told(const std::string& spool, const Netns& net, size_t ends) {
    const Finished exported = tests::run({binary(), "spool", "export", "--directory", spool});
    REQUIRE(exported.status == 0);
    std::set<std::string> runs, ids;
    std::set<uint64_t> numbers;
    std::istringstream lines(exported.output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (!event.contains("connection_id")) continue;  // a report
        runs.insert(event.at("run_id"));
        CHECK(numbers.insert(std::stoull(event.at("sequence").get<std::string>())).second);
        if (event.value("netns", 0U) != net.inode()) continue;
        CHECK(ids.insert(event.at("connection_id")).second);
        CHECK(event.at("process").at("name").get<std::string>().starts_with("restart-"));
    }
    CHECK(runs.size() == 1);
    CHECK(ids.size() == ends);
    CHECK(*numbers.rbegin() == numbers.size());
}

void detach(const BpfFs& bpffs) {
    const Finished detached = tests::run({binary(), "detach", "--set", bpffs.setting()});
    INFO(detached.errors);
    CHECK(detached.status == 0);
}

std::vector<std::string> agent(const std::string& spool, const BpfFs& bpffs,
                               const std::vector<std::string>& settings = {}) {
    std::vector<std::string> command = {binary(), "run",
                                        "--set",  "kafka.brokers=127.0.0.1:1",
                                        "--set",  "spool.directory=" + spool,
                                        "--set",  bpffs.setting(),
                                        "--set",  "serve.socket="};
    for (const std::string& setting : settings) {
        command.emplace_back("--set");
        command.push_back(setting);
    }
    return command;
}

}  // namespace

TEST_CASE("the agent is killed: the next one tells what came meanwhile", "[kernel]") {
    constexpr int each = 100;
    const tests::Folder folder;
    const BpfFs bpffs(folder.path());
    const std::string spool = folder.path() / "spool";
    const std::vector<std::string> command = agent(spool, bpffs);
    Netns net;
    Actor server(net, "restart-server");
    Actor client(net, "restart-client");
    {
        Process running(command);
        REQUIRE(is_tracing(running));
        burst(client, server, each);
        sleep_ms(settle_ms);  // who has told nothing yet leaves no run to go on with
        running.signal(SIGKILL);
    }
    burst(client, server, each);
    {
        Process running(command);
        REQUIRE(is_tracing(running));
        burst(client, server, each);
        sleep_ms(settle_ms);  // what ends after its last look waits for the next one
        running.signal(SIGTERM);
        REQUIRE(running.wait(seconds(60)) == 0);
        INFO(running.errors());
        CHECK(running.errors().find("which goes on after event") != std::string::npos);
    }
    burst(client, server, each);
    detach(bpffs);
    require_all_told(spool, net, 2 * 3 * each);
}

// The map is another one where its size is, and what lies in the old one is read from there.
TEST_CASE("the agent is killed and its ring overflows: the next one tells all", "[kernel]") {
    constexpr int each = 100;
    const tests::Folder folder;
    const BpfFs bpffs(folder.path());
    const std::string spool = folder.path() / "spool";
    Netns net;
    Actor server(net, "restart-server");
    Actor client(net, "restart-client");
    int rounds = 0;
    for (const char* records : {"1000", "1000", "2000", "2000"}) {
        Process running(agent(
            spool, bpffs, {"capture.ring_bytes=4096", "capture.overflow_records=" + std::string(records)}));
        REQUIRE(is_tracing(running));
        burst(client, server, each);
        running.signal(SIGKILL);
        REQUIRE(running.wait(seconds(60)) != 0);
        burst(client, server, each);
        ++rounds;
    }
    Process last(agent(spool, bpffs, {"capture.ring_bytes=4096"}));
    REQUIRE(is_tracing(last));
    sleep_ms(settle_ms);
    last.signal(SIGTERM);
    REQUIRE(last.wait(seconds(60)) == 0);
    INFO(last.errors());
    CHECK(last.errors().find("+ 0 lost") != std::string::npos);
    detach(bpffs);
    require_all_told(spool, net, static_cast<size_t>(2 * 2 * rounds * each));
}
