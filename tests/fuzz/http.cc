// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP request, and the addresses where such are listened for.
#include "agent/serve/http_request.h"

#include "agent/serve/listen_address.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

void run(std::span<const uint8_t> input) {
    const std::string_view text = tests::fuzz::text_of(input);
    (void)serve::wants_openmetrics(text);
    (void)serve::parse_listen_address(std::string(text));
    const auto parsed = serve::parse_request(text);
    if (!parsed) {
        expect(text.find("\r\n\r\n") == text.npos || text.starts_with("\r\n"), "a head that is complete");
        return;
    }
    if (parsed->refusal) return;
    const serve::HttpRequest& request = parsed->request;
    expect(request.path.starts_with('/'), "no path");
    for (const std::string* value : {&request.path, &request.accept, &request.authorization})
        expect(value->find_first_of("\r\n") == std::string::npos, "more than a line");
    // What follows a head is another's.
    const auto again = serve::parse_request(std::string(text) + "GET / HTTP/1.0\r\n\r\n");
    expect(again && !again->refusal && again->request.path == request.path, "not the first one");
}

std::vector<std::string> seeds() {
    return {
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9466\r\nUser-Agent: Prometheus/2.42.0\r\n"
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
        "Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n"
        "Authorization: Bearer 0123456789abcdef\r\n\r\n",
        "HEAD http://host/readyz?x#y HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "127.0.0.1:9466",
        "[::1]:9466",
        "/run/tcptrail/metrics.sock",
    };
}

const tests::fuzz::Register registered({"http", run, seeds});

}  // namespace
