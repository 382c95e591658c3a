// SPDX-License-Identifier: Apache-2.0
//
// Whose a connection is: cases 24, 29, 30, 31, 46, a listener from before the observer, a forking
// server.
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/cgroup.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

// Records of an exchange of 10 and 20 bytes that the client ends by a FIN.
Record plain_client(const Actor& client, const Connection& made) {
    Record record = Record::client(client, made.client_end, made.server_end);
    record.traffic(10, 20).ended("END_LOCAL_CLOSE").ended_by(client);
    return record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
}

Record plain_server(const Actor& server, const Connection& made) {
    Record record = Record::server(server, made.server_end, made.client_end);
    record.traffic(20, 10).ended("END_REMOTE_CLOSE");
    return record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
}

}  // namespace

TEST_CASE("a process that changes its name after listen()", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "name-before");
        Actor client(net, "name-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint server_end = server.call([=] { return local_end(listener); });
        REQUIRE(server.call([] { return prctl(PR_SET_NAME, "name-after"); }) == 0);
        const int fd = client.call([=] { return connect_to(server_end); });
        REQUIRE(fd >= 0);
        const int accepted = server.call([=] { return accept_one(listener); });
        REQUIRE(accepted >= 0);
        close_socket(server, accepted);
        close_after_peer(client, fd);
        const Ends told = watch.ends();
        CHECK(told.server.text("process.name") == "name-after");
        CHECK_FALSE(told.server.has("process.thread_name"));
        CHECK(told.server.text("ended_by.name") == "name-after");
    });
}

TEST_CASE("case 29: a socket passed to another process by SCM_RIGHTS", "[kernel]") {
    scenario([] {
        int channel[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
        Netns net;
        Watch watch{&net};
        Actor server(net, "pass-server");
        Actor opener(net, "opener");
        Actor closer(net, "closer", {.uid = 65534});
        const Connection made = establish(opener, server, loopback(AF_INET));
        exchange(opener, server, made, 10, 20);
        REQUIRE(opener.call([=] { return pass_socket(channel[0], made.client_fd); }) == 0);
        const int passed = closer.call([=] { return take_socket(channel[1]); });
        REQUIRE(passed >= 0);
        close_socket(opener, made.client_fd);
        close_socket(closer, passed);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        close(channel[0]);
        close(channel[1]);

        CHECK(plain_client(opener, made).ended_by(closer).differences(told.client) == "");
        CHECK(plain_server(server, made).differences(told.server) == "");
    });
}

TEST_CASE("case 29: a forked child closes last", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "fork-server");
        Actor opener(net, "fork-opener");
        const Connection made = establish(opener, server, loopback(AF_INET6));
        exchange(opener, server, made, 10, 20);
        const pid_t child = opener.call([=] {
            const pid_t pid = fork();
            if (pid == 0) {
                prctl(PR_SET_NAME, "fork-closer");
                sleep_ms(100);
                close(made.client_fd);
                _exit(0);
            }
            close(made.client_fd);
            waitpid(pid, nullptr, 0);
            return pid;
        });
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = plain_client(opener, made).ended_by(child, "fork-closer");
        CHECK(client_record.differences(told.client) == "");
        CHECK(plain_server(server, made).differences(told.server) == "");
    });
}

TEST_CASE("case 30: a thread with a name of its own connects", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "thread-server");
        Actor client(net, "thread-client");
        const int listener = listening(server, loopback(AF_INET));
        Connection made{};
        made.server_end = server.call([=] { return local_end(listener); });
        const Endpoint to = made.server_end;
        made.client_fd = client.call([=] {
            int fd = -1;
            std::thread worker([&] {
                prctl(PR_SET_NAME, "worker-7");
                fd = connect_to(to);
            });
            worker.join();
            return fd;
        });
        REQUIRE(made.client_fd >= 0);
        made.client_end = client.call([=] { return local_end(made.client_fd); });
        made.server_fd = server.call([=] { return accept_one(listener); });
        REQUIRE(made.server_fd >= 0);
        exchange(client, server, made, 10, 20);
        const int closed = client.call([=] {
            int result = -1;
            std::thread worker([&] {
                prctl(PR_SET_NAME, "worker-8");
                result = close(made.client_fd);
            });
            worker.join();
            return result;
        });
        REQUIRE(closed == 0);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        // Owner and closer are the process, by its own pid and name.
        Record client_record = plain_client(client, made).is("process.thread_name", "worker-7");
        CHECK(client_record.differences(told.client) == "");
        CHECK(plain_server(server, made).differences(told.server) == "");
    });
}

