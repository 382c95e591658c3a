// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/listener.h"

#include <string>

#include "tests/catch.h"

using namespace tcptrail;
using context::Identity;
using context::NamespaceCounts;
using encode::listener_message;

namespace {

Identity of_a_pod() {
    Identity identity;
    identity.executable = "/usr/sbin/nginx";
    identity.cgroup_path = "/kubepods/a";
    identity.container_id = "8d6a";
    identity.uid = 33;
    identity.systemd_unit = "nginx.service";
    identity.systemd_slice = "system.slice";
    identity.container_runtime = "docker";
    identity.container_name = "edge";
    identity.pod.uid = "8c1a2b3c";
    identity.pod.name_space = "shop";
    identity.pod.pod = "web-1";
    identity.pod.container = "server";
    identity.pod.workload_kind = "Deployment";
    identity.pod.workload = "web";
    return identity;
}

v1::Listener with_drops(uint32_t drops, uint64_t overflows_of_all, uint64_t drops_of_all) {
    connections::Listener listener;
    listener.drops = drops;
    NamespaceCounts counts;
    counts.listen_overflows = overflows_of_all;
    counts.listen_drops = drops_of_all;
    return listener_message(listener, {}, &counts);
}

}  // namespace

TEST_CASE("listener: whose it is") {
    connections::Listener listener;
    listener.netns = 4026531840;
    listener.owner.pid = 12;
    listener.owner.name = "nginx";
    const v1::Listener told = listener_message(listener, of_a_pod(), nullptr);
    CHECK(told.netns() == 4026531840);
    CHECK(told.pid() == 12);
    CHECK(told.name() == "nginx");
    CHECK(told.executable() == "/usr/sbin/nginx");
    CHECK(told.uid() == 33);
    CHECK(told.cgroup_path() == "/kubepods/a");
    CHECK(told.container_id() == "8d6a");
    CHECK(told.container_name() == "edge");
    CHECK(told.systemd_unit() == "nginx.service");
    CHECK(told.systemd_slice() == "system.slice");
    CHECK(told.container_runtime() == "docker");
    CHECK(told.pod_namespace() == "shop");
    CHECK(told.pod() == "web-1");
    CHECK(told.pod_uid() == "8c1a2b3c");
    CHECK(told.pod_container() == "server");
    CHECK(told.workload_kind() == "Deployment");
    CHECK(told.workload() == "web");
    CHECK_FALSE(told.has_opened_unix_nanos());
}

TEST_CASE("listener: names that hold anything") {
    Identity identity = of_a_pod();
    identity.systemd_unit = identity.container_id = identity.pod.pod = "a\xfe";
    const v1::Listener told = listener_message({}, identity, nullptr);
    v1::Listener back;
    REQUIRE(back.ParseFromString(told.SerializeAsString()));  // refuses what is not UTF-8
    CHECK(back.systemd_unit() == "a\\xfe");
    CHECK(back.container_id() == "a\\xfe");
    CHECK(back.pod() == "a\\xfe");
}

TEST_CASE("listener: why it dropped, where its namespace's counts leave one reason") {
    CHECK_FALSE(listener_message({}, {}, nullptr).has_syn_drops());
    const v1::Listener full = with_drops(5, 7, 7);
    CHECK(full.accept_queue_overflows() == 5);
    CHECK(full.syn_drops() == 0);
    const v1::Listener other = with_drops(5, 0, 7);
    CHECK(other.accept_queue_overflows() == 0);
    CHECK(other.syn_drops() == 5);
    // Either it was, or another listener of the namespace.
    CHECK_FALSE(with_drops(5, 3, 7).has_syn_drops());
    // Counts that are older than the listener's.
    CHECK_FALSE(with_drops(5, 0, 4).has_syn_drops());
}
