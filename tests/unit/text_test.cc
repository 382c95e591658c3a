// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/text.h"

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/encode/humanize.h"
#include "agent/encode/printable.h"
#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"
#include "tests/catch.h"

namespace {

using namespace tcptrail;
using namespace tcptrail::encode;

// A client's connection that was closed, with everything that the tables show.
v1::ConnectionEvent closed() {
    v1::ConnectionEvent e;
    e.set_run_id("run-a");
    e.set_sequence(7);
    e.set_emitted_unix_nanos(1700000001'000'000'000);
    e.set_kind(v1::EVENT_KIND_CLOSED);
    e.set_role(v1::ROLE_CLIENT);
    e.set_local_address("192.168.100.100");
    e.set_local_port(54321);
    e.set_remote_address("10.244.12.137");
    e.set_remote_port(443);
    e.set_netns(4026531840);
    auto& process = *e.mutable_process();
    process.set_pid(1234);
    process.set_name("curl");
    process.set_uid(0);
    process.set_executable("/usr/bin/curl");
    process.set_container_id("0123456789abcdef0123456789abcdef");
    process.set_systemd_unit("nginx.service");
    e.mutable_kubernetes()->set_namespace_("shop");
    e.mutable_kubernetes()->set_pod("web-x2x9z");
    e.set_outcome(v1::OUTCOME_ESTABLISHED);
    e.set_end(v1::END_REMOTE_RESET);
    e.set_error_number(104);
    e.set_error("ECONNRESET");
    e.mutable_reset()->set_direction(v1::RESET_DIRECTION_RECEIVED);
    e.mutable_reset()->set_reason("TCP_RFC7323_PAWS");
    e.set_ended_unix_nanos(1700000000'123'999'999);
    e.set_connect_us(123);
    e.set_lifetime_us(185'000'000);
    e.set_idle_us(1'200'000);
    e.set_bytes_sent(532);
    e.set_bytes_received(2'202'009);
    e.set_rtt_us(4'512);
    e.set_retransmits(0);
    e.set_congestion("cubic");
    e.set_delivery_rate_bps(94'100'000);
    e.add_timeline()->set_state(v1::STATE_SYN_SENT);
    auto& established = *e.add_timeline();
    established.set_state(v1::STATE_ESTABLISHED);
    established.set_at_us(123);
    e.add_partial(v1::PARTIAL_END_MISSED);
    e.add_partial(v1::PARTIAL_OWNER_UNKNOWN);
    return e;
}

v1::ConnectionEvent refused() {
    v1::ConnectionEvent e;
    e.set_emitted_unix_nanos(1700000001'000'000'000);
    e.set_kind(v1::EVENT_KIND_CLOSED);
    e.set_role(v1::ROLE_CLIENT);
    e.set_local_address("::1");
    e.set_local_port(54321);
    e.set_remote_address("::1");
    e.set_remote_port(81);
    e.set_outcome(v1::OUTCOME_REFUSED);
    e.set_error_number(111);
    e.set_error("ECONNREFUSED");
    e.set_end(v1::END_NOT_ESTABLISHED);
    return e;
}

std::string line(TextFormat format, const v1::ConnectionEvent& event) {
    setenv("TZ", "UTC0", 1);
    tzset();
    const auto text = text_line(format, event);
    REQUIRE(text.has_value());
    return *text;
}

// The fields of one record of csv.
std::vector<std::string> fields(std::string_view record) {
    REQUIRE(record.ends_with("\r\n"));
    record.remove_suffix(2);
    std::vector<std::string> all(1);
    bool quoted = false;
    for (size_t i = 0; i < record.size(); i++) {
        if (quoted && record.substr(i, 2) == "\"\"") {
            all.back() += record[i++];
        } else if (record[i] == '"') {
            quoted = !quoted;
        } else if (record[i] == ',' && !quoted) {
            all.emplace_back();
        } else {
            all.back() += record[i];
        }
    }
    CHECK_FALSE(quoted);
    return all;
}

std::string csv_field(const v1::ConnectionEvent& event, std::string_view name) {
    const auto names = fields(text_header(TextFormat::csv));
    const auto values = fields(line(TextFormat::csv, event));
    REQUIRE(names.size() == values.size());
    for (size_t i = 0; i < names.size(); i++) {
        if (names[i] == name) return values[i];
    }
    FAIL("no column " << name);
    return {};
}

// What `use` writes through a TextWriter.
template <class Use>
std::string written(TextFormat format, Use use) {
    char* text = nullptr;
    size_t size = 0;
    std::FILE* file = open_memstream(&text, &size);
    REQUIRE(file != nullptr);
    TextWriter writer(format, file);
    use(writer);
    std::fclose(file);
    std::string copy(text, size);
    std::free(text);
    return copy;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace

// clang-format off: the golden lines stand under each other.

TEST_CASE("text: the table", "[text]") {
    CHECK(text_header(TextFormat::table) ==
          "TIME          ROLE    PROCESS[PID]          LOCAL → REMOTE                               OUTCOME/END          CONNECT  LIFETIME    SENT  RECEIVED     RTT  RETR\n");
    CHECK(line(TextFormat::table, closed()) ==
          "22:13:20.123  client  curl[1234]            192.168.100.100:54321 → 10.244.12.137:443    REMOTE_RESET           123us     3m05s     532      2.1M   4.5ms     0\n");
    CHECK(line(TextFormat::table, refused()) ==
          "22:13:21.000  client  -                     [::1]:54321 → [::1]:81                       REFUSED                    -         -       -         -       -     -\n");
    CHECK(line(TextFormat::table, v1::ConnectionEvent()) ==
          "-             -       -                     - → -                                        -                          -         -       -         -       -     -\n");
    CHECK(display_width(text_header(TextFormat::table)) - 1 <= 160);
}

TEST_CASE("text: the wide table", "[text]") {
    CHECK(text_header(TextFormat::wide) ==
          "TIME          ROLE    PROCESS[PID]          LOCAL → REMOTE                               OUTCOME/END                        CONNECT  LIFETIME    SENT  RECEIVED     RTT  RETR"
          "  NETNS       CONTAINER     UNIT                  POD                             UID      IDLE  REASON                    CONGESTION    DELIVERY  TIMELINE                                                      PARTIAL               EXECUTABLE\n");
    CHECK(line(TextFormat::wide, closed()) ==
          "22:13:20.123  client  curl[1234]            192.168.100.100:54321 → 10.244.12.137:443    REMOTE_RESET (ECONNRESET)            123us     3m05s     532      2.1M   4.5ms     0"
          "  4026531840  0123456789ab  nginx.service         shop/web-x2x9z                  0        1.2s  RECEIVED/TCP_RFC7323_PAWS  cubic      94.1Mbit/s  SYN_SENT@0us;ESTABLISHED@123us                                END_MISSED;OWNER_UNKNOWN  /usr/bin/curl\n");
    CHECK(line(TextFormat::wide, refused()) ==
          "22:13:21.000  client  -                     [::1]:54321 → [::1]:81                       REFUSED (ECONNREFUSED)                   -         -       -         -       -     -"
          "  -           -             -                     -                               -           -  -                         -                    -  -                                                             -                     -\n");
}

TEST_CASE("text: a long cell pushes the others on only as far as it must", "[text]") {
    auto e = closed();
    e.set_local_address("2001:db8:aaaa:bbbb::1");
    CHECK(line(TextFormat::table, e) ==
          "22:13:20.123  client  curl[1234]            [2001:db8:aaaa:bbbb::1]:54321 → 10.244.12.137:443  REMOTE_RESET     123us     3m05s     532      2.1M   4.5ms     0\n");
}

// clang-format on

TEST_CASE("text: outcome or end in words", "[text]") {
    auto e = closed();
    CHECK(contains(line(TextFormat::table, e), "  REMOTE_RESET  "));
    e.clear_end();
    CHECK(contains(line(TextFormat::table, e), "  CLOSED  "));
    e.set_outcome(v1::OUTCOME_TIMED_OUT);
    CHECK(contains(line(TextFormat::table, e), "  TIMED_OUT  "));
    e.clear_error();
    CHECK(contains(line(TextFormat::wide, e), "  TIMED_OUT (errno 104)  "));
    e.clear_error_number();
    CHECK(contains(line(TextFormat::wide, e), "  TIMED_OUT  "));
    e.clear_outcome();
    e.set_end(v1::END_NOT_ESTABLISHED);
    CHECK(contains(line(TextFormat::table, e), "  NOT_ESTABLISHED  "));
    // A newer agent may know more than this reader.
    e.set_end(static_cast<v1::End>(77));
    CHECK(contains(line(TextFormat::table, e), "  77  "));

    e.set_kind(v1::EVENT_KIND_OPENED);
    CHECK(contains(line(TextFormat::table, e), "  OPENED  "));
    e.set_kind(v1::EVENT_KIND_PROGRESS);
    CHECK(contains(line(TextFormat::table, e), "  OPEN  "));
    e.set_state(v1::STATE_CLOSE_WAIT);
    CHECK(contains(line(TextFormat::table, e), "  OPEN(CLOSE_WAIT)  "));
}

TEST_CASE("text: process and endpoints that are known in part", "[text]") {
    auto e = closed();
    e.mutable_process()->set_pid(1234567);
    e.mutable_process()->set_name("kube-controller");
    CHECK(contains(line(TextFormat::table, e), "  kube-contr…[1234567]  "));
    e.mutable_process()->set_name("日本語日本語日本語日本語");
    CHECK(contains(line(TextFormat::table, e), "  日本語日本語日本語日…[1234567]  "));
    e.mutable_process()->clear_name();
    CHECK(contains(line(TextFormat::table, e), "  -[1234567]  "));
    e.mutable_process()->set_name("curl");
    e.mutable_process()->clear_pid();
    CHECK(contains(line(TextFormat::table, e), "  curl[-]  "));

    e.set_local_port(0);
    CHECK(contains(line(TextFormat::table, e), "  192.168.100.100:- → 10.244.12.137:443  "));
    e.clear_local_address();
    CHECK(contains(line(TextFormat::table, e), "  - → 10.244.12.137:443  "));
    e.set_remote_address("fe80::1%eth0");
    CHECK(contains(line(TextFormat::table, e), "  - → [fe80::1%eth0]:443  "));
}

TEST_CASE("text: csv has a column per scalar of the schema", "[text]") {
    const auto names = fields(text_header(TextFormat::csv));
    CHECK(names.front() == "host_id");
    CHECK(names.back() == "fin_retransmits");
    CHECK(names[16] == "process.pid");
    CHECK(names.size() == 103);

    const auto e = closed();
    CHECK(csv_field(e, "host_id").empty());
    CHECK(csv_field(e, "sequence") == "7");
    CHECK(csv_field(e, "kind") == "CLOSED");
    CHECK(csv_field(e, "role") == "CLIENT");
    CHECK(csv_field(e, "process.name") == "curl");
    CHECK(csv_field(e, "process.uid") == "0");
    CHECK(csv_field(e, "kubernetes.remote_pod").empty());
    CHECK(csv_field(e, "reset.direction") == "RECEIVED");
    CHECK(csv_field(e, "ended_unix_nanos") == "1700000000123999999");
    CHECK(csv_field(e, "retransmits") == "0");
    CHECK(csv_field(e, "syn_retransmits").empty());
    CHECK(csv_field(e, "timeline") == "SYN_SENT@0;ESTABLISHED@123");
    CHECK(csv_field(e, "nodelay").empty());
    CHECK(csv_field(e, "partial") == "END_MISSED;OWNER_UNKNOWN");

    auto options = closed();
    options.set_nodelay(false);
    options.set_mptcp(true);
    CHECK(csv_field(options, "nodelay") == "false");
    CHECK(csv_field(options, "mptcp") == "true");

    v1::ConnectionEvent empty;
    CHECK(line(TextFormat::csv, empty) == std::string(102, ',') + "\r\n");
}

TEST_CASE("text: csv quotes what it must", "[text]") {
    auto e = closed();
    e.mutable_process()->set_name("a,\"b\"");
    CHECK(contains(line(TextFormat::csv, e), ",\"a,\"\"b\"\"\","));
    CHECK(csv_field(e, "process.name") == "a,\"b\"");
    e.mutable_process()->set_name("\"\"");
    CHECK(csv_field(e, "process.name") == "\"\"");
}

TEST_CASE("text: jsonl is the JSON mapping of the message", "[text]") {
    v1::ConnectionEvent e = refused();
    e.set_retransmits(0);
    e.add_partial(v1::PARTIAL_BIRTH_MISSED);
    CHECK(text_header(TextFormat::jsonl).empty());
    CHECK(
        line(TextFormat::jsonl, e) ==
        R"({"emitted_unix_nanos":"1700000001000000000","kind":"EVENT_KIND_CLOSED","role":"ROLE_CLIENT",)"
        R"("local_address":"::1","local_port":54321,"remote_address":"::1","remote_port":81,)"
        R"("outcome":"OUTCOME_REFUSED","error_number":111,"error":"ECONNREFUSED","end":"END_NOT_ESTABLISHED",)"
        R"("retransmits":0,"partial":["PARTIAL_BIRTH_MISSED"]})"
        "\n");
}

TEST_CASE("text: hostile names stay within their line and their field", "[text]") {
    const std::string name = "\x1b]0;owned\x07\n\r\t\x7f\xff\xc2\x9b\xe2\x80\xae\\é";
    const std::string safe = "\\x1b]0;owned\\x07\\x0a\\x0d\\x09\\x7f\\xff\\u009b\\u202e\\é";
    auto e = closed();
    e.mutable_process()->set_name(name);
    e.mutable_process()->set_executable(name);
    e.mutable_process()->set_container_id(name);
    e.mutable_process()->set_systemd_unit(name);
    e.mutable_kubernetes()->set_pod(name);
    e.mutable_reset()->set_reason(name);
    e.set_error(name);
    e.set_congestion(name);
    e.set_local_address(name);
    e.set_remote_address(name);

    for (const auto format : {TextFormat::table, TextFormat::wide, TextFormat::csv, TextFormat::jsonl}) {
        const std::string text = line(format, e);
        const std::string_view content =
            std::string_view(text).substr(0, text.size() - (format == TextFormat::csv ? 2 : 1));
        CHECK(printable(content) == content);
        // The longer lines hold the whole name; the table has no room for it.
        if (format == TextFormat::wide || format == TextFormat::csv) CHECK(contains(text, safe));
    }
    CHECK(csv_field(e, "process.name") == safe);

    const auto json = nlohmann::json::parse(line(TextFormat::jsonl, e));
    CHECK(json["process"]["name"] == "\x1b]0;owned\x07\n\r\t\x7f\\xff\xc2\x9b\xe2\x80\xae\\é");
}

TEST_CASE("text: the writer", "[text]") {
    v1::AgentReport report;
    report.set_node("edge-1");
    report.set_connections_last_sequence(3);

    const auto all = [&](TextWriter& writer) {
        CHECK(writer.header().has_value());
        CHECK(writer.write(closed()).has_value());
        CHECK(writer.write(report).has_value());
        CHECK(writer.flush().has_value());
    };
    CHECK(written(TextFormat::table, all) ==
          text_header(TextFormat::table) + line(TextFormat::table, closed()));
    CHECK(written(TextFormat::wide, all) == text_header(TextFormat::wide) + line(TextFormat::wide, closed()));
    CHECK(written(TextFormat::csv, all) == text_header(TextFormat::csv) + line(TextFormat::csv, closed()));
    CHECK(written(TextFormat::jsonl, all) ==
          line(TextFormat::jsonl, closed()) + R"({"node":"edge-1","connections_last_sequence":"3"})" + "\n");
}

TEST_CASE("text: a full disk is told", "[text]") {
    std::FILE* full = std::fopen("/dev/full", "w");
    REQUIRE(full != nullptr);
    TextWriter writer(TextFormat::csv, full);
    CHECK(writer.write(closed()).has_value());  // buffered
    const auto flushed = writer.flush();
    REQUIRE_FALSE(flushed.has_value());
    CHECK(flushed.error().message == "cannot write the output: No space left on device");
    std::fclose(full);
}

TEST_CASE("text: what is ASCII", "[text]") {
    for (size_t length = 0; length < 40; ++length) {
        std::string text(length, '\x7f');
        CHECK(encode::is_ascii(text));
        for (char& c : text) {
            c = '\x80';
            CHECK_FALSE(encode::is_ascii(text));
            c = '\x7f';
        }
    }
}

TEST_CASE("text: printable", "[text]") {
    CHECK(printable("").empty());
    CHECK(printable("kworker/0:1 ~") == "kworker/0:1 ~");
    CHECK(printable("system-fsck\\x2droot.slice") == "system-fsck\\x2droot.slice");
    CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(printable("é→日😀") == "é→日😀");
    CHECK(printable("\xf3\xa0\x80\x81") == "\\U000e0001");

    // Not UTF-8: overlong, surrogate, beyond the last code point, cut off, a stray continuation.
    CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");
    CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");
    CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");
    CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
    CHECK(printable("a\xe6\x97") == "a\\xe6\\x97");
    CHECK(printable("\xe6z") == "\\xe6z");
    CHECK(printable("\xbf") == "\\xbf");
    CHECK(printable("\xf8\x88\x80\x80\x80") == "\\xf8\\x88\\x80\\x80\\x80");

    CHECK(repaired_utf8("\x1b\xff\n") == "\x1b\\xff\n");
    CHECK(cut("abcdef", 6) == "abcdef");
    CHECK(cut("abcdef", 5) == "abcd…");
    CHECK(cut("日本語", 2) == "日…");
    CHECK(cut("abc", 1) == "…");
    CHECK(cut("abc", 0).empty());
}

TEST_CASE("text: quantities for people", "[text]") {
    CHECK(human_duration(0) == "0us");
    CHECK(human_duration(999) == "999us");
    CHECK(human_duration(1'000) == "1.0ms");
    CHECK(human_duration(4'549) == "4.5ms");
    CHECK(human_duration(99'949) == "99.9ms");
    CHECK(human_duration(99'950) == "100ms");
    CHECK(human_duration(999'499) == "999ms");
    CHECK(human_duration(999'500) == "1.0s");
    CHECK(human_duration(59'949'999) == "59.9s");
    CHECK(human_duration(59'950'000) == "1m00s");
    CHECK(human_duration(185'000'000) == "3m05s");
    CHECK(human_duration(3'599'500'000) == "1h00m");
    CHECK(human_duration(7'500'000'000) == "2h05m");
    CHECK(human_duration(86'400'000'000) == "1d00h");
    CHECK(human_duration(UINT64_MAX) == "213503982d08h");

    CHECK(human_bytes(0) == "0");
    CHECK(human_bytes(1023) == "1023");
    CHECK(human_bytes(1024) == "1.0K");
    CHECK(human_bytes(1434) == "1.4K");
    CHECK(human_bytes(102'348) == "99.9K");
    CHECK(human_bytes(102'400) == "100K");
    CHECK(human_bytes(1'048'063) == "1023K");
    CHECK(human_bytes(1'048'064) == "1.0M");
    CHECK(human_bytes(2'202'009) == "2.1M");
    CHECK(human_bytes(UINT64_MAX) == "16.0E");

    CHECK(human_bit_rate(532) == "532bit/s");
    CHECK(human_bit_rate(999'500) == "1.0Mbit/s");
    CHECK(human_bit_rate(94'100'000) == "94.1Mbit/s");
}

TEST_CASE("text: connections that are open", "[text]") {
    auto e = closed();
    e.set_kind(v1::EVENT_KIND_PROGRESS);
    e.set_state(v1::STATE_ESTABLISHED);
    e.set_send_queue_bytes(2048);
    e.set_receive_queue_bytes(0);
    const auto subject = TextSubject::open_connections;
    CHECK(text_header(TextFormat::table, subject) ==
          "ROLE    PROCESS[PID]          LOCAL → REMOTE                               STATE           AGE    "
          "IDLE    SENT  RECEIVED   SENDQ   RECVQ     RTT  RETR\n");
    CHECK(*text_line(TextFormat::table, e, subject) ==
          "client  curl[1234]            192.168.100.100:54321 → 10.244.12.137:443    ESTABLISHED   3m05s    "
          "1.2s     532      2.1M    2.0K       0   4.5ms     0\n");
    e.clear_lifetime_us();
    e.clear_send_queue_bytes();
    CHECK(contains(*text_line(TextFormat::table, e, subject), "ESTABLISHED       -  "));
    // The forms with all fields are those of events.
    CHECK(text_header(TextFormat::csv, subject) == text_header(TextFormat::csv));
    CHECK(*text_line(TextFormat::jsonl, e, subject) == *text_line(TextFormat::jsonl, e));
}

TEST_CASE("text: listeners", "[text]") {
    v1::Listener listener;
    listener.set_local_address("::");
    listener.set_local_port(8080);
    listener.set_netns(4026531840);
    listener.set_pid(77);
    listener.set_name("nginx\x1b[31m");
    listener.set_accept_queue(129);
    listener.set_accept_queue_limit(128);
    listener.set_drops(5);
    CHECK(text_header(TextFormat::table, TextSubject::listeners) ==
          "PROCESS[PID]          LOCAL                        NETNS       ACCEPTQ   LIMIT    SYNQ     DROPS  "
          "OVERFLOWS\n");
    CHECK(
        *text_line(TextFormat::table, listener) ==
        "nginx\\x1b[31m[77]     [::]:8080                    4026531840      129     128       0         5   "
        "       -\n");
    CHECK(
        text_header(TextFormat::csv, TextSubject::listeners).starts_with("local_address,local_port,netns,"));
    CHECK(text_line(TextFormat::csv, listener)->starts_with("::,8080,4026531840,77,nginx\\x1b[31m,"));
    CHECK(contains(*text_line(TextFormat::jsonl, listener), R"("accept_queue":129)"));
    CHECK(text_header(TextFormat::jsonl, TextSubject::listeners).empty());
}

TEST_CASE("text: a container by its name, else by the beginning of its id", "[text]") {
    auto e = closed();
    v1::Listener listener;
    listener.set_container_id(e.process().container_id());
    CHECK(contains(line(TextFormat::wide, e), " 0123456789ab "));
    CHECK(contains(*text_line(TextFormat::wide, listener), " 0123456789ab "));
    e.mutable_process()->set_container_name("edge");
    listener.set_container_name("edge");
    for (const std::string& told : {line(TextFormat::wide, e), *text_line(TextFormat::wide, listener)}) {
        CHECK(contains(told, " edge "));
        CHECK_FALSE(contains(told, "0123456789ab"));
    }
}
