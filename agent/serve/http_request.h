// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP/1.1 request (RFC 9112), as far as a server needs it that only answers GET and HEAD.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tcptrail::serve {

struct HttpRequest {
    bool is_head = false;
    std::string path;           // "/metrics": without the query, not decoded
    std::string accept;         // all of them, joined by commas; empty: none
    std::string authorization;  // empty: none
};

// A request, or the status that refuses it: 400, 405, 413, 505. Any bytes may come.
struct ParsedRequest {
    int refusal = 0;  // 0: none
    HttpRequest request;
};

// Nothing while the head is not complete in `bytes`, which is the client's to finish and the caller's to
// bound.
std::optional<ParsedRequest> parse_request(std::string_view bytes);

// Whether the header Accept prefers OpenMetrics to the text format of Prometheus: as Prometheus does. Any
// text.
bool wants_openmetrics(std::string_view accept);

}  // namespace tcptrail::serve
