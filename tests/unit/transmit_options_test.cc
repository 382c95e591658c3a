// SPDX-License-Identifier: Apache-2.0
//
// What needs no broker: settings of the client, framing, what trouble is, the window.
#include <fstream>

#include "agent/transmit/framing.h"
#include "agent/transmit/trouble.h"
#include "agent/transmit/window.h"
#include "tests/unit/mock_kafka.h"

using namespace tests;
using namespace tcptrail;
using namespace tcptrail::transmit;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("the confluent frame goes on and comes off") {
    std::string framed;
    add_confluent_frame(0x01020304, "\n\3abc", framed);
    CHECK(framed == std::string("\0\1\2\3\4\0\n\3abc", 11));
    CHECK(strip_frame(framed) == "\n\3abc");

    CHECK(strip_frame("\n\3abc") == "\n\3abc");
    CHECK(strip_frame("").empty());
    // Index 1 of the schema, then indexes 1 and 2 of it; zigzag.
    CHECK(strip_frame(std::string("\0\0\0\0\1\2\2\n\1x", 10)) == "\n\1x");
    CHECK(strip_frame(std::string("\0\0\0\0\1\4\2\4\n\1x", 11)) == "\n\1x");
    // Broken: cut, or a count without its indexes.
    for (const std::string& broken : {std::string("\0\0\0", 3), std::string("\0\0\0\0\1", 5),
                                      std::string("\0\0\0\0\1\xff", 6), std::string("\0\0\0\0\1\x10\2", 7)})
        CHECK(strip_frame(broken) == broken);
}

TEST_CASE("a property that cannot be is named with its value") {
    Options options;
    auto error = [&options] {
        auto conf = make_conf(options, Role::producer);
        REQUIRE_FALSE(conf);
        CHECK(conf.error().code == ExitCode::configuration);
        return conf.error().message;
    };
    SECTION("unknown") {
        options.properties["linger.mss"] = "5";
        CHECK_THAT(error(), ContainsSubstring("linger.mss = 5") &&
                                ContainsSubstring("No such configuration property"));
    }
    SECTION("wrong value") {
        options.properties["linger.ms"] = "soon";
        CHECK_THAT(error(), ContainsSubstring("linger.ms = soon"));
    }
    SECTION("a secret is not shown") {
        options.properties["ssl.key.pem"] = "hunter2";
        options.properties["sasl.passwort"] = "hunter2";
        CHECK_THAT(error(), ContainsSubstring("sasl.passwort"));
    }
    SECTION("what would lose messages") {
        options.properties["acks"] = "1";
        CHECK_THAT(error(), ContainsSubstring("acks = 1: delivery without loss does not allow it"));
    }
    SECTION("idempotence off") {
        options.properties["enable.idempotence"] = "false";
        CHECK_THAT(error(), ContainsSubstring("enable.idempotence"));
    }
    SECTION("transactions") {
        options.properties["transactional.id"] = "x";
        CHECK_THAT(error(), ContainsSubstring("transactional.id"));
    }
    SECTION("a file that is not there") {
        options.property_files["sasl.password"] = "/nonexistent/password";
        CHECK_THAT(error(),
                   ContainsSubstring("sasl.password: cannot read /nonexistent/password: No such file"));
    }
    SECTION("a file that can be opened but not read") {
        options.property_files["sasl.password"] = "/tmp";
        CHECK_THAT(error(), ContainsSubstring("sasl.password: cannot read /tmp"));
    }
}

TEST_CASE("the user's properties win over the defaults") {
    TemporaryFolder folder;
    std::ofstream(folder.path() + "/password") << "two\nlines\n";
    Options options;
    options.brokers = "a:1,b:2";
    options.properties = {
        {"linger.ms", "7"}, {"acks", "-1"}, {"enable.idempotence", "true"}, {"compression.type", "lz4"}};
    options.property_files = {{"sasl.password", folder.path() + "/password"}};
    auto conf = make_conf(options, Role::producer);
    REQUIRE(conf);
    auto value = [&conf](const char* name) {
        char text[256];
        size_t size = sizeof(text);
        REQUIRE(rd_kafka_conf_get(conf->get(), name, text, &size) == RD_KAFKA_CONF_OK);
        return std::string(text);
    };
    CHECK(value("bootstrap.servers") == "a:1,b:2");
    CHECK(value("linger.ms") == "7");
    CHECK(value("compression.codec") == "lz4");
    CHECK(value("sasl.password") == "two\nlines");
    CHECK(value("message.timeout.ms") == "0");
    CHECK(value("socket.keepalive.enable") == "true");
    CHECK(make_client(std::move(*conf), Role::producer));
}

