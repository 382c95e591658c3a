// SPDX-License-Identifier: Apache-2.0
//
// What a container of the test can be. The caller's first byte says how a connection is to end:
//   c, s  the caller's FIN is first; the server's
//   r, R  the caller resets it; the server
//   h     it is held
// and the server answers with its own address, in `answer_size` bytes.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

namespace workload {

constexpr size_t answer_size = 32;

extern std::atomic<bool> stopping;  // SIGTERM has come

struct Calls {
    std::vector<sockaddr_in> targets;
    std::string plans = "csrR";  // in turns; x: to the port above the target's, where nobody listens
    bool pods = false;           // every second one to the address that a target has answered with
    double rate = 10;            // per second, all threads
    int threads = 4;
    double seconds = 0;  // 0: until SIGTERM
};

struct Hog {
    sockaddr_in target{};
    int hold = 10;       // connections, open when it is killed
    size_t mib = 1024;   // to be filled, which its limit of memory does not allow
    double seconds = 5;  // before that
};

int serve(int port);
int call(const Calls& calls);
int hog(const Hog& hog);

// ---- what they share

sockaddr_in parse_address(const std::string& text);  // 10.96.0.7:80

// recv() of `size` bytes; less: EOF or an error, which is then in errno (0: EOF). ECANCELED: `stopping`,
// where `until_stopped`; ETIMEDOUT: not within ten seconds, where not.
size_t read_all(int fd, char* to, size_t size, bool until_stopped = false);

// close() with a reset.
void reset(int fd);

}  // namespace workload
