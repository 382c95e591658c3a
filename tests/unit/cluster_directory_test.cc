// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/directory.h"

#include "tests/catch.h"

using namespace tcptrail::cluster;

namespace {

constexpr uint64_t second = 1'000'000'000;

Pod make_pod(const char* uid, const char* address,
             std::vector<std::pair<std::string, std::string>> containers = {}, uint64_t started = 0) {
    Pod pod;
    pod.uid = uid;
    pod.name = uid;
    pod.started_unix_ns = started;
    pod.containers = std::move(containers);
    if (address) pod.addresses.push_back(*parse_address(address));
    return pod;
}

// The worker gives each change its own object, and a removal the object that it gave last.
struct Told {
    Directory directory;
    uint64_t now = second, now_unix = 1000 * second;

    PodPointer put(const Pod& pod) {
        auto pointer = std::make_shared<const Pod>(pod);
        directory.apply({Update::Change::put, pod.uid, pointer, {}, {}}, now, now_unix);
        return pointer;
    }
    void remove(const PodPointer& pod) {
        directory.apply({Update::Change::removed, pod->uid, pod, {}, {}}, now, now_unix);
    }
    std::string holder(const char* address, uint64_t unix_ns = 0) const {
        const auto found = directory.holder(*parse_address(address), unix_ns);
        return found.pod       ? found.pod->name
               : found.service ? found.service->name
               : found.node    ? found.node->name
                               : "";
    }
};

}  // namespace

TEST_CASE("directory: a pod that is gone is known for a quarter of an hour", "[cluster]") {
    Told told;
    const auto pod = told.put(make_pod("a", "10.0.0.1", {{"c1", "main"}}));
    told.remove(pod);
    told.now += 890 * second;
    told.put(make_pod("b", "10.0.0.2"));
    CHECK(told.directory.pod("a"));
    CHECK(told.directory.container("c1") == "main");
    CHECK(told.holder("10.0.0.1", 900 * second) == "a");
    told.now += 20 * second;
    told.put(make_pod("c", "10.0.0.3"));
    CHECK_FALSE(told.directory.pod("a"));
    CHECK(told.directory.container("c1").empty());
    CHECK(told.holder("10.0.0.1", 900 * second).empty());
    CHECK(told.directory.pods() == 2);
}

TEST_CASE("directory: a container that its pod does not name any more", "[cluster]") {
    Told told;
    for (int i = 0; i < 3000; ++i) {
        told.put(make_pod("a", nullptr, {{"c" + std::to_string(i), "main"}}));
        told.now += second;
    }
    CHECK(told.directory.container("c2999") == "main");
    CHECK(told.directory.container("c2200") == "main");
    CHECK(told.directory.container("c1").empty());
}

TEST_CASE("directory: an address that goes from pod to pod", "[cluster]") {
    Told told;
    const auto first = told.put(make_pod("a", "10.0.0.1", {}, 100 * second));
    told.remove(first);
    const auto next = told.put(make_pod("b", "10.0.0.1", {}, 200 * second));
    CHECK(told.holder("10.0.0.1") == "b");
    CHECK(told.holder("10.0.0.1", 250 * second) == "b");
    CHECK(told.holder("10.0.0.1", 150 * second) == "a");
    CHECK(told.holder("10.0.0.1", 50 * second).empty());
    // One that has ended does not stand before one that has begun.
    Pod ended = *first;
    ended.ended = true;
    told.put(ended);
    CHECK(told.holder("10.0.0.1", 250 * second) == "b");
    // Another address: the old one is not its own any more.
    told.put(make_pod("b", "10.0.0.9", {}, 200 * second));
    CHECK(told.holder("10.0.0.9") == "b");
    CHECK(told.holder("10.0.0.1", 250 * second) == "a");
    CHECK(told.holder("10.0.0.1").empty());
}

TEST_CASE("directory: an address is nobody's once its pod is gone or has ended", "[cluster]") {
    Told told;
    const auto gone = told.put(make_pod("a", "10.0.0.1", {}, 100 * second));
    told.now_unix = 500 * second;
    told.remove(gone);
    CHECK(told.holder("10.0.0.1", 499 * second) == "a");  // its connections end after it
    CHECK(told.holder("10.0.0.1", 501 * second).empty());
    CHECK(told.holder("10.0.0.1").empty());

    Pod job = make_pod("job", "10.0.0.2", {}, 100 * second);
    told.put(job);
    job.ended = true;
    told.now_unix = 600 * second;
    told.put(job);
    CHECK(told.holder("10.0.0.2", 550 * second) == "job");
    CHECK(told.holder("10.0.0.2", 601 * second).empty());
    // What is told of it later does not move its end.
    job.containers = {{"c1", "main"}};
    told.now_unix = 700 * second;
    told.put(job);
    CHECK(told.holder("10.0.0.2", 650 * second).empty());
    CHECK(told.holder("10.0.0.2", 599 * second) == "job");
}

TEST_CASE("directory: a static pod that is made anew keeps its containers' names", "[cluster]") {
    Told told;
    const auto before = told.put(make_pod("a", "10.0.0.1", {{"c1", "main"}, {"c2", "side"}}, second));
    told.remove(before);
    told.put(make_pod("a", "10.0.0.1", {{"c1", "main"}}, second));
    told.now += 1000 * second;
    told.put(make_pod("b", "10.0.0.3", {}, second));
    CHECK(told.directory.container("c1") == "main");
    CHECK(told.directory.container("c2").empty());
}

TEST_CASE("directory: services and nodes", "[cluster]") {
    Told told;
    auto service = std::make_shared<const Service>(Service{"shop", "api", {*parse_address("10.96.0.1")}});
    told.directory.apply({Update::Change::put, "s", {}, service, {}}, 1, 1);
    auto node = std::make_shared<const Node>(Node{"node-1", {*parse_address("192.0.2.1")}});
    told.directory.apply({Update::Change::put, "n", {}, {}, node}, 1, 1);
    CHECK(told.holder("10.96.0.1") == "api");
    CHECK(told.holder("192.0.2.1") == "node-1");
    auto moved = std::make_shared<const Service>(Service{"shop", "api", {*parse_address("10.96.0.2")}});
    told.directory.apply({Update::Change::put, "s", {}, moved, {}}, 1, 1);
    CHECK(told.holder("10.96.0.1").empty());
    CHECK(told.holder("10.96.0.2") == "api");
    told.directory.apply({Update::Change::removed, "s", {}, moved, {}}, 1, 1);
    told.directory.apply({Update::Change::removed, "n", {}, {}, node}, 1, 1);
    CHECK(told.directory.addresses() == 0);
}

TEST_CASE("directory: IPv4 in IPv6 is IPv4", "[cluster]") {
    CHECK(*parse_address("10.0.0.1") == *parse_address("::ffff:10.0.0.1"));
    CHECK_FALSE(parse_address("10.0.0.1:80"));
    CHECK_FALSE(parse_address("None"));
}
