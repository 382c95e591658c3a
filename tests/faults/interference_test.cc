// SPDX-License-Identifier: Apache-2.0
//
// Another program, as root, lays hands on what is ours in the kernel: fault 17.
#include <bpf/bpf.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "agent/base/fd.h"
#include "bpf/abi/control.h"
#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/foreign_call.h"
#include "tests/faults/own_connections.h"
#include "tests/faults/pins.h"

using namespace tests;

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr auto soon = seconds(30);

uint64_t ends_of(const Setting& setting, const Truth& truth) {
    return account_of(setting.consume().output, truth).ids.size();
}

// What another tool would do with `bpftool map update`.
void write_control(const BpfFs& bpffs, const std::function<void(tcptrail_control&)>& change) {
    const tcptrail::Fd map(bpf_obj_get((bpffs.pins() / "control").c_str()));
    REQUIRE(map.valid());
    const uint32_t key = 0;
    tcptrail_control control{};
    REQUIRE(bpf_map_lookup_elem(map.get(), &key, &control) == 0);
    change(control);
    REQUIRE(bpf_map_update_elem(map.get(), &key, &control, BPF_ANY) == 0);
}

bool says(const Process& agent, const char* words) {
    return eventually(soon, [&] { return agent.errors().find(words) != std::string::npos; });
}

// As the last report has them.
std::vector<json> gaps_of(const Setting& setting) {
    const auto reports = setting.reports();
    REQUIRE(!reports.empty());
    return reports.back().value("capture_gaps", std::vector<json>());
}

void require_gap(const Setting& setting, const char* reason) {
    const auto gaps = gaps_of(setting);
    REQUIRE(gaps.size() == 1);
    INFO(gaps.front().dump());
    CHECK(gaps.front().at("reason").get<std::string>().find(reason) != std::string::npos);
    CHECK(number(gaps.front(), "from_unix_nanos") < number(gaps.front(), "until_unix_nanos"));
}

std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (!entry.is_directory()) files.push_back(entry.path());
    return files;
}

std::vector<fs::path> links_in(const BpfFs& bpffs) {
    auto files = files_in(bpffs.pins());
    std::erase_if(files, [](const fs::path& file) { return !file.filename().native().starts_with("link_"); });
    return files;
}

// An agent that is pinned, with a broker, and reports each second.
struct Pinned {
    Pinned() {
        Broker::shared();
        setting.create_topics();
    }
    std::vector<std::string> command(std::vector<std::string> settings = {}) const {
        settings.insert(settings.end(), {bpffs.setting(), "report.interval_secs=1"});
        return setting.agent(brokers(), settings);
    }
    Setting setting;
    BpfFs bpffs{setting.folder()};
};

}  // namespace

TEST_CASE("fault 17: bpf() does not detach the agent's links, nor freeze its map", "[faults][root]") {
    const Setting setting;
    const BpfFs bpffs(setting.folder());
    Process agent(setting.agent("127.0.0.1:1", {bpffs.setting()}));
    REQUIRE(is_tracing(agent));
    const auto links = links_in(bpffs);
    CHECK(links.size() >= 10);
    for (const fs::path& link : links) {
        INFO(link);
        const tcptrail::Fd fd(bpf_obj_get(link.c_str()));
        REQUIRE(fd.valid());
        CHECK(bpf_link_detach(fd.get()) == -EOPNOTSUPP);
    }
    const tcptrail::Fd control(bpf_obj_get((bpffs.pins() / "control").c_str()));
    CHECK(bpf_map_freeze(control.get()) == -EBUSY);
    require_stops(agent);
    CHECK(detach(bpffs).status == 0);
}

