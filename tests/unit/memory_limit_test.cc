// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/memory_limit.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/catch.h"

using namespace tcptrail::capture;

namespace {

namespace fs = std::filesystem;

// A host's procfs and cgroups, as far as they are read.
class FakeHost {
public:
    FakeHost() {
        char name[] = "/tmp/tcptrail-memory-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~FakeHost() { fs::remove_all(path_); }
    FakeHost(const FakeHost&) = delete;
    FakeHost& operator=(const FakeHost&) = delete;

    void write(const std::string& name, const std::string& text) const {
        const fs::path file = path_ / name;
        fs::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    // One line of mountinfo.
    std::string mount(const std::string& root, const std::string& at, const std::string& type,
                      const std::string& options) const {
        return "31 23 0:28 " + root + " " + (path_ / at).string() + " rw,relatime shared:9 - " + type +
               " x " + options + "\n";
    }
    std::optional<uint64_t> limit() const { return memory_limit(path_ / "proc"); }

private:
    fs::path path_;
};

}  // namespace

TEST_CASE("memory limit: none where nothing limits") {
    const FakeHost host;
    CHECK(!host.limit());
    host.write("proc/self/cgroup", "0::/a/b\n");
    host.write("proc/self/mountinfo", host.mount("/", "fs", "cgroup2", "rw"));
    CHECK(!host.limit());
    host.write("fs/a/b/memory.max", "max\n");
    CHECK(!host.limit());
}

TEST_CASE("memory limit: v2, the smallest of the cgroup and those above it") {
    const FakeHost host;
    host.write("proc/self/cgroup", "5:memory:/elsewhere\n0::/a/b\n");
    host.write("proc/self/mountinfo", host.mount("/", "fs", "cgroup2", "rw,nsdelegate"));
    host.write("fs/a/b/memory.max", "300000000\n");
    CHECK(host.limit() == 300'000'000);
    host.write("fs/a/memory.max", "200000000\n");
    CHECK(host.limit() == 200'000'000);
    host.write("fs/a/b/memory.high", "100000000\n");
    CHECK(host.limit() == 100'000'000);
}

TEST_CASE("memory limit: v1, beside other hierarchies") {
    const FakeHost host;
    host.write("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/a\n0::/a\n");
    host.write("proc/self/mountinfo", host.mount("/", "cpu", "cgroup", "rw,cpu,cpuacct") +
                                          host.mount("/", "memory", "cgroup", "rw,memory") +
                                          host.mount("/", "unified", "cgroup2", "rw"));
    host.write("cpu/x/memory.limit_in_bytes", "1\n");
    host.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
    host.write("memory/a/memory.limit_in_bytes", "50331648\n");
    CHECK(host.limit() == 50'331'648);
}

TEST_CASE("memory limit: in a container, where only its own cgroup is mounted") {
    const FakeHost host;
    host.write("fs/memory.max", "67108864\n");
    host.write("proc/self/mountinfo", host.mount("/pod/c1", "fs", "cgroup2", "ro"));
    for (const char* path : {"/pod/c1", "/", "/pod/other"}) {
        host.write("proc/self/cgroup", std::string("0::") + path + "\n");
        CHECK(host.limit() == 67'108'864);
    }
}

TEST_CASE("memory limit: what does not fit becomes smaller, and is said") {
    Options options;
    CHECK(fit_into_memory(options, uint64_t{4} << 30).empty());
    CHECK(options.ring_bytes == Options().ring_bytes);
    CHECK(options.overflow_records == Options().overflow_records);
    CHECK(options.max_connections == Options().max_connections);

    const std::string told = fit_into_memory(options, 48 << 20);
    CHECK(told ==
          "sized for the 48 MiB of memory that the cgroup has: capture.ring_bytes 4 MiB instead of 8 MiB, "
          "capture.overflow_records 7943 instead of 131072, capture.max_connections 30840 instead of 524288; "
          "below 80 MiB the kernel may kill the process");
    CHECK(options.ring_bytes == 4 << 20);
    CHECK(options.overflow_records == 7943);
    CHECK(options.max_connections == 30840);
    CHECK(fit_into_memory(options, 48 << 20).empty());

    fit_into_memory(options, 1);
    CHECK(options.ring_bytes == 64 << 10);
    CHECK(options.overflow_records == 0);
    CHECK(options.max_connections == 1024);
}

TEST_CASE("memory limit: what the package's unit allows leaves the defaults as they are") {
    Options options;
    CHECK(fit_into_memory(options, 512 << 20).empty());
    CHECK(options.overflow_records == Options().overflow_records);
    CHECK(options.max_connections == Options().max_connections);
    // More of them take more.
    options.overflow_records *= 2;
    options.max_connections *= 2;
    CHECK(fit_into_memory(options, 512 << 20) ==
          "sized for the 512 MiB of memory that the cgroup has: capture.overflow_records 148283 instead of "
          "262144, "
          "capture.max_connections 575688 instead of 1048576");
}

TEST_CASE("memory limit: the process keeps what it needs") {
    for (uint64_t mebibytes = 80; mebibytes <= 1024; ++mebibytes) {
        INFO(mebibytes << " MiB");
        Options options;
        options.ring_bytes = 1u << 30;
        options.overflow_records = options.max_connections = 1u << 24;
        fit_into_memory(options, mebibytes << 20);
        const uint64_t maps = options.ring_bytes + options.overflow_records * uint64_t{528} +
                              options.max_connections * uint64_t{272};
        CHECK(maps + (uint64_t{50} << 20) <= mebibytes << 20);
    }
}
