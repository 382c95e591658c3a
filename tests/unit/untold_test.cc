// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/untold.h"

#include <cerrno>
#include <random>

#include "agent/connections/classify.h"
#include "tests/catch.h"

using namespace tcptrail::connections;

namespace {

using Totals = std::vector<std::pair<tcptrail_untold_key, tcptrail_untold>>;

uint64_t path(std::initializer_list<uint8_t> states) {
    uint64_t path = 0;
    int shift = 0;
    for (const uint8_t state : states) {
        path |= uint64_t{state} << shift;
        shift += 4;
    }
    return path;
}

tcptrail_untold_key closed_first() {
    tcptrail_untold_key key{};
    key.role = TCPTRAIL_ROLE_CLIENT;
    key.path = path({tcp_syn_sent, tcp_established, tcp_fin_wait1, tcp_fin_wait2, tcp_close});
    key.state = tcp_fin_wait2;
    key.flags = TCPTRAIL_RECORD_ORPHAN | TCPTRAIL_RECORD_FIN_RECEIVED;
    key.facts = TCPTRAIL_UNTOLD_ESTABLISHED | TCPTRAIL_UNTOLD_SENT | TCPTRAIL_UNTOLD_SHUTDOWN;
    return key;
}

}  // namespace

TEST_CASE("untold: kinds are those of the records, and sums are of kinds") {
    tcptrail_untold_key refused{};
    refused.role = TCPTRAIL_ROLE_CLIENT;
    refused.path = path({tcp_syn_sent, tcp_close});
    refused.state = tcp_syn_sent;
    refused.error = ECONNREFUSED;
    refused.facts = TCPTRAIL_UNTOLD_SENT;
    tcptrail_untold_key reset = closed_first();
    reset.path = path({tcp_syn_sent, tcp_established, tcp_close});
    reset.state = tcp_established;
    reset.error = ECONNRESET;
    reset.flags = 0;
    reset.reset_direction = TCPTRAIL_RESET_RECEIVED;
    tcptrail_untold_key also_closed = closed_first();
    also_closed.flags = TCPTRAIL_RECORD_ORPHAN;

    const Totals totals = {{closed_first(), {10, 1000, 2010}},
                           {also_closed, {1, 7, 8}},
                           {refused, {5, 0, 0}},
                           {reset, {2, 20, 30}}};
    const auto kinds = classify_untold(totals);
    REQUIRE(kinds.size() == 3);
    for (const Untold& kind : kinds) {
        CHECK(kind.role == Role::client);
        if (kind.outcome == Outcome::refused) {
            CHECK(kind.end == End::not_established);
            CHECK(kind.lifecycles == 5);
        } else if (kind.end == End::remote_reset) {
            CHECK(kind.lifecycles == 2);
            CHECK(kind.bytes_received == 30);
        } else {
            CHECK(kind.outcome == Outcome::established);
            CHECK(kind.end == End::local_close);
            CHECK(kind.lifecycles == 11);
            CHECK(kind.bytes_sent == 1007);
            CHECK(kind.bytes_received == 2000 + 8);  // without the FINs
        }
    }
}

TEST_CASE("untold: whatever the kernel side wrote, all lifecycles are in the sums") {
    const unsigned seed = std::random_device()();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    Totals totals;
    for (int i = 0; i < 1000; ++i) {
        tcptrail_untold_key key{};
        key.path = random();
        key.error = static_cast<int>(random() % 200);
        key.reported_error = static_cast<int>(random() % 200);
        key.flags = static_cast<uint32_t>(random());
        key.role = static_cast<uint8_t>(random() % 3);
        key.state = static_cast<uint8_t>(random() % 13);
        key.reset_direction = static_cast<uint8_t>(random() % 3);
        key.facts = static_cast<uint8_t>(random());
        totals.push_back({key, {3, random() % 100, random() % 100}});
    }
    uint64_t lifecycles = 0;
    for (const Untold& kind : classify_untold(totals))
        lifecycles += kind.lifecycles;
    CHECK(lifecycles == 3000);
}