TEST_CASE("fault 17: another program writes to the control map", "[faults][root]") {
    const Pinned pinned;
    const Setting& setting = pinned.setting;
    Process agent(pinned.command());
    REQUIRE(is_tracing(agent));
    const Truth before = truth_of(run(generator(300)));
    // It stands still, so that what the programs miss is known exactly.
    agent.signal(SIGSTOP);
    write_control(pinned.bpffs, [](tcptrail_control& control) {
        control.generation = 999;
        control.last_generation = 0;
        control.abandon_after_ns = 1;
        control.run_id[0] = 'x';
    });
    const Truth missed = truth_of(run(generator(300)));
    agent.signal(SIGCONT);
    REQUIRE(says(agent, "another program wrote to the control map of the programs, which switched them off"));
    const Truth after = truth_of(run(generator(300)));
    std::this_thread::sleep_for(seconds(2));
    require_stops(agent);
    require_gap(setting, "another program wrote to the control map");
    CHECK(ends_of(setting, before) == 2 * before.connections);
    CHECK(ends_of(setting, missed) == 0);
    CHECK(ends_of(setting, after) == 2 * after.connections);
    CHECK(require_audit(setting, {before, after}).lost == 0);

    // The next one finds all as it was left: the same run, and no gap of its own.
    Process next(pinned.command());
    REQUIRE(is_tracing(next));
    CHECK(next.errors().find("which goes on after event") != std::string::npos);
    require_stops(next);
    CHECK(gaps_of(setting).empty());
    CHECK(detach(pinned.bpffs).status == 0);
}

// The ends are found by the sweep, in slots (8,192 of them, or 16) and beyond.
TEST_CASE("fault 17: connections end while the programs are switched off", "[faults][root]") {
    constexpr uint64_t count = 100;
    for (const char* remembered : {"524288", "1024"}) {
        const Pinned pinned;
        Process agent(pinned.command(
            {std::string("capture.max_connections=") + remembered, "capture.sweep_interval_secs=1"}));
        REQUIRE(is_tracing(agent));
        OwnConnections own(count);
        agent.signal(SIGSTOP);
        write_control(pinned.bpffs, [](tcptrail_control& control) { control.generation = 999; });
        own.close();
        agent.signal(SIGCONT);
        require_delivered(pinned.setting, 2 * count);
        std::this_thread::sleep_for(seconds(2));
        require_stops(agent);
        const ToldAtPort told = told_at(own.port(), pinned.setting);
        CHECK(told.ends == 2 * count);
        CHECK(told.ids.size() == 2 * count);
        CHECK(told.without_end == 2 * count);
        CHECK(told.without_beginning == 0);
        CHECK(detach(pinned.bpffs).status == 0);
    }
}

TEST_CASE("fault 17: another program writes over the places beyond the ring", "[faults][root]") {
    const Pinned pinned;
    const Setting& setting = pinned.setting;
    Process agent(pinned.command({"capture.ring_bytes=65536"}));
    REQUIRE(is_tracing(agent));
    std::vector<Truth> truths = {truth_of(run(generator(300)))};
    for (const uint64_t place : {uint64_t{0}, uint64_t{1} << 60}) {
        agent.signal(SIGSTOP);
        truths.push_back(truth_of(run(generator(500))));  // the ring has room for 151 of these
        write_control(pinned.bpffs, [&](tcptrail_control& control) {
            REQUIRE(control.overflow_taken > control.overflow_released);
            control.overflow_taken = control.overflow_finished = place;
            control.overflow_released = 0;
        });
        agent.signal(SIGCONT);
        require_delivered(setting, 2 * truths.back().connections);
        truths.push_back(truth_of(run(generator(300))));
        std::this_thread::sleep_for(seconds(1));
    }
    require_stops(agent);
    // What ended meanwhile, of others, found no place.
    CHECK(require_audit(setting, truths).lost < 20);
    for (const Truth& truth : truths)
        CHECK(ends_of(setting, truth) == 2 * truth.connections);
    CHECK(detach(pinned.bpffs).status == 0);
}

