// SPDX-License-Identifier: Apache-2.0
#include "agent/context/processes.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "agent/context/context.h"
#include "tests/catch.h"
#include "tests/unit/no_handles.h"

namespace fs = std::filesystem;
using namespace tcptrail;
using namespace tcptrail::context;

namespace {

const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// A folder that looks like /proc.
class Proc {
public:
    Proc() {
        char name[] = "/tmp/tcptrail-proc-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~Proc() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Proc(const Proc&) = delete;
    Proc& operator=(const Proc&) = delete;

    void add(uint32_t pid, uint64_t start_ticks, const std::string& executable,
             const std::string& cgroup = "0::/\n", const std::string& name = "name") const {
        const std::string folder = path_ + "/" + std::to_string(pid);
        fs::create_directories(folder);
        fs::remove(folder + "/exe");
        fs::create_symlink(executable, folder + "/exe");
        std::ofstream(folder + "/cgroup") << cgroup;
        std::ofstream(folder + "/status")
            << "Name:\t" << name << "\nUid:\t1000\t0\t0\t0\nGid:\t100\t0\t0\t0\n";
        // Field 22 is the start; the name is field 2.
        std::ofstream stat(folder + "/stat");
        stat << pid << " (" << name << ") S";
        for (int field = 4; field <= 21; ++field)
            stat << " " << field;
        stat << " " << start_ticks << " 23 24\n";
    }
    void remove(uint32_t pid) const { fs::remove_all(path_ + "/" + std::to_string(pid)); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

uint64_t ns_of(uint64_t ticks) {
    return ticks * (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

}  // namespace

TEST_CASE("processes: what /proc tells", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/curl", "0::/system.slice/web.service\n");
    Processes processes(proc.path(), 8);
    const Process& process = processes.find(42, ns_of(5000), "curl");
    CHECK(process.executable == "/usr/bin/curl");
    CHECK(process.place.cgroup_path == "/system.slice/web.service");
    CHECK(process.uid == 1000);  // the real one
}

TEST_CASE("processes: a program that was replaced on disk keeps its path", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/nginx (deleted)");
    CHECK(Processes(proc.path(), 8).find(42, ns_of(5000), "nginx").executable == "/usr/bin/nginx");
}

TEST_CASE("processes: the start within a tick is the same process", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/curl");
    CHECK(Processes(proc.path(), 8).find(42, ns_of(5000) + 1, "curl").executable == "/usr/bin/curl");
    CHECK(Processes(proc.path(), 8).find(42, ns_of(5001) - 1, "curl").executable == "/usr/bin/curl");
    CHECK(Processes(proc.path(), 8).find(42, ns_of(5001), "curl").executable.empty());
    CHECK(Processes(proc.path(), 8).find(42, ns_of(5000) - 1, "curl").executable.empty());
}

TEST_CASE("processes: of another that has the pid by now nothing is told", "[unit]") {
    const Proc proc;
    proc.add(42, 9000, "/usr/bin/other", "0::/other\n");
    Processes processes(proc.path(), 8);
    const Process& process = processes.find(42, ns_of(5000), "curl");
    CHECK(process.executable.empty());
    CHECK(process.place.cgroup_path.empty());
    CHECK(process.uid == ~0u);
    // A start that the kernel did not tell is not compared.
    CHECK(Processes(proc.path(), 8).find(42, 0, "curl").executable == "/usr/bin/other");
}

TEST_CASE("processes: the name in stat can hold anything", "[unit]") {
    const Proc proc;
    for (const std::string name : {"a b", "((", "))", ") S 1 2 3", "x) R 0 (y", ""}) {
        INFO(name);
        proc.add(42, 5000, "/usr/bin/curl", "0::/\n", name);
        CHECK(Processes(proc.path(), 8).find(42, ns_of(5000), "curl").executable == "/usr/bin/curl");
    }
}

TEST_CASE("processes: stat that cannot be read is nobody's", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/curl");
    for (const std::string stat : {"", "42 (curl", "42 (curl) S 1 2",
                                   "42 (curl) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 x"}) {
        INFO(stat);
        std::ofstream(proc.path() + "/42/stat", std::ios::trunc) << stat;
        CHECK(Processes(proc.path(), 8).find(42, ns_of(5000), "curl").executable.empty());
    }
}

TEST_CASE("processes: one that is gone", "[unit]") {
    const Proc proc;
    Processes processes(proc.path(), 8);
    for (const uint64_t start : {uint64_t{0}, ns_of(5000)}) {
        const Process& process = processes.find(42, start, "curl");
        CHECK(process.executable.empty());
        CHECK(process.place.cgroup_path.empty());
        CHECK(process.uid == ~0u);
    }
}

TEST_CASE("processes: one that ends while its files are read", "[unit]") {
    // Like those of a process that has ended, a folder can be opened, but read() refuses.
    for (const std::string file : {"stat", "cgroup", "status"}) {
        INFO(file);
        const Proc proc;
        proc.add(42, 5000, "/usr/bin/curl");
        fs::remove(proc.path() + "/42/" + file);
        fs::create_directory(proc.path() + "/42/" + file);
        const std::string expected = file == "stat" ? "" : "/usr/bin/curl";
        CHECK(Processes(proc.path(), 8).find(42, ns_of(5000), "curl").executable == expected);
    }
}

TEST_CASE("processes: what was read once is remembered", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/first");
    Processes processes(proc.path(), 8);
    REQUIRE(processes.find(42, ns_of(5000), "first").executable == "/usr/bin/first");
    SECTION("also when it is gone") {
        proc.remove(42);
        CHECK(processes.find(42, ns_of(5000), "first").executable == "/usr/bin/first");
    }
    SECTION("until another name tells of an execve()") {
        proc.add(42, 5000, "/usr/bin/second");
        CHECK(processes.find(42, ns_of(5000), "first").executable == "/usr/bin/first");
        CHECK(processes.find(42, ns_of(5000), "second").executable == "/usr/bin/second");
    }
    SECTION("until another start tells of another process") {
        proc.add(42, 9000, "/usr/bin/second");
        CHECK(processes.find(42, ns_of(9000), "first").executable == "/usr/bin/second");
        // A late record of the first one gets nothing of the second's.
        CHECK(processes.find(42, ns_of(5000), "first").executable.empty());
    }
}

TEST_CASE("processes: the least recently used leaves first", "[unit]") {
    const Proc proc;
    for (const uint32_t pid : {1, 2, 3})
        proc.add(pid, 5000, "/bin/p" + std::to_string(pid));
    Processes processes(proc.path(), 2);
    const auto find = [&](uint32_t pid) { return processes.find(pid, ns_of(5000), "p").executable; };
    find(1);
    find(2);
    find(1);
    find(3);  // 2 leaves
    for (const uint32_t pid : {1, 2, 3})
        proc.remove(pid);
    CHECK(find(1) == "/bin/p1");
    CHECK(find(3) == "/bin/p3");
    CHECK(find(2).empty());
}

TEST_CASE("processes: the cgroup's path", "[unit]") {
    const std::string container = "/docker/" + id;
    struct Case {
        const char* what;
        std::string content, path;
    };
    const Case cases[] = {
        {"version 2", "0::/system.slice/ssh.service\n", "/system.slice/ssh.service"},
        {"without a line's end", "0::/a", "/a"},
        {"a colon in the path", "0::/a:b/c:d\n", "/a:b/c:d"},
        {"hybrid: version 2 has the daemon's group", "5:memory:" + container + "\n0::/system.slice\n",
         container},
        {"hybrid: version 2 has a container, too", "5:memory:" + container + "\n0::/a" + container + "\n",
         "/a" + container},
        {"hybrid: version 2 says nothing", "5:memory:" + container + "\n0::/\n", container},
        {"the order does not matter", "0::/\n5:memory:" + container + "\n", container},
        {"version 1 alone", "5:memory:" + container + "\n4:cpu,cpuacct:/\n", container},
        {"a named hierarchy", "1:name=systemd:" + container + "\n", container},
        {"version 1 without a container", "5:memory:/user.slice\n0::/\n", "/"},
        {"version 1 alone, without a container", "5:memory:/user.slice\n", ""},
        {"nothing", "", ""},
        {"garbage", "\n:\n0:\n::\nabc\n", ""},
    };
    for (const Case& test : cases) {
        INFO(test.what);
        CHECK(cgroup_of(test.content).path == test.path);
    }
}

TEST_CASE("context: a pod's process", "[unit]") {
    const Proc proc;
    const std::string uid = "8c1a2b3c-1111-2222-3333-444455556666";
    proc.add(42, 5000, "/usr/bin/curl", "0::/kubepods/burstable/pod" + uid + "/" + id + "\n");
    std::filesystem::create_directories(proc.path() + "/log/pods/shop_web-x2x9z_" + uid);
    Options options;
    options.proc = proc.path();
    options.cgroup = "/nonexistent";
    options.kubelet_logs = proc.path() + "/log";
    Context context(options);
    connections::Owner owner;
    owner.pid = 42;
    owner.start_ns = ns_of(5000);
    const Identity identity = context.find(owner);
    CHECK(identity.container_id == id);
    CHECK(identity.systemd_unit.empty());
    CHECK(identity.pod.uid == uid);
    CHECK(identity.pod.pod == "web-x2x9z");
    CHECK(identity.pod.name_space == "shop");
    CHECK(identity.pod.container.empty());  // its container has no log yet
    CHECK(identity.pod.metadata == Metadata::kubelet);
    CHECK(identity.unknown == connections::container_unknown);
    CHECK(context.may_come(1'000'000));
    CHECK_FALSE(context.may_come(600'000'000));
}

TEST_CASE("context: nothing waits for the kubelet's folders while the API server does not answer", "[unit]") {
    const Proc proc;
    const std::string uid = "8c1a2b3c-1111-2222-3333-444455556666";
    proc.add(42, 5000, "/usr/bin/curl", "0::/kubepods/burstable/pod" + uid + "/" + id + "\n");
    std::filesystem::create_directories(proc.path() + "/log/pods/shop_web-x2x9z_" + uid);
    Options options;
    options.proc = proc.path();
    options.cgroup = "/nonexistent";
    options.kubelet_logs = proc.path() + "/log";
    Context context(options);
    REQUIRE(context.ask_cluster({"http://127.0.0.1:1", "", "", false}, "node-1"));
    context.wait_for_cluster(std::chrono::seconds(20));
    connections::Owner owner;
    owner.pid = 42;
    owner.start_ns = ns_of(5000);
    const Identity identity = context.find(owner);
    CHECK(identity.pod.metadata == Metadata::api_unreachable);
    CHECK(identity.pod.pod == "web-x2x9z");
    CHECK(identity.unknown == (connections::container_unknown | connections::workload_unknown));
    CHECK_FALSE(context.may_come(1'000'000));
}

TEST_CASE("context: the socket's owner", "[unit]") {
    const Proc proc;
    proc.add(42, 5000, "/usr/bin/curl", "5:memory:/docker/" + id + "\n0::/\n");
    Options options;
    options.proc = proc.path();
    options.cgroup = "/nonexistent";
    Context context(options);
    connections::Owner owner;
    SECTION("known") {
        owner.pid = 42;
        owner.start_ns = ns_of(5000);
        owner.name = "curl";
        owner.uid = 1234;
        const Identity identity = context.find(owner);
        CHECK(identity.executable == "/usr/bin/curl");
        CHECK(identity.cgroup_path == "/docker/" + id);
        CHECK(identity.container_id == id);
        CHECK(identity.uid == 1234u);  // as it was at the call, not as it is now
    }
    SECTION("found by the scan: /proc says whose it is") {
        owner.pid = 42;
        CHECK(context.find(owner).uid == 1000u);
    }
    SECTION("gone") {
        owner.pid = 43;
        const Identity identity = context.find(owner);
        CHECK(identity.executable.empty());
        CHECK(identity.cgroup_path.empty());
        CHECK(identity.container_id.empty());
        CHECK_FALSE(identity.uid);
    }
    SECTION("not known") {
        const Identity identity = context.find(owner);
        CHECK(identity.executable.empty());
        CHECK(identity.cgroup_path.empty());
        CHECK_FALSE(identity.uid);
    }
}

TEST_CASE("context: where containers live in cgroup v1, the process says which", "[unit]") {
    const NoHandles without;  // folders stand for cgroup2
    const Proc proc;
    const auto make = [&](const std::string& folder) {
        const std::string path = proc.path() + "/cgroup2" + folder;
        fs::create_directories(path);
        struct stat status{};
        REQUIRE(stat(path.c_str(), &status) == 0);
        return status.st_ino;
    };
    Options options;
    options.proc = proc.path();
    options.cgroup = proc.path() + "/cgroup2";
    options.kubelet_logs = options.docker = options.podman = "";
    connections::Owner socket;
    socket.pid = 42;
    socket.start_ns = ns_of(5000);
    socket.name = "curl";

    SECTION("version 2 names none") {
        proc.add(42, 5000, "/usr/bin/curl", "4:memory:/docker/" + id + "\n0::/system.slice/docker.service\n");
        socket.cgroup_id = make("/system.slice/docker.service");
        Context context(options);
        const Identity identity = context.find(socket);
        CHECK(identity.container_id == id);
        CHECK(identity.cgroup_path == "/docker/" + id);
        CHECK(identity.unknown == 0);
    }
    SECTION("version 2 names one: the socket's own") {
        const std::string other(64, 'e');
        proc.add(42, 5000, "/usr/bin/curl", "4:memory:/docker/" + id + "\n0::/\n");
        socket.cgroup_id = make("/docker/" + other);
        Context context(options);
        CHECK(context.find(socket).container_id == other);
    }
    SECTION("the process has none in version 1: it may have moved, the socket has not") {
        proc.add(42, 5000, "/usr/bin/curl", "4:memory:/\n0::/system.slice/web.service\n");
        socket.cgroup_id = make("/system.slice/ssh.service");
        Context context(options);
        const Identity identity = context.find(socket);
        CHECK(identity.cgroup_path == "/system.slice/ssh.service");
        CHECK(identity.container_id.empty());
    }
}
