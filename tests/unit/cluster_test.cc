// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/cluster.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/catch.h"
#include "tests/unit/fake_api_server.h"
#include "tests/unit/temporary_folder.h"

using namespace tcptrail::cluster;
using namespace std::chrono_literals;
using tests::FakeApiServer;

namespace {

std::string pod(const std::string& name, const std::string& address, const std::string& owner = {}) {
    return R"({"metadata":{"uid":"uid-)" + name + R"(","namespace":"shop","name":")" + name +
           R"(","resourceVersion":"5")" + owner +
           R"(},"spec":{"nodeName":"node-1"},"status":{"podIPs":[{"ip":")" + address +
           R"("}],"startTime":"2026-11-30T04:00:00Z","containerStatuses":[{"name":"main","containerID":"containerd://id-)" +
           name + R"("}]}})";
}

std::string list(const std::string& items) {
    return R"({"metadata":{"resourceVersion":"10"},"items":[)" + items + "]}";
}

bool wait_for(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

bool is_watch(const std::string& target) {
    return target.find("watch=1") != std::string::npos;
}

struct Asked {
    std::unique_ptr<Cluster> cluster;
    Directory directory;

    Asked(const FakeApiServer& server, bool remote = false, const std::string& token_file = {}) {
        auto started = Cluster::start({server.url(), token_file, "", remote}, "node-1");
        REQUIRE(started);
        cluster = std::move(*started);
    }
    bool knows(const std::string& uid) {
        return wait_for([&] {
            cluster->take(directory);
            return directory.pod(uid) != nullptr;
        });
    }
};

}  // namespace

TEST_CASE("cluster: pods of this node, listed and watched", "[cluster]") {
    FakeApiServer server([](const std::string& target, const std::string&) -> FakeApiServer::Reply {
        if (is_watch(target)) return {200, "", true};
        return {200, list(pod("a", "10.0.0.1")), false};
    });
    Asked asked(server);
    REQUIRE(asked.knows("uid-a"));
    CHECK(asked.directory.container("id-a") == "main");
    REQUIRE(wait_for([&] { return server.watches() == 1; }));
    CHECK(asked.cluster->contact() == Contact::current);
    CHECK(server.targets().front() == "/api/v1/pods?resourceVersion=0&fieldSelector=spec.nodeName%3Dnode-1");

    server.send("pods", R"({"type":"ADDED","object":)" + pod("b", "10.0.0.2") + "}");
    REQUIRE(asked.knows("uid-b"));
    // It is gone, and stays known: its connections end after it.
    server.send("pods", R"({"type":"DELETED","object":)" + pod("a", "10.0.0.1") + "}");
    REQUIRE(wait_for([&] { return asked.cluster->status().known_pods == 1; }));
    asked.cluster->take(asked.directory);
    CHECK(asked.directory.pod("uid-a"));

    server.close_watches();
    REQUIRE(wait_for([&] { return asked.cluster->contact() == Contact::unreachable; }));
    CHECK_FALSE(asked.cluster->status().problem.empty());
    REQUIRE(wait_for([&] { return asked.cluster->contact() == Contact::current; }));
    CHECK(asked.cluster->status().problem.empty());
    CHECK(asked.cluster->status().lists == 1);
    CHECK(asked.cluster->status().failures == 1);
}

TEST_CASE("cluster: the owner of a Job is asked for", "[cluster]") {
    FakeApiServer server([](const std::string& target, const std::string&) -> FakeApiServer::Reply {
        if (is_watch(target)) return {200, "", true};
        if (target == "/apis/batch/v1/namespaces/shop/jobs/night-1")
            return {
                200,
                R"({"metadata":{"uid":"job","ownerReferences":[{"controller":true,"kind":"CronJob","name":"night"}]}})",
                false};
        return {
            200,
            list(pod(
                "a", "10.0.0.1",
                R"(,"ownerReferences":[{"controller":true,"apiVersion":"batch/v1","kind":"Job","name":"night-1","uid":"job"}])")),
            false};
    });
    Asked asked(server);
    REQUIRE(asked.knows("uid-a"));
    REQUIRE(wait_for([&] {
        asked.cluster->take(asked.directory);
        return asked.directory.pod("uid-a")->workload_known;
    }));
    CHECK(asked.directory.pod("uid-a")->workload == Workload{"CronJob", "night"});
    CHECK(asked.cluster->status().owners == 1);
}

