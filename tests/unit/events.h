// SPDX-License-Identifier: Apache-2.0
//
// Events of records, and records with everything in them.
#pragma once

#include <google/protobuf/util/json_util.h>

#include <cstring>
#include <string>

#include "agent/connections/connections.h"
#include "agent/encode/event.h"
#include "tests/catch.h"
#include "tests/unit/records.h"

namespace tcptrail::tests {

using namespace tcptrail::encode;

inline constexpr uint64_t boot_to_unix = 1'700'000'000 * second_ns;
inline constexpr uint64_t now = boot_to_unix + 103 * second_ns + 50'000'000;
inline const connections::Kernel kernel{250, {"NOT_SPECIFIED", "NO_SOCKET", "TCP_RFC7323_PAWS"}};
inline const context::Host host{"0a1b2c3d4e5f60718293a4b5c6d7e8f9", "node-1",
                                "11111111-2222-4333-8444-555555555555",
                                "99999999-8888-4777-8666-555555555555", "6.12.0"};
inline const context::Identity curl{"/usr/bin/curl", "/user.slice", "", 1000};

inline v1::ConnectionEvent event_of(const tcptrail_record& record, const context::Identity& identity = curl) {
    const auto connection = connections::connection_of(record, kernel, boot_to_unix);
    const auto event = EventEncoder(host).encode(connection, identity, now);
    // What is written without protobuf is what protobuf would write, to the byte.
    EventEncoder encoder(host);
    const Message& written = encoder.encode_message(connection, identity, now);
    const Message expected = to_message(event);
    CHECK(written.value == expected.value);
    CHECK(written.key == expected.key);
    return event;
}

inline std::string json(const v1::ConnectionEvent& event) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.add_whitespace = true;
    std::string text;
    REQUIRE(google::protobuf::util::MessageToJsonString(event, &text, options).ok());
    return text;
}

// 100 bytes sent and 50 received, with everything that a socket measures.
inline tcptrail_socket measured_socket() {
    tcptrail_socket s{};
    s.bytes_sent = 130;
    s.bytes_acked = 102;
    s.bytes_received = 51;
    s.rate_delivered = 1'250'000;  // with mss and the interval: 1,250,000 bytes in a second
    s.rate_interval_us = 1'448'000'000;
    s.segments_out = 8;
    s.segments_in = 7;
    s.data_segments_out = 3;
    s.data_segments_in = 2;
    s.srtt_us = 8004;
    s.mdev_us = 2002;
    s.rtt_min_us = 900;
    s.receive_rtt_us = 16000;
    s.cwnd = 10;
    s.ssthresh = 7;
    s.mss = 1448;
    s.quiet_jiffies = 25;
    s.keepalive_idle_jiffies = 7200 * 250;
    s.shutdown = 3;
    std::strcpy(s.congestion, "bbr");
    return s;
}

inline tcptrail_trouble measured_trouble() {
    tcptrail_trouble t{};
    t.bytes_retransmitted = 30;
    t.retransmits = 2;
    t.rto_count = 1;
    t.lost = 1;
    t.out_of_order_in = 1;
    t.chrono_jiffies[0] = 10;
    t.chrono_jiffies[1] = 5;
    return t;
}

inline tcptrail_record closed_client() {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 1, 4, 5, 7});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED | TCPTRAIL_RECORD_HAS_RTO_COUNT | TCPTRAIL_RECORD_KEEPALIVE |
                   TCPTRAIL_RECORD_NODELAY;
    record.socket = measured_socket();
    record.trouble = measured_trouble();
    record.birth.syn_retransmits = 1;
    record.details.retransmit_first_ns = record.birth.opened_ns + 400'000;
    record.details.retransmit_last_ns = record.birth.opened_ns + 1'500'000;
    record.birth.flags |= TCPTRAIL_BIRTH_ENDED_BY_OWNER;
    std::strcpy(record.birth.thread_name, "resolver");
    return record;
}

}  // namespace tcptrail::tests
