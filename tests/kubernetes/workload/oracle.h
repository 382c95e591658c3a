// SPDX-License-Identifier: Apache-2.0
//
// What this container did, one line per end of a connection:
//   namespace,pod,uid,container,role,local,local_port,remote,remote_port,plan,outcome,end,errno,opened,ended
// Each line is written when the connection has ended, in one write(): a container that is killed loses those
// that are under way, and no others. Times are nanoseconds since the epoch, opened is before connect() or
// after accept().
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>

namespace workload {

struct Line {
    const char* role = "CLIENT";
    sockaddr_in local{}, remote{};
    char plan = '?';
    const char* outcome = "ESTABLISHED";  // as schemas/v1/connection.proto has them
    const char* end = "NOT_ESTABLISHED";
    int error = 0;
    uint64_t opened = 0;
    uint64_t ended = 0;  // 0: it is open, and the next that happens is that this container is killed
};

uint64_t unix_nanos();

// From the environment, as the downward API fills it.
std::string setting(const char* name);

// Threads may write at the same time. Without ORACLE in the environment nothing is written.
void write_line(const Line& line);

[[noreturn]] void fail(const std::string& what);

}  // namespace workload
