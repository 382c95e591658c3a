// SPDX-License-Identifier: Apache-2.0
#include "agent/outbox.h"

#include <string>

#include "tests/catch.h"

using namespace tcptrail;

TEST_CASE("outbox: gives what it got since it was cleared, whatever was in it before", "[unit]") {
    Outbox outbox;
    CHECK(outbox.messages().empty());
    size_t number = 0;
    for (const size_t count : {3u, 500u, 0u, 1u, 200u, 64u, 1000u, 2u}) {
        const size_t first = number;
        for (size_t i = 0; i < count; ++i, ++number)
            outbox.add({number % 2 ? Topic::agents : Topic::connections, "key " + std::to_string(number),
                        std::string(number % 700, 'v'), number});
        REQUIRE(outbox.size() == count);
        for (size_t i = 0; i < count; ++i) {
            const Message& message = outbox.messages()[i];
            REQUIRE(message.key == "key " + std::to_string(first + i));
            REQUIRE(message.value.size() == (first + i) % 700);
            REQUIRE(message.earlier_ns == first + i);
            REQUIRE(message.topic == ((first + i) % 2 ? Topic::agents : Topic::connections));
        }
        outbox.clear();
        CHECK(outbox.size() == 0);
    }
}
