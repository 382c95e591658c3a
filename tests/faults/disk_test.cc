// SPDX-License-Identifier: Apache-2.0
//
// What can happen to the disk under the spool: faults 44, 46 and 54. What bytes can turn into is
// unit/spool_damage_test's.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/disk.h"
#include "tests/faults/driven_spool.h"
#include "tests/faults/pins.h"

using namespace tests;

namespace {

Truth truth_of(Process& load) {
    const int status = load.wait(seconds(120));
    return tests::truth_of(Finished{status, load.output(), load.errors()});
}

std::vector<std::string> agent_on(const Setting& setting, const SmallDisk& disk,
                                  std::vector<std::string> settings = {}) {
    settings.push_back("spool.directory=" + (disk.path() / "spool").string());
    settings.emplace_back("report.interval_secs=1");
    return setting.agent(brokers(), settings);
}

bool says(const Process& agent, const std::string& words) {
    return eventually(seconds(30), [&] { return agent.errors().find(words) != std::string::npos; });
}

constexpr const char* in_memory = "events are kept in memory";
constexpr const char* on_disk_again = "events are stored on the disk again";

// Full for so long while events come, at 6,000 a second, and Kafka gets them meanwhile.
void fill_while_it_writes(std::chrono::seconds full, unsigned connections,
                          SmallDisk::Kind kind = SmallDisk::Kind::ext4) {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20, kind);
    Process agent(agent_on(setting, disk));
    REQUIRE(is_tracing(agent));
    Process load(generator(connections, 3000));
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    disk.fill();
    REQUIRE(says(agent, in_memory));
    const auto end = std::chrono::steady_clock::now() + full;
    do {
        const uint64_t before = setting.delivered();
        REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > before; }));
    } while (std::chrono::steady_clock::now() < end);
    disk.free();
    REQUIRE(says(agent, on_disk_again));
    const Truth truth = truth_of(load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

// The disk takes nothing from some moment on, and then all again: Kafka gets events meanwhile, and none is
// lost.
void fail_while_it_writes(const std::function<void(SmallDisk&)>& fail,
                          const std::function<void(SmallDisk&)>& mend) {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    SmallDisk disk(setting.folder(), 40);
    Process agent(agent_on(setting, disk));
    REQUIRE(is_tracing(agent));
    Process load(generator(20'000, 2000));
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    fail(disk);
    REQUIRE(says(agent, in_memory));
    CHECK(agent.errors().find("cannot write to the spool") != std::string::npos);
    const uint64_t before = setting.delivered();
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > before; }));
    mend(disk);
    REQUIRE(says(agent, on_disk_again));
    const Truth truth = truth_of(load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

// No number was given to two events, and what Kafka does not have is in the account, which is an upper bound.
void require_one_event_by_number(const Setting& setting, const Process& agent, const char* name) {
    const Finished consumed = setting.consume();
    std::map<std::string, std::string> told;
    uint64_t last_sequence = 0;
    std::istringstream lines(consumed.output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        const std::string which =
            event.at("run_id").get<std::string>() + " " + event.at("sequence").get<std::string>();
        const std::string id = event.at("connection_id");
        CHECK(told.try_emplace(which, id).first->second == id);
        last_sequence = std::max(last_sequence, number(event, "sequence"));
    }
    const Verdict verdict = verdict_of(consumed);
    CHECK(verdict.runs == 1);
    uint64_t killed = 0;
    for (const auto& report : setting.reports())
        for (const auto& stage : report.at("stages"))
            for (const auto& loss : stage.value("lost", nlohmann::json::array()))
                if (loss.at("reason") == "killed") killed = std::max(killed, number(loss, "count"));
    const uint64_t missing = last_sequence - told.size();
    INFO(consumed.errors << agent.errors());
    std::printf("%s: delivered %zu, missing %lu, counted as killed %lu, duplicated %lu\n", name, told.size(),
                missing, killed, verdict.duplicates);
    CHECK(killed > 0);
    CHECK(missing <= killed);
}

// An agent with all on a small disk and pinned. Events of open connections are numbered between the others,
// and are not in the ring.
struct NumbersOnSmallDisk {
    Broker& broker = Broker::shared();
    const Setting setting;
    const SmallDisk disk{setting.folder(), 20};
    const BpfFs bpffs{setting.folder()};
    const std::vector<std::string> command =
        agent_on(setting, disk, {bpffs.setting(), "connections.progress_interval_secs=1"});

    NumbersOnSmallDisk() { setting.create_topics(); }

    // After the first one was killed.
    void require_one_event_by_number_from_next(const char* fault) const {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        (void)run(generator(500, 500));
        std::this_thread::sleep_for(seconds(2));
        require_stops(agent);
        CHECK(detach(bpffs).status == 0);
        require_one_event_by_number(setting, agent, fault);
    }
};

}  // namespace

TEST_CASE("fault 44: the disk is full while it writes, and has room again", "[.long][root]") {
    fill_while_it_writes(std::chrono::seconds(0), 30'000);
}

TEST_CASE("fault 44, 46: the spool lies on a tmpfs that is full while it writes, and has room again",
          "[.long][root]") {
    fill_while_it_writes(std::chrono::seconds(0), 30'000, SmallDisk::Kind::tmpfs);
}

TEST_CASE("fault 44: the disk is full for a minute", "[.soak][root]") {
    fill_while_it_writes(std::chrono::seconds(60), 220'000);
}

TEST_CASE("fault 44: the disk is full while Kafka is away", "[.long][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20);
    Process agent(agent_on(setting, disk, {"spool.memory_bytes=1MiB"}));
    REQUIRE(is_tracing(agent));
    const Truth first = tests::truth_of(run(generator(1000, 1000)));
    require_delivered(setting, 2 * first.connections);
    broker.freeze();
    disk.fill();
    const Truth second = tests::truth_of(run(generator(20'000, 5000)));
    REQUIRE(says(agent, in_memory));
    disk.free();
    broker.thaw();
    const Truth third = tests::truth_of(run(generator(1000, 500)));
    REQUIRE(eventually(seconds(60), [&] { return setting.delivered() > 2 * first.connections; }));
    std::this_thread::sleep_for(seconds(2));
    require_stops(agent);
    // What did not fit into the memory is lost, and counted to the last one.
    const Outcome outcome = require_audit(setting, {first, second, third});
    CHECK(outcome.lost > 0);
    CHECK(outcome.lost == outcome.reasons.at("memory_full"));
}

TEST_CASE("fault 45, 46: the file system gives up: every write and sync fails", "[.long][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 40);
    Process agent(agent_on(setting, disk));
    REQUIRE(is_tracing(agent));
    Process load(generator(20'000, 2000));
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    disk.shut_down();
    REQUIRE(says(agent, in_memory));
    const Truth truth = truth_of(load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("fault 46: the spool's folder is deleted while it writes", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 40);
    Process agent(agent_on(setting, disk));
    REQUIRE(is_tracing(agent));
    const Truth first = tests::truth_of(run(generator(1000, 1000)));
    require_delivered(setting, 2 * first.connections);
    std::filesystem::remove_all(disk.path() / "spool");
    const Truth second = tests::truth_of(run(generator(6000, 2000)));
    require_delivered(setting, 2 * (first.connections + second.connections));
    require_stops(agent);
    CHECK(require_audit(setting, {first, second}).lost == 0);
}

TEST_CASE("fault 46: no folder for the spool can be made at the start", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20);
    disk.make_read_only();
    Process agent(agent_on(setting, disk));
    REQUIRE(is_tracing(agent));
    const Truth first = tests::truth_of(run(generator(1000, 1000)));
    require_delivered(setting, 2 * first.connections);
    disk.make_writable();
    REQUIRE(says(agent, on_disk_again));
    const Truth second = tests::truth_of(run(generator(1000, 1000)));
    require_delivered(setting, 2 * (first.connections + second.connections));
    require_stops(agent);
    CHECK(require_audit(setting, {first, second}).lost == 0);
}

TEST_CASE("fault 46: ext4 turns read-only while it writes, by an error of its own, and is repaired",
          "[.long][root]") {
    // It lets it be written again only when it is mounted anew.
    fail_while_it_writes([](SmallDisk& disk) { disk.turn_read_only(); },
                         [](SmallDisk& disk) { disk.repair(); });
}

TEST_CASE("fault 46: what the spool has open may not be written while it writes, and may again",
          "[.long][root]") {
    fail_while_it_writes([](SmallDisk& disk) { disk.forbid_changes(true); },
                         [](SmallDisk& disk) { disk.forbid_changes(false); });
}

TEST_CASE("fault 46: no inode is left", "[.long][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20);
    const std::vector<std::string> command = agent_on(setting, disk);
    std::optional<Process> agent;
    std::optional<Process> load;
    SECTION("at the start") {
        disk.take_inodes();
        agent.emplace(command);
        REQUIRE(is_tracing(*agent));
        load.emplace(generator(15'000, 2000));
    }
    // What it has open it goes on to write; only what has to be made is not.
    SECTION("and its folder is deleted while it writes") {
        agent.emplace(command);
        REQUIRE(is_tracing(*agent));
        load.emplace(generator(15'000, 2000));
        REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
        disk.take_inodes();
        const uint64_t before = setting.delivered();
        REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > before; }));
        CHECK(agent->errors().find(in_memory) == std::string::npos);
        std::filesystem::rename(disk.path() / "spool", disk.path() / "inodes" / "spool");
    }
    REQUIRE(says(*agent, in_memory));
    const uint64_t before = setting.delivered();
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > before; }));
    disk.free_inodes();
    REQUIRE(says(*agent, on_disk_again));
    const Truth truth = truth_of(*load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(*agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE_METHOD(NumbersOnSmallDisk,
                 "fault 44, 56: killed when the disk is well again and Kafka has not answered",
                 "[.long][root]") {
    {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        (void)run(generator(500, 500));
        disk.fill();
        Process load(generator(6000, 500));
        REQUIRE(says(agent, in_memory));
        // What is on its way to it now was taken from memory.
        broker.freeze();
        std::this_thread::sleep_for(seconds(2));
        disk.free();
        REQUIRE(says(agent, on_disk_again));
        std::this_thread::sleep_for(seconds(4));
        agent.signal(SIGKILL);
        (void)truth_of(load);
    }
    broker.thaw();
    require_one_event_by_number_from_next("fault 44, 56");
}

TEST_CASE("fault 42, 44: ended when neither the disk nor Kafka takes anything", "[.long][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20);
    const BpfFs bpffs(setting.folder());
    const std::vector<std::string> command = agent_on(setting, disk, {bpffs.setting()});
    std::vector<Truth> truths;
    bool reloads = false;
    SECTION("by SIGTERM: what was in memory is lost, and counted to the last one") {}
    SECTION("by SIGHUP: the next agent has it") {
        reloads = true;
    }
    {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        truths.push_back(tests::truth_of(run(generator(500, 500))));
        require_delivered(setting, 1000);
        // One that is frozen would have what is in its sockets, and store it afterwards.
        broker.kill();
        disk.fill();
        truths.push_back(tests::truth_of(run(generator(2000, 2000))));
        REQUIRE(says(agent, in_memory));
        if (reloads) {
            agent.signal(SIGHUP);
            REQUIRE(says(agent, "which goes on after event"));
            broker.start();
            require_delivered(setting, 5000);
            disk.free();
            REQUIRE(says(agent, on_disk_again));
        }
        agent.signal(SIGTERM);
        REQUIRE(agent.wait(seconds(30)) == 0);
        INFO(agent.errors());
        CHECK((agent.errors().find("lost (killed): they were in memory") != std::string::npos) == !reloads);
    }
    if (!reloads) broker.start();
    disk.free();
    {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        truths.push_back(tests::truth_of(run(generator(500, 500))));
        require_delivered(setting, reloads ? 6000 : 2000);
        require_stops(agent);
        INFO(agent.errors());
        CHECK(agent.errors().find("lost (killed)") == std::string::npos);  // told already
    }
    CHECK(detach(bpffs).status == 0);
    const Outcome outcome = require_audit(setting, truths);
    CHECK((outcome.lost > 0) == !reloads);
    if (!reloads) CHECK(outcome.lost == outcome.reasons.at("killed"));
}

TEST_CASE("fault 46, 56: killed again and again on a disk that never took anything", "[.long][root]") {
    const Setting setting;
    const SmallDisk disk(setting.folder(), 20);
    const BpfFs bpffs(setting.folder());
    disk.make_read_only();
    const std::vector<std::string> settings = {bpffs.setting(),
                                               "spool.directory=" + (disk.path() / "spool").string()};
    uint64_t counted = 0;
    for (int round = 0; round < 4; ++round) {
        enter_private_network();
        Process agent(setting.agent(nobody_answers, settings));
        REQUIRE(is_tracing(agent));
        Finished status;
        REQUIRE(eventually(seconds(10), [&] { return !(status = setting.status("json")).output.empty(); }));
        const auto report = nlohmann::json::parse(status.output);
        INFO(report.dump() << agent.errors());
        check_stages(report);
        const auto& stages = report.at("stages");
        const auto encode = std::ranges::find(stages, "encode", [](const auto& s) { return s.at("name"); });
        REQUIRE(encode != stages.end());
        uint64_t killed = 0;
        for (const auto& loss : encode->value("lost", nlohmann::json::array()))
            killed += number(loss, "count");
        // All that the agents before gave up in the ring, and nothing of it twice: the one before was killed
        // when all of it was in memory, and this one has told of its start since.
        CHECK(killed >= counted);
        CHECK(killed <= number(*encode, "in"));
        counted = killed + 1000;
        (void)run(generator(500, 1000));
        std::this_thread::sleep_for(seconds(2));
        agent.signal(SIGKILL);
    }
    CHECK(detach(bpffs).status == 0);
}

TEST_CASE_METHOD(NumbersOnSmallDisk, "fault 45, 56: killed while events are delivered from memory",
                 "[.long][root]") {
    {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        (void)run(generator(500, 500));
        disk.shut_down();
        Process load(generator(3000, 1000));
        REQUIRE(says(agent, in_memory));
        const uint64_t before = setting.delivered();
        REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > before; }));
        (void)truth_of(load);
        agent.signal(SIGKILL);
    }
    disk.recover();
    require_one_event_by_number_from_next("fault 45, 56");
}

TEST_CASE("fault 44: a disk that is smaller than the spool may be: the oldest makes room", "[.long][root]") {
    const Folder folder;
    const SmallDisk disk(folder.path(), 800);
    // A hundred megabytes until there is less than spool.min_free_bytes.
    system_command({"fallocate", "-l", "580M", disk.path() / "of others"});
    const DrivenSpool spool(disk.path());
    // 180 MB that cannot be compressed, 12 MB a second.
    const Told told = spool.write({"appends=90", "events=20", "bytes=100000", "fill=yes", "pause_ms=160"});
    INFO(told.output.substr(0, 4000));
    REQUIRE(told.status == 0);
    const Told::Stats& stats = told.stats.back();
    std::printf("fault 44: in %lu, held %lu, evicted %lu, memory_full %lu\n", stats.at("in"),
                stats.at("held"), stats.at("evicted"), stats.at("memory_full"));
    CHECK(is_balanced(stats));
    CHECK(stats.at("in") == 1800);
    CHECK(stats.at("evicted") > 0);
    CHECK(stats.at("memory_full") == 0);
    CHECK(stats.at("held") > 500);
    // What is left is the newest.
    const Told left = spool.check();
    REQUIRE_FALSE(left.read.empty());
    CHECK(*left.read.begin() == stats.at("evicted"));
    CHECK(*left.read.rbegin() == 1799);
}

TEST_CASE("fault 54: two agents on one spool", "[faults][root]") {
    const Setting setting;
    Process agent(setting.agent("127.0.0.1:1"));
    REQUIRE(is_tracing(agent));
    const Finished second = run(setting.agent("127.0.0.1:1"));
    CHECK(second.status != 0);
    CHECK(second.errors.find("is in use by process " + std::to_string(agent.pid())) != std::string::npos);
    require_stops(agent);
}
