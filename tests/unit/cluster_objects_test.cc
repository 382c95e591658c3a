// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/objects.h"

#include "agent/cluster/json.h"
#include "agent/cluster/owners.h"
#include "tests/catch.h"

using namespace tcptrail::cluster;

namespace {

Json json(const char* text) {
    const auto parsed = parse_json(text);
    REQUIRE(parsed);
    return *parsed;
}

constexpr const char* pod_json = R"({
  "metadata": {"uid": "u-1", "namespace": "shop", "name": "api-7d9f-x", "resourceVersion": "5",
    "labels": {"pod-template-hash": "7d9f", "app": "api"},
    "ownerReferences": [{"kind": "Other", "name": "no", "uid": "o-0"},
      {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api-7d9f", "uid": "o-1", "controller": true}]},
  "spec": {"nodeName": "node-1"},
  "status": {"phase": "Running", "startTime": "2026-11-30T04:00:00Z",
    "podIPs": [{"ip": "10.1.2.3"}, {"ip": "fd00::3"}],
    "initContainerStatuses": [{"name": "setup", "containerID": "containerd://i1"}],
    "containerStatuses": [{"name": "main", "containerID": "containerd://c2",
        "lastState": {"terminated": {"containerID": "containerd://c1"}}},
      {"name": "waiting", "containerID": ""}],
    "ephemeralContainerStatuses": [{"name": "debug", "containerID": "cri-o://e1"}]}})";

Workload resolved(Owners& owners, Pod pod, bool may_ask = true) {
    owners.resolve(pod, may_ask);
    CHECK(pod.workload_known);
    return pod.workload;
}

Pod owned(const char* version, const char* kind, const char* name, const char* uid, const char* hash = "") {
    Pod pod;
    pod.name_space = "shop";
    pod.owner = Pod::Owner{version, kind, name, uid};
    pod.template_hash = hash;
    return pod;
}

}  // namespace

TEST_CASE("objects: a pod", "[cluster]") {
    const auto parsed = parse_pod(json(pod_json), "node-1");
    REQUIRE(parsed);
    const Pod& pod = parsed->object;
    CHECK(parsed->uid == "u-1");
    CHECK(pod.uid == "u-1");
    CHECK(pod.name_space == "shop");
    CHECK(pod.name == "api-7d9f-x");
    CHECK(pod.node == "node-1");
    CHECK_FALSE(pod.ended);
    CHECK(pod.started_unix_ns == 1796011200'000'000'000u);
    REQUIRE(pod.addresses.size() == 2);
    CHECK(pod.addresses[0] == *parse_address("10.1.2.3"));
    CHECK(pod.addresses[1] == *parse_address("fd00::3"));
    const std::vector<std::pair<std::string, std::string>> containers = {
        {"i1", "setup"}, {"c2", "main"}, {"c1", "main"}, {"e1", "debug"}};
    CHECK(pod.containers == containers);
    REQUIRE(pod.owner);
    CHECK(pod.owner->name == "api-7d9f");
    // On another node nobody asks for its containers.
    CHECK(parse_pod(json(pod_json), "node-2")->object.containers.empty());
}

TEST_CASE("objects: a static pod has its uid on the node", "[cluster]") {
    const auto parsed = parse_pod(json(R"({"metadata": {"uid": "api", "name": "etcd-n", "annotations":
        {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.hash": "abc"}}})"),
                                  "n");
    REQUIRE(parsed);
    CHECK(parsed->uid == "api");
    CHECK(parsed->object.uid == "abc");
}

TEST_CASE("objects: pods of the host's network have no address of their own", "[cluster]") {
    const auto parsed =
        parse_pod(json(R"({"metadata": {"uid": "u", "name": "p"}, "spec": {"hostNetwork": true},
        "status": {"phase": "Succeeded", "podIPs": [{"ip": "10.0.0.1"}]}})"),
                  "n");
    REQUIRE(parsed);
    CHECK(parsed->object.addresses.empty());
    CHECK(parsed->object.ended);
}

TEST_CASE("objects: whatever is there, or of another type, does no harm", "[cluster]") {
    for (const char* text : {"{}", R"({"metadata": 1})", R"({"metadata": {"uid": 1, "name": []}})",
                             R"({"metadata": {"uid": "u"}})"}) {
        INFO(text);
        CHECK_FALSE(parse_pod(json(text), "n"));
        CHECK_FALSE(parse_service(json(text)));
        CHECK_FALSE(parse_node(json(text)));
    }
    const auto parsed = parse_pod(json(R"({"metadata": {"uid": "u", "name": "p", "ownerReferences": {"a": 1},
        "labels": []}, "spec": [], "status": {"podIPs": [1, {"ip": 2}, {"ip": "x"}], "startTime": "9999-12-31T00:00:00Z",
        "containerStatuses": [1, {"name": "c", "containerID": "no scheme"}]}})"),
                                  "");
    REQUIRE(parsed);
    CHECK(parsed->object.addresses.empty());
    CHECK(parsed->object.containers.empty());
    CHECK(parsed->object.started_unix_ns == 0);
}

