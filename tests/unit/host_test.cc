// SPDX-License-Identifier: Apache-2.0
#include "agent/context/host.h"

#include <stdlib.h>
#include <sys/utsname.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "tests/catch.h"

namespace fs = std::filesystem;
using namespace tcptrail::context;

namespace {

const std::string boot = "11111111-2222-4333-8444-555555555555";

class Proc {
public:
    Proc() {
        char name[] = "/tmp/tcptrail-host-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path_ = name;
        fs::create_directories(path_ + "/sys/kernel/random");
        std::ofstream(path_ + "/sys/kernel/random/boot_id") << boot << "\n";
    }
    ~Proc() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Proc(const Proc&) = delete;
    Proc& operator=(const Proc&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace

TEST_CASE("host: who tells the events", "[unit]") {
    const Proc proc;
    utsname system{};
    REQUIRE(uname(&system) == 0);
    const Host host = identify_host(proc.path(), "");
    CHECK(host.node == system.nodename);
    CHECK(host.kernel == system.release);
    CHECK(host.boot_id == boot);
    CHECK(std::regex_match(host.host_id, std::regex("[0-9a-f]{32}")));
    CHECK(identify_host(proc.path(), "edge-17").node == "edge-17");
}

TEST_CASE("host: the host's id stays, the run's is new each time", "[unit]") {
    const Proc proc;
    const Host first = identify_host(proc.path(), ""), second = identify_host(proc.path(), "other");
    CHECK(first.host_id == second.host_id);
    CHECK(first.run_id != second.run_id);
    const std::regex version_4("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
    CHECK(std::regex_match(first.run_id, version_4));
    CHECK(std::regex_match(second.run_id, version_4));
}

TEST_CASE("host: the machine id is confidential", "[unit]") {
    const Proc proc;
    const std::string machine = "0123456789abcdef0123456789abcdef";
    const std::string file = proc.path() + "/machine-id";
    std::ofstream(file) << machine << "\n";
    const Host host = identify_host(proc.path(), "node", {file});
    for (const std::string& told : {host.host_id, host.node, host.boot_id, host.run_id})
        CHECK(told.find(machine) == std::string::npos);
    // The same in any boot.
    std::ofstream(proc.path() + "/sys/kernel/random/boot_id") << "another\n";
    CHECK(identify_host(proc.path(), "node", {file}).host_id == host.host_id);
}

TEST_CASE("host: without a machine id no two hosts have one host id", "[unit]") {
    const Proc proc;
    const std::string file = proc.path() + "/machine-id";
    const auto host_id = [&] { return identify_host(proc.path(), "node", {"/nonexistent", file}).host_id; };
    const std::string by_boot = host_id();
    CHECK(host_id() == by_boot);
    // As systemd leaves it in an image.
    std::ofstream(file) << "uninitialized\n";
    CHECK(host_id() == by_boot);
    fs::remove(proc.path() + "/sys/kernel/random/boot_id");
    CHECK(host_id() != by_boot);
    CHECK(host_id() != host_id());
}
