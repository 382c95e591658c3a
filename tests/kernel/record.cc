// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/record.h"

#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "tests/kernel/timing.h"

namespace tcptrail::test {

namespace {

// For what only the load of the machine limits.
constexpr uint64_t minute_us = 60'000'000;

std::string own_executable() {
    std::array<char, 4096> path{};
    const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
    return size > 0 ? path.data() : "";
}

std::string host_name() {
    std::array<char, 256> name{};
    gethostname(name.data(), name.size() - 1);
    return name.data();
}

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string without_dashes(std::string text) {
    std::erase(text, '-');
    return text;
}

std::string scope_of(const std::string& address) {
    if (address == "::1" || address.starts_with("127.")) return "SCOPE_LOOPBACK";
    if (address.starts_with("fe80:")) return "SCOPE_LINK_LOCAL";
    return "SCOPE_PRIVATE";  // every other address of these tests, unless a test says so
}

bool is_within(const Event& event, const std::string& field, uint64_t low, uint64_t high) {
    const auto value = event.number(field);
    return value && *value >= low && *value <= high;
}

constexpr const char* retransmit_kinds[] = {"fast_retransmits", "timeout_retransmits", "probe_retransmits",
                                            "fin_retransmits"};

// Each was sent again for one reason, if it was seen from the beginning.
std::string retransmit_differences(const Event& event) {
    const bool told = event.has("established_unix_nanos") && event.has("retransmits");
    uint64_t sum =
        event.number("syn_retransmits").value_or(0) + event.number("synack_retransmits").value_or(0);
    for (const char* kind : retransmit_kinds) {
        if (event.has(kind) != told) return std::string(kind) + (told ? ": absent\n" : ": present\n");
        if (std::string_view(kind) != "fin_retransmits") sum += event.number(kind).value_or(0);
    }
    const uint64_t all = event.number("retransmits").value_or(0);
    if (!told || sum == all) return {};
    return "retransmits by kind: " + std::to_string(sum) + " in all, expected " + std::to_string(all) + "\n";
}

}  // namespace

bool kernel_names_resets() {
    utsname name{};
    uname(&name);
    int major = 0;
    int minor = 0;
    std::sscanf(name.release, "%d.%d", &major, &minor);
    return std::pair(major, minor) >= std::pair(6, 10);
}

Record::Record(const Actor& owner, const std::string& role, const Endpoint& remote)
    : earliest_unix_nanos_(owner.born_unix_nanos()) {
    static const std::string boot_id = without_dashes(first_line("/proc/sys/kernel/random/boot_id"));
    present("host_id").present("run_id").present("sequence").present("emitted_unix_nanos");
    is("node", host_name());
    rule("boot_id", boot_id, [](const Event& event, const std::string& field) {
        return without_dashes(event.text(field)) == boot_id;
    });

    is("kind", "EVENT_KIND_CLOSED").present("connection_id").is("role", role);
    is("family", remote.family() == AF_INET ? "FAMILY_IPV4" : "FAMILY_IPV6");
    is("remote_address", address_text(remote)).is("remote_port", port_of(remote));
    is("remote_scope", scope_of(address_text(remote)));
    is("netns", owner.net().inode());

    is("process.pid", owner.pid()).is("process.name", owner.name());
    is("process.executable", own_executable()).is("process.uid", owner.uid());
    if (owner.cgroup_path().empty()) {
        any("process.cgroup_path");
    } else {
        is("process.cgroup_path", owner.cgroup_path());
    }
    // The tests themselves may run in a container, a service, a pod.
    any("process.container_id")
        .any("process.systemd_unit")
        .any("process.systemd_slice")
        .any("process.container_runtime")
        .any("kubernetes.pod_uid");

    present("opened_unix_nanos").present("ended_unix_nanos");
    between("lifetime_us", 0, minute_us);
}

Record Record::client(const Actor& owner, const Endpoint& local, const Endpoint& remote) {
    Record record(owner, "ROLE_CLIENT", remote);
    record.established(local);
    record.is("process.source", "OWNER_SOURCE_CONNECT");
    record.between("connect_us", 1, minute_us);
    record.is("syn_retransmits", 0).zero_or_absent("synack_retransmits");
    return record;
}

Record Record::server(const Actor& owner, const Endpoint& local, const Endpoint& remote) {
    Record record(owner, "ROLE_SERVER", remote);
    record.established(local);
    // By accept() where that is observed.
    record.one_of("process.source", {"OWNER_SOURCE_LISTENER", "OWNER_SOURCE_ACCEPT"});
    record.any("accept_wait_us");
    record.between("connect_us", 0, minute_us);
    record.zero_or_absent("syn_retransmits").is("synack_retransmits", 0);
    return record;
}

Record& Record::established(const Endpoint& local) {
    is("local_address", address_text(local)).is("local_port", port_of(local));
    is("outcome", "OUTCOME_ESTABLISHED").present("established_unix_nanos");
    traffic(0, 0);
    between("segments_out", 1, 1'000'000).between("segments_in", 1, 1'000'000);
    is("retransmits", 0).zero_or_absent("rto_count");
    for (const char* kind : retransmit_kinds)
        any(kind);
    is("bytes_retransmitted", 0).is("lost", 0).any("reordering");
    is("dsack_duplicates", 0).is("out_of_order_in", 0);
    between("rtt_us", 1, minute_us).between("rtt_min_us", 0, minute_us).between("rtt_var_us", 0, minute_us);
    any("receive_rtt_us").is("congestion", "reno").between("cwnd", 1, 100'000);
    between("mss", 500, 65'535).any("delivery_rate_bps").any("busy_us");
    zero_or_absent("receive_window_limited_us").zero_or_absent("send_buffer_limited_us");
    is("send_queue_bytes", 0).is("receive_queue_bytes", 0);
    is("fast_open", false).is("keepalive", false).any("keepalive_idle_secs");
    is("mptcp", false).is("nodelay", false);
    return *this;
}

Record Record::failed(const Actor& owner, const std::string& local_address, const Endpoint& remote,
                      const std::string& outcome) {
    Record record(owner, "ROLE_CLIENT", remote);
    record.is("process.source", "OWNER_SOURCE_CONNECT");
    record.is("local_address", local_address).between("local_port", 1, 65'535);
    record.is("outcome", outcome).ended("END_NOT_ESTABLISHED").timeline({"SYN_SENT"});
    for (const char* nothing :
         {"bytes_sent", "bytes_acked", "bytes_received", "data_segments_out", "data_segments_in",
          "bytes_retransmitted", "lost", "dsack_duplicates", "out_of_order_in", "rto_count",
          "synack_retransmits", "receive_window_limited_us", "send_buffer_limited_us", "send_queue_bytes",
          "receive_queue_bytes"}) {
        record.zero_or_absent(nothing);
    }
    record.is("segments_out", 1).zero_or_absent("segments_in");
    record.is("retransmits", 0).is("syn_retransmits", 0);
    for (const char* setting : {"reordering", "congestion", "cwnd", "mss", "busy_us"})
        record.any(setting);
    for (const char* option : {"fast_open", "keepalive", "mptcp", "nodelay"}) {
        record.rule(option, "false or absent", [](const Event& event, const std::string& field) {
            return !event.has(field) || event.text(field) == "false";
        });
    }
    record.any("keepalive_idle_secs");
    return record;
}

Record& Record::rule(const std::string& field, std::string expected,
                     std::function<bool(const Event&, const std::string&)> holds) {
    rules_[field] = {std::move(expected), std::move(holds)};
    return *this;
}

Record& Record::is(const std::string& field, const std::string& value) {
    return rule(field, value, [value](const Event& event, const std::string& name) {
        return event.has(name) && event.text(name) == value;
    });
}

Record& Record::one_of(const std::string& field, std::initializer_list<std::string> values) {
    std::string expected;
    for (const std::string& value : values)
        expected += (expected.empty() ? "" : " or ") + value;
    return rule(field, expected, [values = std::vector(values)](const Event& event, const std::string& name) {
        return event.has(name) && std::ranges::find(values, event.text(name)) != values.end();
    });
}

Record& Record::between(const std::string& field, uint64_t low, uint64_t high) {
    return rule(
        field, std::to_string(low) + " to " + std::to_string(high),
        [=](const Event& event, const std::string& name) { return is_within(event, name, low, high); });
}

Record& Record::contains(const std::string& field, const std::string& part) {
    return rule(field, "something with " + part, [part](const Event& event, const std::string& name) {
        return event.text(name).find(part) != std::string::npos;
    });
}

Record& Record::present(const std::string& field) {
    return rule(field, "something",
                [](const Event& event, const std::string& name) { return !event.text(name).empty(); });
}

Record& Record::absent(const std::string& field) {
    rules_.erase(field);
    return *this;
}

Record& Record::any(const std::string& field) {
    return rule(field, "anything", [](const Event&, const std::string&) { return true; });
}

Record& Record::zero_or_absent(const std::string& field) {
    return rule(field, "0 or absent", [](const Event& event, const std::string& name) {
        return !event.has(name) || event.text(name) == "0";
    });
}

Record& Record::timeline(std::initializer_list<std::string> states) {
    states_ = states;
    return is("state", "STATE_" + states_.back());
}

Record& Record::traffic(uint64_t sent, uint64_t received) {
    is("bytes_sent", sent).is("bytes_acked", sent).is("bytes_received", received);
    const auto segments = [this](const char* field, uint64_t bytes) {
        bytes == 0 ? is(field, 0) : between(field, 1, bytes);
    };
    segments("data_segments_out", sent);
    segments("data_segments_in", received);
    // Never 0 instead of unknown: without a byte there is nothing that it could be the time since.
    sent + received == 0 ? absent("idle_us") : between("idle_us", 0, minute_us);
    return *this;
}

Record& Record::ended(const std::string& end) {
    return is("end", end);
}

Record& Record::ended_by(const Actor& actor) {
    return ended_by(actor.pid(), actor.name());
}

Record& Record::ended_by(pid_t pid, const std::string& name) {
    return is("ended_by.pid", pid).is("ended_by.name", name);
}

Record& Record::reset_sent(const std::string& state, const std::string& reason) {
    is("reset.direction", "RESET_DIRECTION_SENT").is("reset.state", "STATE_" + state);
    if (kernel_names_resets()) contains("reset.reason", reason);
    return between("reset_us", 0, minute_us);
}

Record& Record::reset_received(const std::string& state) {
    is("reset.direction", "RESET_DIRECTION_RECEIVED").is("reset.state", "STATE_" + state);
    return between("reset_us", 0, minute_us);
}

Record& Record::error(int number) {
    return is("error_number", number).is("error", strerrorname_np(number));
}

Record& Record::measured(const tcp_info& info) {
    is("data_segments_out", info.tcpi_data_segs_out);
    is("data_segments_in", info.tcpi_data_segs_in);
    // A FIN, the acknowledgement of one, and an acknowledgement that was still due.
    between("segments_out", info.tcpi_segs_out + 1, info.tcpi_segs_out + 3);
    between("segments_in", info.tcpi_segs_in + 1, info.tcpi_segs_in + 3);
    is("retransmits", info.tcpi_total_retrans);
    // All segments that were ever taken for lost, some of them wrongly.
    if (info.tcpi_total_retrans > 0) any("lost");
    is("mss", info.tcpi_snd_mss).between("cwnd", info.tcpi_snd_cwnd, info.tcpi_snd_cwnd + 2);
    between("rtt_min_us", 0, info.tcpi_min_rtt);
    return is("reordering", info.tcpi_reord_seen).is("out_of_order_in", info.tcpi_rcv_ooopack);
}

Record& Record::measured_exactly(const tcp_info& info, uint64_t resets_in) {
    measured(info);
    is("bytes_sent", info.tcpi_bytes_sent).is("bytes_retransmitted", info.tcpi_bytes_retrans);
    // Whether the reset itself is among the segments sent depends on the kernel.
    between("segments_out", info.tcpi_segs_out, info.tcpi_segs_out + (resets_in == 0 ? 1 : 0));
    is("segments_in", info.tcpi_segs_in + resets_in);
    is("dsack_duplicates", info.tcpi_dsack_dups);
    is("rtt_us", info.tcpi_rtt).is("rtt_var_us", info.tcpi_rttvar);
    is("rtt_min_us", info.tcpi_min_rtt).is("cwnd", info.tcpi_snd_cwnd);
    info.tcpi_rcv_rtt == 0 ? zero_or_absent("receive_rtt_us") : is("receive_rtt_us", info.tcpi_rcv_rtt);
    constexpr uint32_t infinite_ssthresh = 0x7fffffff;
    info.tcpi_snd_ssthresh >= infinite_ssthresh ? absent("ssthresh") : is("ssthresh", info.tcpi_snd_ssthresh);
    // The kernel gives bytes per second; rounding may differ.
    info.tcpi_delivery_rate == 0
        ? any("delivery_rate_bps")
        : between("delivery_rate_bps", info.tcpi_delivery_rate * 8 - 16, info.tcpi_delivery_rate * 8 + 16);
    return is("busy_us", info.tcpi_busy_time);
}

Record& Record::partial(std::initializer_list<std::string> reasons) {
    partial_ = reasons;
    return *this;
}

std::string Record::differences(const Event& event) const {
    std::string found;
    for (const auto& [field, rule] : rules_) {
        if (rule.holds(event, field)) continue;
        found += field + ": " + (event.has(field) ? event.text(field) : "absent") + ", expected " +
                 rule.expected + "\n";
    }
    for (const auto& [field, value] : event.fields) {
        if (!rules_.contains(field)) found += field + ": " + value + ", expected to be absent\n";
    }
    if (event.partial != partial_) {
        found += "partial:";
        for (const std::string& reason : event.partial)
            found += " " + reason;
        found += ", expected";
        for (const std::string& reason : partial_)
            found += " " + reason;
        found += partial_.empty() ? " none\n" : "\n";
    }
    found += retransmit_differences(event);
    found += timeline_differences(event, states_);
    found += time_differences(event, earliest_unix_nanos_, unix_nanos());
    if (!found.empty()) found += event.line + "\n";
    return found;
}

}  // namespace tcptrail::test
