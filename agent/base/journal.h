// SPDX-License-Identifier: Apache-2.0
//
// The journal of systemd, as far as one writes to it.
#pragma once

#include <string_view>

#include "agent/base/fd.h"

namespace tcptrail {

// Whether standard error is the stream that systemd reads for this service; it may have been redirected
// since.
bool is_journal_stderr();

// The socket of journald. sd_journal_sendv() would do as much, but it waits while journald is stuck (systemd
// 252: from the twelfth message on), and says nothing where there is no journald. For one thread at a time.
class JournalSocket {
public:
    enum class Outcome {
        sent,
        busy,    // it takes none now
        absent,  // nobody is there, or not for such an entry
    };
    // An entry in the native protocol. Does not wait.
    Outcome send(std::string_view entry);

private:
    Fd socket_;  // made when it is needed first
};

}  // namespace tcptrail
