// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/broker.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kafka/setting.h"

namespace tests {

void system_command(const std::vector<std::string>& words) {
    std::vector<std::string> command{"/usr/bin/env"};
    command.insert(command.end(), words.begin(), words.end());
    const Finished finished = run(command);
    INFO(words.front() << ": " << finished.output << finished.errors);
    REQUIRE(finished.status == 0);
}

void enter_private_network() {
    static bool entered = false;
    if (entered) return;
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    entered = true;
    system_command({"ip", "link", "set", "lo", "up"});
}

Broker::Broker(const std::string& name, uint16_t port)
    : folder_(std::filesystem::absolute(built("faults/" + name))), port_(port) {
    enter_private_network();
    unsetenv("KAFKA_PORT");
    // One that a killed test program has left, in another network.
    stop();
    std::filesystem::remove_all(folder_ + "/data");
    std::filesystem::remove(folder_ + "/more.properties");
}

Broker::~Broker() {
    (void)run(script("down"));
}

Broker& Broker::shared() {
    static Broker broker("kafka", 9092);
    if (!broker.runs()) broker.start();
    broker.thaw();
    return broker;
}

std::vector<std::string> Broker::script(const std::string& verb) const {
    return {"/usr/bin/env", "KAFKA_DIR=" + folder_, "KAFKA_PORT=" + std::to_string(port_),
            "tests/kafka/broker", verb};
}

pid_t Broker::pid() const {
    pid_t pid = 0;
    std::ifstream(folder_ + "/pid") >> pid;
    return pid;
}

bool Broker::runs() const {
    return pid() > 0 && ::kill(pid(), 0) == 0;
}

void Broker::start() {
    const Finished up = run(script("up"), seconds(120));
    INFO(up.output << up.errors);
    REQUIRE(up.status == 0);
}

void Broker::stop() {
    const Finished down = run(script("down"), seconds(60));
    INFO(down.output << down.errors);
    REQUIRE(down.status == 0);
}

void Broker::kill() {
    REQUIRE(::kill(pid(), SIGKILL) == 0);
    REQUIRE(eventually(seconds(10), [this] { return !runs(); }));
}

void Broker::freeze() {
    REQUIRE(::kill(pid(), SIGSTOP) == 0);
}

void Broker::thaw() {
    REQUIRE(::kill(pid(), SIGCONT) == 0);
}

void Broker::configure(const std::string& lines) const {
    std::ofstream(folder_ + "/more.properties") << lines;
}

void Broker::tool(const std::string& name, const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{"java",
                                     "-Xmx128m",
                                     "-XX:TieredStopAtLevel=1",
                                     "-cp",
                                     built("kafka/lib") + "/*",
                                     name,
                                     "--bootstrap-server",
                                     brokers()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    system_command(command);
}

namespace {

std::vector<std::string> relay_to(Broker& broker, std::chrono::milliseconds delay) {
    const std::string near = "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093";
    broker.stop();
    broker.configure(
        "listeners=" + near + ",FAR://127.0.0.1:9222\nadvertised.listeners=" + near + ",FAR://" +
        LongWay::address +
        "\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT\n"
        "inter.broker.listener.name=PLAINTEXT\n");
    broker.start();
    return {built("tests/tools/relay"), "9221", "9222", std::to_string(delay.count())};
}

}  // namespace

LongWay::LongWay(Broker& broker, std::chrono::milliseconds delay) : relay_(relay_to(broker, delay)) {}

Partition::Partition(unsigned permille) {
    const std::string share = permille < 1000 ? "numgen random mod 1000 < " + std::to_string(permille) : "";
    system_command({"nft",
                    "add table inet fault; add chain inet fault in { type filter hook input priority 0; };"
                    "add rule inet fault in tcp dport 9092 " +
                        share +
                        " drop;"
                        "add rule inet fault in tcp sport 9092 " +
                        share + " drop"});
}

Partition::~Partition() {
    (void)run({"/usr/bin/env", "nft", "delete table inet fault"});
}

SlowLink::SlowLink(const std::string& rate) {
    // Loopback's packets are large, and one must fit.
    system_command(
        {"tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "70k", "latency", "1s"});
}

SlowLink::~SlowLink() {
    (void)run({"/usr/bin/env", "tc", "qdisc", "delete", "dev", "lo", "root"});
}

}  // namespace tests