TEST_CASE("objects: services and nodes have their addresses", "[cluster]") {
    const auto service = parse_service(json(R"({"metadata": {"uid": "s", "namespace": "shop", "name": "api"},
        "spec": {"clusterIPs": ["10.96.0.9", "fd00::9"], "externalIPs": ["192.0.2.1"]},
        "status": {"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "192.0.2.2"}]}}})"));
    REQUIRE(service);
    CHECK(service->object.addresses.size() == 4);
    CHECK(parse_service(json(R"({"metadata": {"uid": "s", "name": "h"}, "spec": {"clusterIPs": ["None"]}})"))
              ->object.addresses.empty());
    const auto node = parse_node(json(R"({"metadata": {"uid": "n", "name": "node-1"}, "status": {"addresses":
        [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "node-1"}]}})"));
    REQUIRE(node);
    CHECK(node->object.addresses == std::vector<Address>{*parse_address("10.0.0.1")});
}

TEST_CASE("owners: who needs not to be asked", "[cluster]") {
    Owners owners;
    CHECK(resolved(owners, owned("apps/v1", "ReplicaSet", "api-7d9f", "o", "7d9f")) ==
          Workload{"Deployment", "api"});
    CHECK(resolved(owners, owned("apps/v1", "StatefulSet", "db", "o")) == Workload{"StatefulSet", "db"});
    CHECK(resolved(owners, owned("apps/v1", "DaemonSet", "log", "o")) == Workload{"DaemonSet", "log"});
    CHECK(resolved(owners, owned("argoproj.io/v1alpha1", "Workflow", "w", "o")) == Workload{"Workflow", "w"});
    CHECK(resolved(owners, owned("v1", "Node", "node-1", "o")) == Workload{});
    CHECK(resolved(owners, Pod{}) == Workload{});
    // Of other nodes: nobody asks for a name that much.
    CHECK(resolved(owners, owned("batch/v1", "Job", "j", "o"), false) == Workload{"Job", "j"});
    CHECK_FALSE(owners.next());
}

TEST_CASE("owners: who is asked for, once", "[cluster]") {
    Owners owners;
    Pod pod = owned("batch/v1", "Job", "night-123", "o-1");
    owners.resolve(pod, true);
    CHECK_FALSE(pod.workload_known);
    owners.resolve(pod, true);
    const auto question = owners.next();
    REQUIRE(question);
    CHECK(question->target == "/apis/batch/v1/namespaces/shop/jobs/night-123");
    owners.resolve(pod, true);
    CHECK_FALSE(owners.next());
    SECTION("a CronJob made it") {
        owners.answer(*question, json(R"({"metadata": {"uid": "o-1", "ownerReferences":
            [{"controller": true, "apiVersion": "batch/v1", "kind": "CronJob", "name": "night", "uid": "c"}]}})"));
        CHECK(resolved(owners, pod) == Workload{"CronJob", "night"});
        CHECK(resolved(owners, pod, false) == Workload{"CronJob", "night"});
    }
    SECTION("nobody did") {
        owners.answer(*question, json(R"({"metadata": {"uid": "o-1"}})"));
        CHECK(resolved(owners, pod) == Workload{"Job", "night-123"});
    }
    SECTION("it is gone") {
        owners.answer(*question, std::nullopt);
        CHECK(resolved(owners, pod) == Workload{"Job", "night-123"});
    }
    SECTION("another has its name") {
        owners.answer(*question, json(R"({"metadata": {"uid": "o-2", "ownerReferences":
            [{"controller": true, "kind": "CronJob", "name": "other"}]}})"));
        CHECK(resolved(owners, pod) == Workload{"Job", "night-123"});
    }
    SECTION("no answer: it is asked for again") {
        owners.forget(*question);
        owners.resolve(pod, true);
        CHECK(owners.next());
    }
}

TEST_CASE("owners: a reference that leads elsewhere in the API is not followed", "[cluster]") {
    Owners owners;
    for (const char* name :
         {"../../../../../api/v1/secrets", "x?watch=1", "x#", "x y", "..", "", "x%2e", "X"}) {
        INFO(name);
        CHECK(resolved(owners, owned("batch/v1", "Job", name, "o")) == Workload{"Job", name});
    }
    for (const char* version : {"batch", "batch/", "batch/v1/namespaces", "batch/../v1"}) {
        INFO(version);
        CHECK(resolved(owners, owned(version, "Job", "j", "o")) == Workload{"Job", "j"});
    }
    CHECK_FALSE(owners.next());
}

TEST_CASE("owners: a ReplicaSet that no Deployment made", "[cluster]") {
    Owners owners;
    Pod pod = owned("apps/v1", "ReplicaSet", "api-7d9f", "o-1");
    owners.resolve(pod, true);
    const auto question = owners.next();
    REQUIRE(question);
    CHECK(question->target == "/apis/apps/v1/namespaces/shop/replicasets/api-7d9f");
    owners.answer(*question, json(R"({"metadata": {"uid": "o-1", "ownerReferences":
        [{"controller": true, "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "api"}]}})"));
    CHECK(resolved(owners, pod) == Workload{"Rollout", "api"});
}
