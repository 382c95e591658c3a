// SPDX-License-Identifier: Apache-2.0
//
// What lies above TCP in the kernel: kTLS, and SMC that has fallen back. One record for each TCP socket.
#include <linux/tls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;
constexpr uint64_t tls_overhead = 5 + 8 + 16;  // of a record: header, nonce and tag

// Both directions with one key. 0 or -errno.
int begin_tls(int fd) {
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0) return -errno;
    tls12_crypto_info_aes_gcm_128 keys{};
    keys.info.version = TLS_1_2_VERSION;
    keys.info.cipher_type = TLS_CIPHER_AES_GCM_128;
    std::memset(keys.key, 7, sizeof keys.key);
    for (const int direction : {TLS_TX, TLS_RX})
        if (setsockopt(fd, SOL_TLS, direction, &keys, sizeof keys) != 0) return -errno;
    return 0;
}

int smc_socket() {
    const int fd = socket(AF_SMC, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

void closed_by_client(Record& client, const Actor& who, Record& server) {
    client.ended("END_LOCAL_CLOSE").ended_by(who);
    client.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
    server.ended("END_REMOTE_CLOSE").timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
}

}  // namespace

TEST_CASE("kTLS on both ends: what TCP carried is told", "[.guest]") {
    scenario([] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "tls-server", {.uid = 65534});
        Actor client(client_net, "tls-client");
        const Connection made = establish(client, server, veth_end(AF_INET));
        const int begun = client.call([=] { return begin_tls(made.client_fd); });
        if (begun == -ENOENT || begun == -ENOPROTOOPT)
            SKIP_TEST(std::string("no kTLS with AES-GCM: ") + strerrorname_np(-begun));
        REQUIRE(begun == 0);
        REQUIRE(server.call([=] { return begin_tls(made.server_fd); }) == 0);
        exchange(client, server, made, 1000, 5000);
        const tcp_info client_info = client.call([=] { return info_of(made.client_fd); });
        const tcp_info server_info = server.call([=] { return info_of(made.server_fd); });
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        Record server_record = Record::server(server, made.server_end, made.client_end);
        client_record.traffic(1000 + tls_overhead, 5000 + tls_overhead).measured(client_info);
        server_record.traffic(5000 + tls_overhead, 1000 + tls_overhead).measured(server_info);
        closed_by_client(client_record, client, server_record);
        CHECK(client_record.differences(told.client) == "");
        CHECK(server_record.differences(told.server) == "");
    });
}

// Without a device for RDMA it is TCP, behind messages in which the two kernels find that out.
TEST_CASE("SMC that has fallen back: each end is told once, with its owner", "[.guest]") {
    if (const int fd = smc_socket(); fd < 0)
        SKIP_TEST(std::string("no SMC sockets: ") + strerrorname_np(-fd));
    else
        close(fd);
    scenario([] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "smc-server", {.uid = 65534});
        Actor client(client_net, "smc-client");
        const Endpoint at = veth_end(AF_INET, 4000);
        const int listener = server.call([=] {
            const int fd = smc_socket();
            if (fd < 0) return fd;
            if (bind(fd, at.address(), at.length) != 0 || listen(fd, 16) != 0) return -errno;
            return fd;
        });
        REQUIRE(listener >= 0);
        server.start([=] { return accept_one(listener); });
        const int client_fd = client.call([=] {
            const int fd = smc_socket();
            return fd < 0 ? fd : connect(fd, at.address(), at.length) == 0 ? fd : -errno;
        });
        REQUIRE(client_fd >= 0);
        const int server_fd = server.finish<int>();
        REQUIRE(server_fd >= 0);
        client.start([=] { return send_bytes(client_fd, 1000); });
        REQUIRE(server.call([=] { return receive_bytes(server_fd, 1000); }) == 0);
        REQUIRE(client.finish<int>() == 0);
        close_socket(client, client_fd);
        close_after_peer(server, server_fd);
        const Ends told = watch.ends();
        INFO(told.client.line << told.server.line);
        CHECK(told.client.number("process.pid") == static_cast<uint64_t>(client.pid()));
        CHECK(told.server.number("process.pid") == static_cast<uint64_t>(server.pid()));
        CHECK(told.client.text("outcome") == "OUTCOME_ESTABLISHED");
        CHECK(told.client.number("bytes_sent") >= 1000);
        CHECK(told.server.number("bytes_received") == told.client.number("bytes_sent"));
        CHECK(told.client.number("bytes_received") == told.server.number("bytes_sent"));
        CHECK(told.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(told.server.text("end") == "END_REMOTE_CLOSE");
    });
}
