// SPDX-License-Identifier: Apache-2.0
//
// A flood of SYNs from addresses that do not exist: case 43.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint32_t flood = 50'000;
constexpr uint64_t mib = uint64_t{1} << 20;

// A SYN as it is on the wire: IPv4, no options.
struct Syn {
    uint8_t version_and_length = 0x45;
    uint8_t service = 0;
    uint16_t total = htons(40);
    uint16_t id = 0;
    uint16_t fragment = 0;
    uint8_t lifetime = 64;
    uint8_t protocol = IPPROTO_TCP;
    uint16_t header_checksum = 0;  // the kernel's to fill in
    uint32_t source = 0;
    uint32_t target = 0;
    uint16_t source_port = 0;
    uint16_t target_port = 0;
    uint32_t sequence = 0;
    uint32_t acknowledgement = 0;
    uint16_t length_and_flags = htons(0x5002);
    uint16_t window = htons(64240);
    uint16_t checksum = 0;
    uint16_t urgent = 0;
};
static_assert(sizeof(Syn) == 40);

// Over the addresses, the protocol, the length, and the TCP header.
uint16_t tcp_checksum(const Syn& syn) {
    std::array<uint16_t, (sizeof syn - offsetof(Syn, source)) / 2> words;
    std::memcpy(words.data(), &syn.source, sizeof words);
    uint32_t sum = htons(IPPROTO_TCP) + htons(20);
    for (const uint16_t word : words)
        sum += word;
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

// So many SYNs, each from an address and port of its own in 198.18.0.0/15. 0 or -errno.
int send_syns(const Endpoint& to, uint32_t first, uint32_t count) {
    const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) return -errno;
    sockaddr_in target;
    std::memcpy(&target, &to.storage, sizeof target);
    Syn syn;
    syn.target = target.sin_addr.s_addr;
    syn.target_port = target.sin_port;
    int result = 0;
    for (uint32_t i = first; i < first + count && result == 0; ++i) {
        syn.source = htonl(0xc6120000 + i);
        syn.source_port = htons(static_cast<uint16_t>(1024 + i % 60'000));
        syn.sequence = htonl(i * 7919);
        syn.checksum = 0;
        syn.checksum = tcp_checksum(syn);
        if (sendto(fd, &syn, sizeof syn, 0, to.address(), to.length) < 0) result = -errno;
    }
    close(fd);
    return result;
}

// What the kernel charges for a process's BPF maps, in bytes; before Linux 6.4 the most it may come to.
uint64_t map_bytes(pid_t pid) {
    uint64_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fdinfo")) {
        std::ifstream info(file.path());
        for (std::string word; info >> word;) {
            uint64_t value = 0;
            if (word == "memlock:" && info >> value) bytes += value;
        }
    }
    return bytes;
}

uint64_t resident_bytes(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
    uint64_t pages = 0;
    file >> pages >> pages;
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Waits until the kernel has forgotten all half-open connections.
bool await_none_half_open(const Netns& net) {
    return net.inside([] {
        for (int waited_ms = 0; waited_ms < 20'000; waited_ms += 10) {
            std::ifstream file("/proc/thread-self/net/tcp");
            bool any = false;
            for (std::string line; std::getline(file, line);)
                any = any || line.find(" 03 ") != std::string::npos;  // SYN_RECV
            if (!any) return true;
            sleep_ms(10);
        }
        return false;
    });
}

}  // namespace

TEST_CASE("case 43: a flood of 50,000 SYNs", "[kernel]") {
    const bool cookies = GENERATE(true, false);
    INFO((cookies ? "with" : "without") << " SYN cookies");
    scenario([=] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        // The answers go somewhere.
        server_net.ip("route add default via 10.76.0.1 dev veth");
        server_net.sysctl("net.ipv4.conf.all.rp_filter", "0");
        server_net.sysctl("net.ipv4.conf.veth.rp_filter", "0");
        server_net.sysctl("net.ipv4.tcp_syncookies", cookies ? "1" : "0");
        if (!cookies) server_net.sysctl("net.ipv4.tcp_synack_retries", "0");
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "flooded-server", {.uid = 65534});
        Actor attacker(client_net, "attacker");
        Actor client(client_net, "patient-client");
        const int listener = listening(server, veth_end(AF_INET));
        const Endpoint to = server.call([=] { return local_end(listener); });

        const pid_t observer = shared_observer().pid();
        const uint64_t maps_before = map_bytes(observer);
        const uint64_t resident_before = resident_bytes(observer);
        // A veth pair may lose some; what arrived only the kernel knows.
        for (uint32_t sent = 0; server_net.tcp_counter("InSegs") < flood; sent += flood / 10) {
            REQUIRE(sent < 4 * flood);
            REQUIRE(attacker.call([=] { return send_syns(to, sent, flood / 10); }) == 0);
        }
        // Others make connections meanwhile, but not that many: 50,000 births would take 17 MB.
        CHECK(map_bytes(observer) < maps_before + 2 * mib);
        CHECK(resident_bytes(observer) < resident_before + 8 * mib);
        CHECK(server_net.tcp_counter(cookies ? "SyncookiesSent" : "TCPReqQFullDrop") > flood / 2);
        CHECK(server_net.tcp_counter("PassiveOpens") == 0);

        // With cookies it finds its way through the full queue, without them as soon as that is empty.
        if (!cookies) REQUIRE(await_none_half_open(server_net));
        const Connection made = establish(client, server, listener);
        CHECK(server_net.tcp_counter("SyncookiesRecv") == (cookies ? 1 : 0));
        exchange(client, server, made, 1000, 5000);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(1000, 5000).ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(5000, 1000).ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(server_record.differences(told.server) == "");
    });
}
