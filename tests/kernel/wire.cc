// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/wire.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tcptrail::test {

namespace {

using Packet = std::vector<uint8_t>;

constexpr size_t ipv4_header = 20;  // the kernel sends no options here
constexpr size_t ipv6_header = 40;
constexpr uint8_t tcp_syn = 0x02;
constexpr uint8_t tcp_ack = 0x10;

// What the relay needs to know of a packet.
struct Segment {
    bool tcp = false;
    uint8_t flags = 0;
    size_t payload = 0;
};

Segment parse(const Packet& packet) {
    Segment segment;
    if (packet.size() < ipv4_header) return segment;
    const bool v6 = packet[0] >> 4 == 6;
    const size_t header = v6 ? ipv6_header : ipv4_header;
    const uint8_t protocol = packet[v6 ? 6 : 9];
    if (protocol != IPPROTO_TCP || packet.size() < header + 20) return segment;
    const size_t tcp_header = static_cast<size_t>(packet[header + 12] >> 4) * 4;
    segment.tcp = true;
    segment.flags = packet[header + 13];
    segment.payload = packet.size() - header - tcp_header;
    return segment;
}

// The Internet checksum of several pieces; each but the last has an even length.
uint16_t checksum(std::initializer_list<std::span<const uint8_t>> pieces) {
    uint32_t sum = 0;
    for (const auto piece : pieces) {
        for (size_t i = 0; i < piece.size(); ++i)
            sum += static_cast<uint32_t>(piece[i]) << (i % 2 == 0 ? 8 : 0);
    }
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

void put16(Packet& packet, size_t at, uint16_t value) {
    packet[at] = static_cast<uint8_t>(value >> 8);
    packet[at + 1] = static_cast<uint8_t>(value);
}

// "Destination unreachable" as a router between the two would answer the packet.
Packet unreachable_answer(const Packet& packet, uint8_t code) {
    const bool v6 = packet[0] >> 4 == 6;
    const size_t header = v6 ? ipv6_header : ipv4_header;
    const size_t quoted = std::min(packet.size(), v6 ? packet.size() : ipv4_header + 8);
    Packet answer(header + 8 + quoted);
    std::copy_n(packet.begin(), header, answer.begin());  // version, lifetime and so on as they are
    const size_t address = v6 ? 16 : 4;
    const size_t source = v6 ? 8 : 12;
    // From the address that was asked for to the one that asked.
    std::copy_n(packet.begin() + static_cast<ptrdiff_t>(source + address), address,
                answer.begin() + static_cast<ptrdiff_t>(source));
    std::copy_n(packet.begin() + static_cast<ptrdiff_t>(source), address,
                answer.begin() + static_cast<ptrdiff_t>(source + address));
    answer[header] = v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH;
    answer[header + 1] = code;
    std::copy_n(packet.begin(), quoted, answer.begin() + static_cast<ptrdiff_t>(header + 8));

    const std::span<const uint8_t> message = std::span(answer).subspan(header);
    const auto length = static_cast<uint16_t>(message.size());
    if (v6) {
        put16(answer, 4, length);
        answer[6] = IPPROTO_ICMPV6;
        const std::array<uint8_t, 8> pseudo{
            0, 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0, 0, 0, IPPROTO_ICMPV6};
        const std::span<const uint8_t> addresses = std::span(answer).subspan(source, 2 * address);
        put16(answer, header + 2, checksum({addresses, pseudo, message}));
    } else {
        put16(answer, 2, static_cast<uint16_t>(answer.size()));
        answer[9] = IPPROTO_ICMP;
        put16(answer, 10, 0);
        put16(answer, 10, checksum({std::span(answer).first(header)}));
        put16(answer, header + 2, checksum({message}));
    }
    return answer;
}

// The relay's whole life, in a process of its own.
class Relay {
public:
    Relay(WireRules& rules, int client, int server) : rules_(rules), client_(client), server_(server) {}

    [[noreturn]] void run() {
        for (;;) {
            std::array<pollfd, 2> ends{pollfd{client_, POLLIN, 0}, pollfd{server_, POLLIN, 0}};
            // Short, because no event tells that a hold has ended.
            poll(ends.data(), ends.size(), 1);
            if (ends[0].revents != 0) read_from(client_);
            if (ends[1].revents != 0) read_from(server_);
            if (!rules_.hold) release();
        }
    }

private:
    void read_from(int from) {
        std::array<uint8_t, 65536> bytes;
        for (;;) {
            const ssize_t size = read(from, bytes.data(), bytes.size());
            if (size <= 0) return;
            decide(from, Packet(bytes.begin(), bytes.begin() + size));
        }
    }

    void decide(int from, Packet packet) {
        const bool to_server = from == client_;
        const Segment segment = parse(packet);
        if (segment.tcp) ++(to_server ? rules_.tcp_to_server : rules_.tcp_to_client);
        if (is_lost(segment, to_server)) {
            if (segment.tcp) ++rules_.tcp_dropped;
            return;
        }
        const bool is_syn = segment.tcp && (segment.flags & (tcp_syn | tcp_ack)) == tcp_syn;
        if (to_server && is_syn && rules_.unreachable != 0) {
            packet = unreachable_answer(packet, static_cast<uint8_t>(rules_.unreachable - 1));
            held_.emplace_back(client_, std::move(packet));
        } else {
            held_.emplace_back(to_server ? server_ : client_, std::move(packet));
        }
        if (!rules_.hold) release();
    }

    bool is_lost(const Segment& segment, bool to_server) {
        if (to_server ? rules_.drop_to_server : rules_.drop_to_client) return true;
        if (to_server && segment.payload > 0 && rules_.drop_next_data > 0) {
            --rules_.drop_next_data;
            return true;
        }
        return segment.tcp && random_() % 1000 < rules_.loss_permille;
    }

    void release() {
        for (; !held_.empty(); held_.pop_front()) {
            const auto& [to, packet] = held_.front();
            // A device that is gone or full loses the packet, as a wire would.
            [[maybe_unused]] const ssize_t written = write(to, packet.data(), packet.size());
        }
    }

    WireRules& rules_;
    int client_;
    int server_;
    std::deque<std::pair<int, Packet>> held_;
    std::minstd_rand random_{1};  // the same losses in every run
};

[[noreturn]] void fail_errno(const char* what) {
    throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

// A TUN device "wire" inside the namespace, with the addresses that end in `host`.
int open_tun(const Netns& net, const std::string& host) {
    const int fd = net.inside([] {
        const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (tun < 0) fail_errno("/dev/net/tun");
        ifreq request{};
        std::strcpy(request.ifr_name, "wire");
        request.ifr_flags = IFF_TUN | IFF_NO_PI;
        if (ioctl(tun, TUNSETIFF, &request) != 0) fail_errno("TUNSETIFF");
        return tun;
    });
    net.ip("link set dev wire addrgenmode none");
    net.ip("link set dev wire txqueuelen 10000 up");
    net.add_address("10.77.0." + host, 24, "wire");
    net.add_address("fd77::" + host, 64, "wire");
    return fd;
}

}  // namespace

Wire::Wire() {
    const int client_tun = open_tun(client_, "1");
    const int server_tun = open_tun(server_, "2");
    void* const shared =
        mmap(nullptr, sizeof(WireRules), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail_errno("mmap");
    rules_ = new (shared) WireRules;
    relay_ = fork();
    if (relay_ == 0) {
        prctl(PR_SET_NAME, "wire-relay");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        // A relay that waits for the processor looks like loss to the kernel. Where this is not
        // allowed it may.
        const sched_param first{.sched_priority = 1};
        sched_setscheduler(0, SCHED_FIFO, &first);
        Relay(*rules_, client_tun, server_tun).run();
    }
    close(client_tun);
    close(server_tun);
    if (relay_ < 0) fail_errno("fork");
}

Wire::~Wire() {
    if (relay_ > 0) {
        kill(relay_, SIGKILL);
        waitpid(relay_, nullptr, 0);
    }
    munmap(rules_, sizeof(WireRules));
}

bool Wire::await_dropped(uint64_t segments) const {
    for (int waited_ms = 0; waited_ms < 10'000; ++waited_ms) {
        if (rules_->tcp_dropped >= segments) return true;
        sleep_ms(1);
    }
    return false;
}

Endpoint Wire::client_end(int family, uint16_t port) {
    return endpoint(family == AF_INET ? "10.77.0.1" : "fd77::1", port);
}

Endpoint Wire::server_end(int family, uint16_t port) {
    return endpoint(family == AF_INET ? "10.77.0.2" : "fd77::2", port);
}

}  // namespace tcptrail::test
