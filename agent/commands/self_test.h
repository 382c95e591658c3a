// SPDX-License-Identifier: Apache-2.0
//
// Whether the capture tells what happens: connections over loopback of which the number is known.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "agent/base/error.h"
#include "agent/capture/capture.h"
#include "bpf/abi/record.h"

namespace tcptrail::commands {

struct SelfTestResult {
    uint64_t lifecycles = 0;        // both ends of each connection
    uint64_t told = 0;              // with owner and end
    uint64_t in_part = 0;           // of which a part was missed
    uint64_t recursion_misses = 0;  // runs that the kernel skipped, of all programs since they were attached

    bool is_complete() const { return told == lifecycles; }
    std::string text() const;
};

// Counts what is told of this process's connections.
class SelfTest {
public:
    SelfTest();

    // Each record that the capture gives.
    void count(const tcptrail_record& record);

    // Makes the connections and drains. The capture must tell this process's own. Fails where loopback does
    // not work.
    Result<SelfTestResult> run(capture::Capture& capture);

private:
    pid_t pid_;
    uint16_t port_ = 0;  // of the listener; 0: not yet
    uint64_t told_ = 0, in_part_ = 0;
};

}  // namespace tcptrail::commands
