// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/watch.h"

#include <string>
#include <vector>

#include "agent/cluster/json.h"
#include "tests/catch.h"

using namespace tcptrail::cluster;

namespace {

constexpr uint64_t second = 1'000'000'000;

// A watch, what it was told to ask, and what it made of the answers.
struct Watched {
    std::vector<std::string> told;
    uint64_t now = second;
    Watch watch;

    explicit Watched(const char* selector = "")
        : watch("/api/v1/pods", selector,
                {[this] { told.emplace_back("begin"); },
                 [this](const Json& object) { told.push_back("+" + name(object)); },
                 [this](const Json& object) { told.push_back("-" + name(object)); },
                 [this] { told.emplace_back("end"); }},
                1) {}

    static std::string name(const Json& object) { return string_in(member_of(object, "metadata"), "name"); }
    // The request that is due now, or once it is.
    std::string ask() {
        if (const auto request = watch.next(now)) return request->target;
        now = watch.due_ns();
        const auto request = watch.next(now);
        return request ? request->target : "nothing";
    }
    void answer(long status, const std::string& body, const std::string& error = {}, uint32_t retry = 0) {
        const bool goes_on = watch.on_piece(status, "") && watch.on_piece(status, body);
        watch.on_end({status, goes_on ? error : "stopped", retry}, now);
    }
    std::vector<std::string> take() { return std::exchange(told, {}); }
};

using Told = std::vector<std::string>;

std::string list_of(const char* version, const std::string& items, const std::string& more = {}) {
    return R"({"metadata":{"resourceVersion":")" + std::string(version) + "\"" + more + "},\"items\":[" +
           items + "]}";
}
std::string object(const char* name, const char* version = "1") {
    return R"({"metadata":{"name":")" + std::string(name) + R"(","resourceVersion":")" + version + "\"}}";
}
std::string event(const char* type, const std::string& object) {
    return R"({"type":")" + std::string(type) + R"(","object":)" + object + "}\n";
}

}  // namespace

TEST_CASE("watch: a list, then what changes from there", "[cluster]") {
    Watched w("fieldSelector=spec.nodeName%3Dn");
    CHECK(w.watch.contact() == Contact::starting);
    CHECK(w.ask() == "/api/v1/pods?resourceVersion=0&fieldSelector=spec.nodeName%3Dn");
    CHECK_FALSE(w.watch.next(w.now));  // an answer is awaited
    w.answer(200, list_of("10", object("a") + "," + object("b")));
    CHECK(w.take() == Told{"begin", "+a", "+b", "end"});
    CHECK(w.watch.contact() == Contact::current);

    const std::string target = w.ask();
    CHECK(target.starts_with("/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds="));
    CHECK(target.ends_with("&resourceVersion=10&fieldSelector=spec.nodeName%3Dn"));
    w.answer(200, event("ADDED", object("c", "11")) + event("MODIFIED", object("a", "12")) +
                      event("DELETED", object("b", "13")) + event("BOOKMARK", object("", "20")));
    CHECK(w.take() == Told{"+c", "+a", "-b"});
    // The server ended it in its time: at once the next one, from the bookmark.
    CHECK(w.watch.due_ns() <= w.now);
    CHECK(w.ask().contains("&resourceVersion=20&"));
    CHECK(w.watch.failures() == 0);
    CHECK(w.watch.lists() == 1);
    CHECK(w.watch.watches() == 2);
}

TEST_CASE("watch: what is too old is listed anew, and where that is refused, from etcd, in pages",
          "[cluster]") {
    const bool by_event = GENERATE(true, false);
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.take();
    if (by_event)
        w.answer(200, event("ERROR", R"({"kind":"Status","code":410,"message":"too old"})"));
    else
        w.answer(410, R"({"kind":"Status","code":410,"message":"too old"})");
    CHECK(w.watch.due_ns() <= w.now + 2 * second);  // not all agents at once
    CHECK(w.ask() == "/api/v1/pods?resourceVersion=10");
    // Refused as well, or beyond what the server has.
    w.answer(GENERATE(410, 504), R"({"kind":"Status","message":"Too large resource version: 10"})");
    CHECK(w.ask() == "/api/v1/pods?limit=500");
    w.answer(200, list_of("30", object("b"), R"(,"continue":"x/y+z=")"));
    CHECK(w.ask() == "/api/v1/pods?limit=500&continue=x%2Fy%2Bz%3D");
    w.answer(200, list_of("30", object("c")));
    CHECK(w.take() == Told{"begin", "begin", "+b", "+c", "end"});
    CHECK(w.ask().contains("&resourceVersion=30"));
    CHECK(w.watch.contact() == Contact::current);
    CHECK(w.watch.failures() == 1);
}

TEST_CASE("watch: a list that takes the server too long is not asked of etcd", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.answer(410, "");
    w.ask();
    w.answer(504, "upstream timed out");
    CHECK(w.ask() == "/api/v1/pods?resourceVersion=10");
}

TEST_CASE("watch: a page whose token is too old begins the list anew", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.answer(410, "");
    w.ask();
    w.answer(410, "");
    w.ask();
    w.answer(200, list_of("30", object("b"), R"(,"continue":"x")"));
    w.ask();
    w.take();
    w.answer(410, "");
    CHECK(w.ask() == "/api/v1/pods?limit=500");
    w.answer(200, list_of("31", object("c")));
    CHECK(w.take() == Told{"begin", "+c", "end"});
}