TEST_CASE("cluster: who refuses to tell an owner is no answer, and not asked again at once", "[cluster]") {
    FakeApiServer server([](const std::string& target, const std::string&) -> FakeApiServer::Reply {
        if (is_watch(target)) return {200, "", true};
        if (target.contains("/jobs/"))
            return {403, R"({"kind":"Status","message":"jobs is forbidden"})", false};
        return {
            200,
            list(pod(
                "a", "10.0.0.1",
                R"(,"ownerReferences":[{"controller":true,"apiVersion":"batch/v1","kind":"Job","name":"night-1","uid":"job"}])")),
            false};
    });
    Asked asked(server);
    REQUIRE(asked.knows("uid-a"));
    REQUIRE(wait_for([&] { return asked.cluster->status().failures == 1; }));
    std::this_thread::sleep_for(300ms);
    asked.cluster->take(asked.directory);
    CHECK_FALSE(asked.directory.pod("uid-a")->workload_known);
    CHECK(asked.cluster->status().owners == 1);
}

TEST_CASE("cluster: remote ends, by address", "[cluster]") {
    FakeApiServer server([](const std::string& target, const std::string&) -> FakeApiServer::Reply {
        if (is_watch(target)) return {200, "", true};
        if (target.starts_with("/api/v1/services"))
            return {
                200,
                list(
                    R"({"metadata":{"uid":"s","namespace":"shop","name":"api"},"spec":{"clusterIPs":["10.96.0.9"]}})"),
                false};
        if (target.starts_with("/api/v1/nodes"))
            return {
                200,
                list(
                    R"({"metadata":{"uid":"n","name":"node-2"},"status":{"addresses":[{"address":"192.0.2.2"}]}})"),
                false};
        return {200, list(pod("a", "10.0.0.1")), false};
    });
    Asked asked(server, true);
    REQUIRE(asked.knows("uid-a"));
    REQUIRE(wait_for([&] {
        asked.cluster->take(asked.directory);
        return asked.directory.addresses() == 3;
    }));
    CHECK(asked.directory.holder(*parse_address("10.0.0.1"), 0).pod->name == "a");
    CHECK(asked.directory.holder(*parse_address("10.96.0.9"), 0).service->name == "api");
    CHECK(asked.directory.holder(*parse_address("192.0.2.2"), 0).node->name == "node-2");
    const auto targets = server.targets();
    CHECK(std::ranges::count(targets, "/api/v1/pods?resourceVersion=0") == 1);
}

TEST_CASE("cluster: a token never goes over plain HTTP", "[cluster]") {
    const tests::TemporaryFolder folder;
    const std::string token = folder.path() + "/token";
    std::ofstream(token) << "secret\n";
    std::atomic<bool> sent = false;
    FakeApiServer server([&](const std::string&, const std::string& head) -> FakeApiServer::Reply {
        if (head.find("secret") != std::string::npos) sent = true;
        return {401, R"({"message":"Unauthorized"})", false};
    });
    Asked asked(server, false, token);
    REQUIRE(wait_for([&] { return asked.cluster->contact() == Contact::denied; }));
    CHECK(asked.cluster->status().problem == "HTTP 401: Unauthorized");
    CHECK_FALSE(sent);
}

TEST_CASE("cluster: nobody answers", "[cluster]") {
    auto started = Cluster::start({"http://127.0.0.1:1", "", "", false}, "node-1");
    REQUIRE(started);
    REQUIRE(wait_for([&] { return (*started)->contact() == Contact::unreachable; }));
    CHECK((*started)->status().problem.find("127.0.0.1") != std::string::npos);
}

TEST_CASE("cluster: in-cluster, but in no pod", "[cluster]") {
    if (std::getenv("KUBERNETES_SERVICE_HOST")) SKIP_TEST("this is a pod");
    const auto started = Cluster::start({"in-cluster", "", "", false}, "node-1");
    REQUIRE_FALSE(started);
    CHECK(started.error().code == tcptrail::ExitCode::configuration);
    CHECK(started.error().message.find("KUBERNETES_SERVICE_HOST") != std::string::npos);
}
