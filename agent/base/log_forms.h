// SPDX-License-Identifier: Apache-2.0
//
// A message of the log in each of its forms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/log.h"

namespace tcptrail::logging {

struct Message {
    Level level;
    const Event& event;
    std::string_view text;
    const Fields& fields;
    uint64_t unix_nanos;
};

// "2026-01-31T12:00:00.123Z info message"
std::string as_text(const Message& message);
// {"time":"…","level":"info","stage":"capture","event":"tracing","message":"…","hooks":16}
std::string as_json(const Message& message);
// "<6>message": the journal keeps time and unit itself.
std::string as_stream(const Message& message);
// "<6>{…}": JSON for who wants it from the journal, which takes the priority from the front.
std::string as_json_stream(const Message& message);
// An entry of the journal in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): KEY=value lines.
std::string as_entry(const Message& message);

}  // namespace tcptrail::logging
