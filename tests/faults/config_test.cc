// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a configuration, and with what an agent finds at its start and end: faults 52, 57, 58.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/refusal.h"

using namespace tests;

namespace {

constexpr int exit_no_input = 66, exit_configuration = 78;

std::string write_file(const Setting& setting, const std::string& content) {
    const std::string path = setting.folder() / "tcptrail.yaml";
    std::ofstream(path, std::ios::binary) << content;
    return path;
}

std::string times(int count, const std::string& text) {
    std::string all;
    for (int i = 0; i < count; ++i)
        all += text;
    return all;
}

// Every file of a folder, whole.
std::map<std::string, std::string> content_of(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ostringstream text;
        text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
        files[entry.path()] = text.str();
    }
    return files;
}

}  // namespace

TEST_CASE("fault 58: a configuration that is wrong", "[faults][root]") {
    struct Wrong {
        const char* what;
        std::string text;
        int line;  // that the error names; 0: the file as a whole
        int status = exit_configuration;
    };
    const Wrong all[] = {
        {"unknown key", "node: a\ncapture:\n  drain_intervall_ms: 5\n", 3},
        {"wrong type", "capture:\n  max_connections: many\n", 2},
        {"duplicate key", "node: a\nnode: b\n", 2},
        {"negative size", "spool:\n  max_bytes: -1\n", 2},
        {"overflowing size", "spool:\n  max_bytes: 1e400 MB\n", 2},
        {"invalid UTF-8", "node: \"a\xff\"\n", 1},
        {"deep nesting", times(100'000, "["), 1},
        {"not YAML", "a: [1, 2\nb: {\n", 2},
        {"acks=1 with idempotence", "kafka:\n  brokers: [a:1]\n  properties:\n    acks: 1\n", 4},
        {"no file that holds the secret",
         "kafka:\n  brokers: [a:1]\n  property_files:\n    sasl.password: /none\n", 4, exit_no_input},
    };
    for (const Wrong& wrong : all) {
        INFO(wrong.what);
        const Setting setting;
        const std::string path = write_file(setting, wrong.text);
        const std::string told = require_refusal(behind(setting.agent(), {"--config", path}), wrong.status);
        CHECK_FALSE(std::filesystem::exists(setting.spool()));
        CHECK(told.starts_with(path + ":" + std::to_string(wrong.line) + ": "));
    }
}

TEST_CASE("fault 58: a configuration of 1 GB", "[faults][root]") {
    const Setting setting;
    const std::string path = write_file(setting, "node: a\n");
    std::filesystem::resize_file(path, 1'000'000'000);
    const std::string told = require_refusal(behind(setting.agent(), {"--config", path}), exit_configuration);
    CHECK(told.starts_with(path + ": "));
}

TEST_CASE("fault 52: a wrong configuration while events wait on disk", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Truth truth{};
    {
        Process agent(setting.agent(nobody_answers));
        REQUIRE(is_tracing(agent));
        truth = truth_of(run(generator(500)));
        require_stops(agent);
    }
    const auto before = content_of(setting.spool());
    const Finished refused = run(behind(setting.agent(), {"--set", "capture.ring_bytes=3"}));
    CHECK(refused.status == exit_configuration);
    CHECK(content_of(setting.spool()) == before);

    Process agent(setting.agent());
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("fault 57: SIGTERM, and SIGKILL two seconds later", "[faults][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Truth truth{};
    {
        Process agent(setting.agent());
        REQUIRE(is_tracing(agent));
        broker.freeze();
        truth = truth_of(run(generator(500)));
        // At once: what is in the ring must reach the spool before anything is waited for.
        agent.signal(SIGTERM);
        std::this_thread::sleep_for(seconds(2));
        agent.signal(SIGKILL);
        (void)agent.wait(seconds(10));
    }
    broker.thaw();
    Process agent(setting.agent());
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}
