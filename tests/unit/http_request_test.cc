// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_request.h"

#include <random>
#include <string>

#include "tests/catch.h"

using namespace tcptrail::serve;

namespace {

// Of a request that is complete; 0: it is taken.
int refusal_of(const std::string& bytes) {
    const auto parsed = parse_request(bytes);
    INFO(bytes);
    REQUIRE(parsed);
    return parsed->refusal;
}

}  // namespace

TEST_CASE("http request: as Prometheus and curl send it") {
    const auto parsed = parse_request(
        "GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9466\r\naccept: text/plain\r\nAccept: */*;q=0.1\r\n"
        "AUTHORIZATION:Bearer abc\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n");
    REQUIRE(parsed);
    CHECK(parsed->refusal == 0);
    CHECK(parsed->request.path == "/metrics");
    CHECK(parsed->request.accept == "text/plain,*/*;q=0.1");
    CHECK(parsed->request.authorization == "Bearer abc");
    CHECK_FALSE(parsed->request.is_head);
    CHECK(parse_request("HEAD / HTTP/1.0\r\n\r\n")->request.is_head);
    CHECK(parse_request("\r\nGET /a HTTP/1.0\r\n\r\n")->request.path == "/a");
    CHECK(parse_request("GET HTTP://h:1/b?c HTTP/1.1\r\nHost: h\r\n\r\n")->request.path == "/b");
    CHECK(parse_request("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n")->request.path == "/");
}

TEST_CASE("http request: what is refused, and how") {
    const std::string host = "Host: h\r\n";
    CHECK(refusal_of("POST /metrics HTTP/1.1\r\n" + host + "\r\n") == 405);
    CHECK(refusal_of("get / HTTP/1.1\r\n" + host + "\r\n") == 405);
    CHECK(refusal_of("GET / HTTP/2.0\r\n" + host + "\r\n") == 505);
    CHECK(refusal_of("GET / HTTP/1.1 \r\n" + host + "\r\n") == 505);
    CHECK(refusal_of("GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello") == 413);
    CHECK(refusal_of("GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n") == 413);
    for (const std::string bad : {
             "GET /\r\n\r\n",                                         // HTTP/0.9
             "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",                    // two blanks
             "GET x HTTP/1.1\r\nHost: h\r\n\r\n",                     // no path
             "GET * HTTP/1.1\r\nHost: h\r\n\r\n",                     //
             "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",                 //
             "GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",                 //
             "GET / HTTP/1.1\r\n\r\n",                                // no Host
             "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",          // two of them
             "GET / HTTP/1.1\r\nHost: h\r\nNo colon\r\n\r\n",         //
             "GET / HTTP/1.1\r\nHost: h\r\nBlank : x\r\n\r\n",        //
             "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n",  //
             "GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n",       // a bare line feed
             "GET / HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n",          //
             "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
             "\x16\x03\x01 TLS\r\n\r\n",  // https://
         })
        CHECK(refusal_of(bad) == 400);
    const std::string zero = std::string("GET / HTTP/1.1\r\nHost: h") + '\0' + "\r\n\r\n";
    CHECK(refusal_of(zero) == 400);
    CHECK(parse_request("\x16\x03\x01")->refusal == 400);  // not waited for
}

TEST_CASE("http request: nothing before the head is complete, whatever comes after it") {
    const std::string whole = "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: a\r\n\r\n";
    for (size_t cut = 0; cut < whole.size(); ++cut)
        CHECK_FALSE(parse_request(whole.substr(0, cut)));
    CHECK(parse_request(whole + "GET /next HTTP/1.1\r\n\r\n")->request.path == "/metrics");
}

TEST_CASE("http request: random damage never crashes") {
    const unsigned seed = 20261128;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const std::string whole =
        "GET http://h/metrics?x HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text;q=0.5,*/*\r\n"
        "Authorization: Bearer x\r\nContent-Length: 0\r\n\r\n";
    constexpr std::string_view pieces[] = {"\r\n", "\n", " ", ":", ";q=", ",", "\0", "\xff", "/", "HTTP/"};
    for (int i = 0; i < 100000; ++i) {
        std::string text = whole;
        for (auto n = random() % 4; n > 0; --n) {
            const size_t at = random() % (text.size() + 1);
            if (random() % 2)
                text.insert(at, pieces[random() % std::size(pieces)]);
            else
                text.erase(at, random() % 8);
        }
        const auto parsed = parse_request(text);
        if (!parsed || parsed->refusal) continue;
        REQUIRE(parsed->request.path.starts_with('/'));
        wants_openmetrics(parsed->request.accept);
    }
}

TEST_CASE("http request: which form is wanted") {
    CHECK_FALSE(wants_openmetrics(""));
    CHECK_FALSE(wants_openmetrics("*/*"));
    CHECK_FALSE(wants_openmetrics("text/plain;version=0.0.4"));
    CHECK_FALSE(wants_openmetrics("application/openmetrics-text;q=0"));
    CHECK_FALSE(wants_openmetrics("application/openmetrics-text;q=0.3,text/plain;q=0.5"));
    CHECK_FALSE(wants_openmetrics("application/openmetrics-textual"));
    CHECK(wants_openmetrics("application/openmetrics-text"));
    CHECK(wants_openmetrics("Application/OpenMetrics-Text ; version=1.0.0"));
    // Prometheus 2 and 3.
    CHECK(
        wants_openmetrics("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
                          "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    CHECK(
        wants_openmetrics("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                          "text/plain;version=0.0.4;q=0.3"));
}