TEST_CASE("a listener that was there before the observer", "[kernel]") {
    scenario([] {
        Netns net;
        Actor server(net, "old-server", {.uid = 65534});
        const int listener = listening(server, loopback(AF_INET));
        Observer observer({"--netns", std::to_string(net.inode())});
        Watch watch({&net}, observer);
        Actor client(net, "new-client");
        const Connection made = establish(client, server, listener);
        exchange(client, server, made, 10, 20);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        CHECK(plain_client(client, made).differences(told.client) == "");
        // Known by the scan, or, where accept() is observed, by that. It was born before the record's
        // owner was looked at, after the observer began: nothing of it is missing.
        Record server_record = plain_server(server, made);
        server_record.one_of("process.source",
                             {"OWNER_SOURCE_SCAN", "OWNER_SOURCE_LISTENER", "OWNER_SOURCE_ACCEPT"});
        CHECK(server_record.differences(told.server) == "");
        CHECK(observer.stop(SIGINT).exit_status == 0);
    });
}

TEST_CASE("a listener whose forked child accepts", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "prefork-parent");
        Actor client(net, "prefork-client");
        const int listener = listening(server, loopback(AF_INET));
        Connection made{};
        made.server_end = server.call([=] { return local_end(listener); });
        const pid_t child = server.call([=] {
            const pid_t pid = fork();
            if (pid != 0) return pid;
            prctl(PR_SET_NAME, "prefork-child");
            const int fd = accept_one(listener);
            receive_bytes(fd, 10);
            send_bytes(fd, 20);
            read_to_end(fd);
            close(fd);
            _exit(0);
        });
        made.client_fd = client.call([to = made.server_end] { return connect_to(to); });
        REQUIRE(made.client_fd >= 0);
        made.client_end = client.call([=] { return local_end(made.client_fd); });
        REQUIRE(client.call([=] { return send_bytes(made.client_fd, 10); }) == 0);
        REQUIRE(client.call([=] { return receive_bytes(made.client_fd, 20); }) == 0);
        close_socket(client, made.client_fd);
        REQUIRE(server.call([=] { return waitpid(child, nullptr, 0); }) == child);
        const Ends told = watch.ends();

        CHECK(plain_client(client, made).differences(told.client) == "");
        Record server_record = plain_server(server, made);
        if (told.server.text("process.source") == "OWNER_SOURCE_ACCEPT") {
            server_record.is("process.pid", child).is("process.name", "prefork-child");
            server_record.any("process.executable");
        } else {
            server_record.is("process.source", "OWNER_SOURCE_LISTENER");
        }
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 24: a worker of a pre-fork server accepts 500 ms late", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "prefork-parent");
        Actor client(net, "prefork-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint to = server.call([=] { return local_end(listener); });
        const int fd = client.call([=] { return connect_to(to); });
        REQUIRE(fd >= 0);
        // Three workers accept after half a second; one of them gets the connection and ends after it.
        server.start([=] {
            pid_t workers[3];
            for (pid_t& worker : workers) {
                worker = fork();
                if (worker != 0) continue;
                prctl(PR_SET_NAME, "prefork-worker");
                sleep_ms(500);
                const int accepted = accept_one(listener);
                read_to_end(accepted);
                close(accepted);
                _exit(0);
            }
            const pid_t first = waitpid(-1, nullptr, 0);
            for (const pid_t worker : workers) {
                if (worker == first) continue;
                kill(worker, SIGKILL);
                waitpid(worker, nullptr, 0);
            }
            return first;
        });
        sleep_ms(700);
        close_socket(client, fd);
        const pid_t accepter = server.finish<pid_t>();
        const Ends told = watch.ends();
        const uint64_t wait_us = told.server.number("accept_wait_us").value_or(0);
        CHECK(wait_us >= 490'000);
        CHECK(wait_us <= 700'000);
        CHECK(told.server.number("process.pid") == accepter);
        CHECK(told.server.text("process.name") == "prefork-worker");
        CHECK(told.server.text("process.source") == "OWNER_SOURCE_ACCEPT");
        CHECK_FALSE(told.client.has("accept_wait_us"));
    });
}

