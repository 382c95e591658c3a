// SPDX-License-Identifier: Apache-2.0
//
// The shipped binary as a child: `tcptrail observe -o jsonl`.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/kernel/privileges.h"

namespace tcptrail::test {

// $TCPTRAIL, or else build/tcptrail.
std::string binary();

// The last line on standard error: "tcptrail: seen S = told T + lost L (reason N, …); …".
struct Summary {
    uint64_t seen = 0;
    uint64_t told = 0;
    uint64_t lost = 0;
    std::map<std::string, uint64_t> reasons;
    std::string line;      // empty: it printed none
    int exit_status = -1;  // of the process; -1: it was killed by a signal
};

// One running observer. Its output goes to files without names, so that a test that does not read
// never holds it up. Members throw std::runtime_error when the child cannot start or does not end.
// The destructor kills the child, and so does the end of the test process.
class Observer {
public:
    // Starts binary() with `observe -o jsonl` and these arguments, and waits
    // for the line that says that the hooks are attached.
    explicit Observer(const std::vector<std::string>& arguments = {},
                      Privileges privileges = Privileges::root);
    ~Observer();
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    pid_t pid() const { return pid_; }
    const std::string& tracing_line() const { return tracing_line_; }

    // The byte behind the last complete line so far.
    size_t end_of_lines() const;

    // The complete lines after the byte `offset`, which moves on to behind the last of them.
    std::vector<std::string> lines_from(size_t& offset) const;

    void signal(int number) const;

    // Sends the signal and waits for the end.
    Summary stop(int number);

    // Waits until it ends by itself.
    Summary wait_end(int timeout_ms = 60'000);

    bool running() const { return pid_ > 0; }

private:
    void start(const std::vector<std::string>& arguments, Privileges privileges);
    std::string errors() const;  // all of its standard error

    pid_t pid_ = -1;
    int output_ = -1;
    int errors_ = -1;
    std::string tracing_line_;
};

// The observer that most tests share: without filters, started at the first call.
Observer& shared_observer();

// Takes the summary out of what an observer printed on standard error.
Summary parse_summary(const std::string& errors);

}  // namespace tcptrail::test