TEST_CASE("what librdkafka finds wrong only as a whole is an error too") {
    Options options;
    options.brokers = "localhost:1";
    options.properties["max.in.flight"] = "10";
    auto conf = make_conf(options, Role::producer);
    REQUIRE(conf);
    auto client = make_client(std::move(*conf), Role::producer);
    REQUIRE_FALSE(client);
    CHECK(client.error().code == ExitCode::configuration);
    CHECK_THAT(client.error().message, ContainsSubstring("max.in.flight"));
}

TEST_CASE("SCRAM with an old librdkafka is warned of") {
    Options options;
    CHECK_FALSE(client_warning(options, 0x020002ff));
    options.properties["sasl.mechanisms"] = "PLAIN";
    CHECK_FALSE(client_warning(options, 0x020002ff));
    options.properties["sasl.mechanisms"] = "scram-sha-512";
    CHECK_FALSE(client_warning(options, 0x020800ff));
    CHECK_FALSE(client_warning(options, 0x020601ff));
    auto warning = client_warning(options, 0x020002ff);
    REQUIRE(warning);
    CHECK_THAT(*warning, ContainsSubstring("SCRAM-SHA-512 does not work with librdkafka 2.0.2 and Kafka 4"));
}

TEST_CASE("secrets are known by their names") {
    CHECK(is_secret("sasl.password"));
    CHECK(is_secret("ssl.key.pem"));
    CHECK(is_secret("ssl.key.password"));
    CHECK(is_secret("sasl.oauthbearer.client.secret"));
    CHECK_FALSE(is_secret("ssl.key.location"));
    CHECK_FALSE(is_secret("sasl.username"));
}

TEST_CASE("trouble that repeats is tried more and more seldom") {
    CHECK(retry_delay(Trouble::passing, 0) == 100ms);
    CHECK(retry_delay(Trouble::passing, 3) == 800ms);
    CHECK(retry_delay(Trouble::passing, 1000) == 10s);
    CHECK(retry_delay(Trouble::missing_topic, 0) == 1s);
    CHECK(retry_delay(Trouble::missing_topic, 10) == 5s);
    CHECK(retry_delay(Trouble::forbidden, 0) == 5s);
    CHECK(retry_delay(Trouble::forbidden, 10) == 60s);
}

TEST_CASE("a right that is missing is named") {
    CHECK(needed_right(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Read") == "; grant Read on it");
    CHECK(needed_right(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, "Read").empty());
}

TEST_CASE("the window knows how far each message is") {
    auto batch = [](uint64_t id, size_t count) {
        spool::Batch made;
        made.id = id;
        made.payload.resize(10 * count);
        made.messages.resize(count);
        return made;
    };
    Window window;
    CHECK(window.next() == nullptr);
    window.add(batch(1, 2));
    window.add(batch(2, 1));
    CHECK(window.bytes() == 30);
    std::vector<Window::Item*> items;
    while (auto* item = window.next()) {
        CHECK(window.next() == item);
        window.sent(*item, {});
        items.push_back(item);
    }
    REQUIRE(items.size() == 3);
    CHECK(window.outstanding() == 3);
    CHECK(&Window::message(*items[1]) == &items[1]->entry->batch.messages[1]);

    SECTION("done out of order") {
        CHECK(window.done(*items[2]) == 2u);
        CHECK(window.done(*items[0]) == std::nullopt);
        CHECK(window.done(*items[1]) == 1u);
        CHECK(window.empty());
        CHECK(window.bytes() == 0);
        window.add(batch(3, 1));
        CHECK(window.next() != nullptr);
    }
    SECTION("what failed comes again, in order, and what is done does not") {
        window.failed(*items[2]);
        window.done(*items[0]);
        window.failed(*items[1]);
        CHECK(window.outstanding() == 0);
        CHECK(window.next() == nullptr);
        window.again();
        REQUIRE(window.next() == items[1]);
        window.sent(*items[1], {});
        REQUIRE(window.next() == items[2]);
        CHECK(window.not_done() == 2);
    }
    SECTION("reports that will not come") {
        window.done(*items[1]);
        window.forget_sent();
        window.again();
        CHECK(window.outstanding() == 0);
        CHECK(window.next() == items[0]);
    }
}