TEST_CASE("watch: always too old is no storm of lists", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    const uint64_t began = w.now;
    const bool is_listed = GENERATE(false, true);
    for (int i = 0; i < 50; ++i) {
        w.answer(410, "");
        if (!w.ask().contains("watch=") && is_listed) {
            w.answer(200, list_of("10", object("a")));
            w.ask();
        }
    }
    CHECK(w.watch.lists() <= 52);
    CHECK(w.now - began > 600 * second);
}

TEST_CASE("watch: what became too old while the server was away is listed soon", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    for (int i = 0; i < 8; ++i) {
        w.ask();
        w.answer(0, "", "Connection refused");
    }
    w.ask();
    w.answer(200, event("ERROR", R"({"kind":"Status","code":410,"message":"too old"})"));
    CHECK(w.watch.due_ns() <= w.now + 2 * second);
    CHECK(w.ask() == "/api/v1/pods?resourceVersion=10");
    w.answer(200, list_of("30", object("b")));
    CHECK(w.watch.due_ns() <= w.now);
    CHECK(w.watch.contact() == Contact::current);
}

TEST_CASE("watch: a server in trouble is asked ever less often", "[cluster]") {
    Watched w;
    w.ask();
    std::vector<uint64_t> waits;
    for (int i = 0; i < 10; ++i) {
        const uint64_t before = w.now;
        w.answer(0, "", "Connection refused");
        CHECK(w.watch.contact() == Contact::unreachable);
        CHECK(w.watch.problem() == "Connection refused");
        w.ask();
        waits.push_back(w.now - before);
    }
    CHECK(waits.front() >= second / 2);
    CHECK(waits.front() <= 2 * second);
    CHECK(waits.back() >= 15 * second);
    CHECK(waits.back() <= 30 * second);
    // When it is back it is asked as before.
    w.answer(200, list_of("10", object("a")));
    CHECK(w.watch.contact() == Contact::current);
    CHECK(w.watch.problem().empty());
    CHECK(w.watch.due_ns() <= w.now);
}

TEST_CASE("watch: a watch that breaks is gone on with, without a list", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.answer(200, event("ADDED", object("b", "11")), "the connection was reset");
    CHECK(w.watch.contact() == Contact::unreachable);
    CHECK(w.watch.due_ns() > w.now);
    CHECK(w.ask().contains("&resourceVersion=11"));
    CHECK(w.watch.lists() == 1);
}

TEST_CASE("watch: who may not is told so, and asks again later", "[cluster]") {
    const long status = GENERATE(401, 403);
    Watched w;
    w.ask();
    w.answer(status, R"({"kind":"Status","message":"pods is forbidden"})");
    CHECK(w.watch.contact() == Contact::denied);
    CHECK(w.watch.problem() == "HTTP " + std::to_string(status) + ": pods is forbidden");
    CHECK(w.watch.due_ns() - w.now >= 15 * second);
    w.ask();
    w.answer(200, list_of("10", object("a")));
    CHECK(w.watch.contact() == Contact::current);
}

TEST_CASE("watch: the server says how long to wait", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(429, "too many requests", "", 40);
    CHECK(w.watch.due_ns() - w.now >= 40 * second);
    CHECK(w.watch.problem() == "HTTP 429: too many requests");
}

TEST_CASE("watch: answers that are none", "[cluster]") {
    Watched w;
    const std::string body =
        GENERATE("", "<html>", "[]", "{\"items\":[1]}", "{\"items\":[{]}", "{\"items\":[]}");
    INFO(body);
    w.ask();
    w.answer(200, body);
    CHECK(w.watch.contact() == Contact::unreachable);
    CHECK(w.watch.problem() == "what it sent is no list in JSON");
    CHECK(w.watch.due_ns() > w.now);
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.answer(200, "<html>\n");
    CHECK(w.watch.problem() == "what it sent is no event in JSON");
}

TEST_CASE("watch: what a server says of itself is a line, and no terminal acts upon it", "[cluster]") {
    const std::string message = R"(\u001b[31mred\n\u009b2J )" + std::string(100'000, 'x');
    Watched w;
    w.ask();
    if (GENERATE(true, false)) {
        w.answer(200, list_of("10", object("a")));
        w.ask();
        w.answer(200, event("ERROR", R"({"kind":"Status","code":500,"message":")" + message + "\"}"));
        CHECK(w.watch.problem().starts_with("its watch ended: [31mred2J xxx"));
    } else {
        w.answer(500, "\x1b[31mred\x80\xc2\x9b" + std::string(100'000, 'x'));
        CHECK(w.watch.problem().starts_with("HTTP 500: [31mredxxx"));
    }
    CHECK(w.watch.problem().size() < 600);
}

TEST_CASE("watch: one that ends at once is no success", "[cluster]") {
    Watched w;
    w.ask();
    w.answer(200, list_of("10", object("a")));
    w.ask();
    w.answer(200, "");
    CHECK(w.watch.due_ns() > w.now);
    CHECK(w.watch.failures() == 1);
}
