// SPDX-License-Identifier: Apache-2.0
//
// The kinds of messages in the log: stage and name. Operators' rules are written against them, so a name
// stays what it is once it is released. tcptrail(8), LOGS, says what each one is and what to do about it; a
// test compares the two.
#pragma once

#include "agent/base/log.h"

namespace tcptrail::events {

using logging::Event;

inline constexpr Event reloading{"agent", "reloading"};
inline constexpr Event reload_refused{"agent", "reload_refused"};
inline constexpr Event reload_reverted{"agent", "reload_reverted"};
inline constexpr Event configuration_doubtful{"agent", "configuration_doubtful"};
inline constexpr Event accounts_wrong{"agent", "accounts_wrong"};
inline constexpr Event failed{"agent", "failed"};
// Its stage is that which lost them.
inline constexpr std::string_view events_lost = "events_lost";

inline constexpr Event tracing{"capture", "tracing"};
inline constexpr Event tracing_ended{"capture", "tracing_ended"};
inline constexpr Event tracing_gap{"capture", "tracing_gap"};
inline constexpr Event tracing_disturbed{"capture", "tracing_disturbed"};
inline constexpr Event capture_failed{"capture", "capture_failed"};
inline constexpr Event priority_not_raised{"capture", "priority_not_raised"};

inline constexpr Event api_server_trouble{"context", "api_server_trouble"};
inline constexpr Event api_server_tells{"context", "api_server_tells"};

inline constexpr Event printing{"encode", "printing"};

inline constexpr Event status_not_served{"serve", "status_not_served"};
inline constexpr Event metrics_not_served{"serve", "metrics_not_served"};
inline constexpr Event metrics_served{"serve", "metrics_served"};
inline constexpr Event token_refused{"serve", "token_refused"};
inline constexpr Event token_renewed{"serve", "token_renewed"};

inline constexpr Event spool_found{"spool", "spool_found"};
inline constexpr Event spool_replaced{"spool", "spool_replaced"};
inline constexpr Event spool_log_repaired{"spool", "spool_log_repaired"};
inline constexpr Event spool_failed{"spool", "spool_failed"};
inline constexpr Event spool_in_memory{"spool", "spool_in_memory"};
inline constexpr Event spool_on_disk{"spool", "spool_on_disk"};
inline constexpr Event disk_nearly_full{"spool", "disk_nearly_full"};
inline constexpr Event disk_has_room{"spool", "disk_has_room"};
inline constexpr Event spool_closed{"spool", "spool_closed"};

inline constexpr Event sending{"transmit", "sending"};
inline constexpr Event kafka_client_old{"transmit", "kafka_client_old"};
inline constexpr Event kafka_trouble{"transmit", "kafka_trouble"};
inline constexpr Event kafka_acknowledges{"transmit", "kafka_acknowledges"};
inline constexpr Event kafka_file_refused{"transmit", "kafka_file_refused"};
inline constexpr Event kafka_file_renewed{"transmit", "kafka_file_renewed"};

}  // namespace tcptrail::events
