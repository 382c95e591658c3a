// SPDX-License-Identifier: Apache-2.0
//
// The long forms of what can happen to Kafka: `make soak`.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/long_run.h"
#include "tests/kafka/acl.h"
#include "tests/kafka/topic.h"

using namespace tests;

namespace {

void pause(seconds length) {
    std::this_thread::sleep_for(length);
}

void limit_messages(const Broker& broker, const std::string& topic, unsigned bytes) {
    broker.tool("kafka.admin.ConfigCommand", {"--alter", "--entity-type", "topics", "--entity-name", topic,
                                              "--add-config", "max.message.bytes=" + std::to_string(bytes)});
}

// A generator whose executable has a path of 3,000 bytes that no codec makes much shorter.
std::vector<std::string> far_generator(const Setting& setting) {
    constexpr std::string_view letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    std::minstd_rand random(1);
    std::filesystem::path folder = setting.folder() / "far";
    while (folder.string().size() < 3000) {
        std::string name;
        while (name.size() < 200)
            name += letters[random() / 97 % letters.size()];
        folder /= name;
    }
    std::filesystem::create_directories(folder);
    std::filesystem::copy_file(built("tests/tools/generate"), folder / "generate",
                               std::filesystem::copy_options::overwrite_existing);
    // For half a second: one that is gone already has no executable to be read.
    std::vector<std::string> command = generator(2, 2);
    command[0] = folder / "generate";
    return command;
}

using Sequences = std::set<uint64_t>;

// The numbers of the one run in this stream of events.
Sequences sequences_of(const std::string& jsonl) {
    Sequences sequences;
    std::istringstream lines(jsonl);
    for (std::string line; std::getline(lines, line);)
        // The last line of a reader that was ended may be half a line.
        if (line.ends_with('}')) sequences.insert(number(nlohmann::json::parse(line), "sequence"));
    return sequences;
}

}  // namespace

TEST_CASE("fault 31: the broker is away for 30 s", "[.soak][root]") {
    Broker& broker = Broker::shared();
    LongRun run(40'000, 1000);
    broker.kill();
    pause(seconds(30));
    broker.start();
    CHECK(run.finish().lost == 0);
}

TEST_CASE("fault 32: the broker is frozen for 45 s and thawed for 20 s, five times", "[.soak][root]") {
    Broker& broker = Broker::shared();
    LongRun run(165'000, 500);
    for (int turn = 0; turn < 5; ++turn) {
        broker.freeze();
        pause(seconds(45));
        broker.thaw();
        pause(seconds(20));
    }
    CHECK(run.finish().lost == 0);
}

TEST_CASE("fault 33: five seconds to the broker and five seconds back", "[.soak][root]") {
    const LongWay way(Broker::shared(), seconds(5));
    LongRun run(60'000, 500, LongWay::address);
    const auto start = std::chrono::steady_clock::now();
    const Truth truth = run.end_load();
    require_delivered(run.setting(), 2 * truth.connections, seconds(600));
    const std::chrono::duration<double> length = std::chrono::steady_clock::now() - start;
    std::printf("%.0f events a second, in %.0f s\n",
                2.0 * static_cast<double>(truth.connections) / length.count(), length.count());
    run.require_flat_memory();
    // What came last has not the time to get there before it ends; the next one takes the short way.
    require_stops(run.agent());
    Process next(run.setting().agent());
    REQUIRE(is_tracing(next));
    require_stops(next);
    CHECK(require_audit(run.setting(), {truth}).lost == 0);
}

TEST_CASE("fault 34: writing is forbidden for a minute", "[.soak][root]") {
    Broker::shared();
    LongRun run(80'000, 1000);
    {
        AccessRule rule(brokers(), run.setting().topic(), Access::describe);
        pause(seconds(60));
        CHECK(run.agent().errors().find("do not allow to write to topic") != std::string::npos);
    }
    CHECK(run.finish().lost == 0);
}

TEST_CASE("fault 36: less than a batch is taken and then less than one message", "[.soak][root]") {
    Broker& broker = Broker::shared();
    LongRun run(60'000, 1000);
    // It counts what is compressed: one of the far generator's events, or what three seconds bring together.
    limit_messages(broker, run.setting().topic(), 3500);
    broker.freeze();
    pause(seconds(3));
    broker.thaw();
    std::vector<Truth> others;
    const auto far = far_generator(run.setting());
    others.push_back(truth_of(tests::run(far)));
    pause(seconds(15));
    limit_messages(broker, run.setting().topic(), 1000);
    others.push_back(truth_of(tests::run(far)));
    const uint64_t ends = 2 * others.back().connections;
    const Outcome outcome = run.finish(others, ends);
    // The last generator's, and nothing else.
    CHECK(outcome.lost == ends);
    CHECK(outcome.reasons == std::map<std::string, uint64_t>{{"too_large", ends}});
    // Batches were refused, and split.
    const nlohmann::json last = run.setting().reports().back();
    CHECK(number(last.at("kafka"), "failed") > 0);
}

TEST_CASE("fault 35: the topic is deleted and made again at once or after five seconds", "[.soak][root]") {
    Broker::shared();
    const seconds gap(GENERATE(0, 5));
    LongRun run(40'000, 1000);
    const Setting& setting = run.setting();
    // Reads along, so that what the old topic had acknowledged is known when it has gone.
    Process reader({built("tcptrail"), "consume", "--brokers", brokers(), "--topic", setting.topic(),
                    "--from", "beginning", "-o", "jsonl"});
    pause(seconds(10));
    delete_topic(brokers(), setting.topic());
    pause(gap);
    setting.create_topics();
    reader.signal(SIGTERM);
    (void)reader.wait(seconds(10));

    // All that is made from now on is there, both ends: made after, delivered after.
    const Truth after = truth_of(tests::run(generator(2000)));
    const Truth load = run.end_load();
    uint64_t missing_ends = 0;
    REQUIRE(eventually(seconds(60), [&] {
        const Account account = account_of(setting.consume().output, after);
        missing_ends = 2 * after.connections - account.ids.size();
        return missing_ends == 0;
    }));
    run.require_flat_memory();
    require_stops(run.agent());

    const Sequences before = sequences_of(reader.output());
    const Finished consumed = setting.consume();
    const Sequences now = sequences_of(consumed.output);
    Sequences all = before;
    all.insert(now.begin(), now.end());
    // What is in neither was acknowledged to the old topic in its last moment, and read by nobody.
    const uint64_t unread = *all.rbegin() - all.size();
    std::printf(
        "topic made again after %ld s: %lu events told, %zu read from the old one, %zu from the new one, "
        "%lu in neither, %lu twice in the new one\n",
        gap.count(), *all.rbegin(), before.size(), now.size(), unread, verdict_of(consumed).duplicates);
    CHECK(*all.rbegin() >= 2 * (load.connections + after.connections));
    CHECK(unread <= 1000);
    for (const auto& report : setting.reports())
        check_stages(report);
}