TEST_CASE("fault 17: another program removes the pins", "[faults][root]") {
    const Pinned pinned;
    const Setting& setting = pinned.setting;
    const fs::path pins = pinned.bpffs.pins();
    Truth alone{};
    {
        Process agent(pinned.command());
        REQUIRE(is_tracing(agent));
        const size_t pinned_files = files_in(pins).size();
        SECTION("all of them") {
            fs::remove_all(pins);
        }
        SECTION("one, and puts another in the place of another") {
            const auto links = links_in(pinned.bpffs);
            fs::remove(links.at(0));
            fs::rename(links.at(1), links.at(2));
        }
        REQUIRE(says(agent, "were removed by another program, and are there again"));
        CHECK(files_in(pins).size() == pinned_files);
        // A second agent still is kept off: the lock is on the folder that is there now.
        const Setting second;
        CHECK(run(second.agent("127.0.0.1:1", {pinned.bpffs.setting()})).status == 69);
        agent.signal(SIGKILL);
    }
    // Tracing outlives the agent all the same.
    alone = truth_of(run(generator(300)));
    Process agent(pinned.command());
    REQUIRE(is_tracing(agent));
    require_stops(agent);
    CHECK(gaps_of(setting).empty());
    CHECK(ends_of(setting, alone) == 2 * alone.connections);
    CHECK(detach(pinned.bpffs).status == 0);
    CHECK(require_audit(setting, {alone}).lost == 0);
}

TEST_CASE("fault 17: the BPF file system is unmounted", "[faults][root]") {
    const Pinned pinned;
    Process agent(pinned.command());
    REQUIRE(is_tracing(agent));
    REQUIRE(umount2(pinned.bpffs.pins().parent_path().c_str(), MNT_DETACH) == 0);
    REQUIRE(says(agent, "cannot be made again"));
    CHECK(agent.errors().find("tracing ends with this process") != std::string::npos);
    const Truth truth = truth_of(run(generator(300)));
    require_stops(agent);
    CHECK(agent.errors().find("tracing goes on") == std::string::npos);
    CHECK(ends_of(pinned.setting, truth) == 2 * truth.connections);
    CHECK(require_audit(pinned.setting, {truth}).lost == 0);
}

TEST_CASE("fault 17: the links are removed while no agent runs", "[faults][root]") {
    const Pinned pinned;
    const Setting& setting = pinned.setting;
    Truth before{};
    {
        Process agent(pinned.command());
        REQUIRE(is_tracing(agent));
        before = truth_of(run(generator(300)));
        agent.signal(SIGKILL);
    }
    for (const fs::path& link : links_in(pinned.bpffs))
        fs::remove(link);
    const Truth missed = truth_of(run(generator(300)));
    Process agent(pinned.command());
    REQUIRE(is_tracing(agent));
    CHECK(says(agent, "another program had removed the links"));
    const Truth after = truth_of(run(generator(300)));
    std::this_thread::sleep_for(seconds(2));
    require_stops(agent);
    require_gap(setting, "connections between the agent before and this one are missing");
    CHECK(ends_of(setting, before) == 2 * before.connections);
    CHECK(ends_of(setting, missed) == 0);
    CHECK(ends_of(setting, after) == 2 * after.connections);
    CHECK(detach(pinned.bpffs).status == 0);
    CHECK(require_audit(setting, {before, after}).lost == 0);
}

#ifdef __x86_64__
TEST_CASE("fault 17: links are closed behind the agent", "[faults][root]") {
    const Pinned pinned;
    const Setting& setting = pinned.setting;
    Process agent(pinned.command());
    REQUIRE(is_tracing(agent));
    const Truth before = truth_of(run(generator(300)));
    const size_t pinned_files = files_in(pinned.bpffs.pins()).size();
    // The pins still hold them, or with the pins the tracing itself goes.
    CHECK(close_links(agent.pid()) >= 5);
    REQUIRE(says(agent, "were closed behind this process, and are attached again"));
    CHECK(close_links(agent.pid()) >= 5);
    fs::remove_all(pinned.bpffs.pins());
    REQUIRE(eventually(soon, [&] {
        return fs::exists(pinned.bpffs.pins() / "control") &&
               files_in(pinned.bpffs.pins()).size() == pinned_files;
    }));
    const Truth after = truth_of(run(generator(300)));
    std::this_thread::sleep_for(seconds(2));
    require_stops(agent);
    const auto gaps = gaps_of(setting);
    CHECK(gaps.size() == 2);
    for (const json& gap : gaps)
        CHECK(gap.at("reason").get<std::string>().find("were closed behind this process") !=
              std::string::npos);
    CHECK(ends_of(setting, before) == 2 * before.connections);
    CHECK(ends_of(setting, after) == 2 * after.connections);
    CHECK(detach(pinned.bpffs).status == 0);
    CHECK(require_audit(setting, {before, after}).lost == 0);
}
#endif