TEST_CASE("case 31: open before the observer starts, then closed", "[kernel]") {
    scenario([] {
        Netns net;
        Actor server(net, "old-server");
        Actor client(net, "old-client");
        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 10, 20);
        Observer observer({"--netns", std::to_string(net.inode())});
        Watch watch({&net}, observer);
        sleep_ms(500);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        for (const Event* event : {&told.client, &told.server}) {
            CHECK(event->partial == std::vector<std::string>{"PARTIAL_BEGAN_BEFORE_CAPTURE"});
            CHECK(event->text("process.source") == "OWNER_SOURCE_SCAN");
            CHECK(event->text("outcome") == "OUTCOME_ESTABLISHED");
            CHECK_FALSE(event->has("connect_us"));
        }
        CHECK(told.client.number("process.pid") == client.pid());
        CHECK(told.server.number("process.pid") == server.pid());
        CHECK(told.client.number("bytes_sent") == 10);
        CHECK(told.client.number("bytes_received") == 20);
        CHECK(told.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(told.server.text("end") == "END_REMOTE_CLOSE");
        observer.stop(SIGINT);
    });
}

TEST_CASE("the owner's cgroup", "[kernel]") {
    if (cgroup_mount().empty()) SKIP_TEST("cgroup v2 is not mounted");
    scenario([] {
        Netns net;
        const CgroupFolder cgroup("plain.slice/plain.service");
        Watch watch{&net};
        Actor server(net, "cgroup-server", {.uid = 0, .cgroup_folder = cgroup.path()});
        Actor client(net, "cgroup-client");
        REQUIRE(server.cgroup_path().ends_with("/plain.slice/plain.service"));
        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 10, 20);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        CHECK(plain_client(client, made).differences(told.client) == "");
        Record server_record = plain_server(server, made).absent("process.container_id");
        server_record.is("process.systemd_unit", "plain.service").absent("kubernetes.pod_uid");
        server_record.is("process.systemd_slice", "plain.slice").absent("process.container_runtime");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 46: a client in a container's cgroup", "[kernel]") {
    if (cgroup_mount().empty()) SKIP_TEST("cgroup v2 is not mounted");
    const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    // As the kubelet's cgroupfs driver, its systemd driver, and Docker lay them out.
    const std::string folder = GENERATE_COPY(
        "kubepods/burstable/pod8c1a2b3c-1111-2222-3333-444455556666/" + id,
        "kubepods.slice/kubepods-pod8c1a2b3c_1111_2222_3333_444455556666.slice/cri-containerd-" + id +
            ".scope",
        "system.slice/docker-" + id + ".scope");
    scenario([&] {
        Netns net;
        const CgroupFolder cgroup(folder);
        Watch watch{&net};
        Actor server(net, "pod-server");
        Actor client(net, "pod-client", {.uid = 0, .cgroup_folder = cgroup.path()});
        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 10, 20);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        Record client_record = plain_client(client, made).is("process.container_id", id);
        client_record.absent("process.systemd_unit");
        if (folder.ends_with(".scope"))
            client_record.is("process.container_runtime",
                             folder.contains("docker") ? "docker" : "containerd");
        if (folder.starts_with("system")) client_record.is("process.systemd_slice", "system.slice");
        // What the path tells of the pod; its names come from the cluster, which is not here.
        if (folder.starts_with("kubepods"))
            client_record.is("kubernetes.pod_uid", "8c1a2b3c-1111-2222-3333-444455556666");
        else
            client_record.absent("kubernetes.pod_uid");
        CHECK(client_record.differences(told.client) == "");
        CHECK(plain_server(server, made).differences(told.server) == "");
    });
}
