// SPDX-License-Identifier: Apache-2.0
//
// Proves from the sequence numbers of a topic that nothing was lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tcptrail::commands {

// Both ends are included.
struct SequenceRange {
    uint64_t first = 0;
    uint64_t last = 0;

    bool operator==(const SequenceRange&) const = default;
};

// What was found in one run of an agent.
struct RunResult {
    std::string run_id;
    uint64_t first = 0;  // lowest and highest sequence seen; 0: none
    uint64_t last = 0;
    uint64_t checked_from = 1;               // holes were looked for from here on
    uint64_t events = 0;                     // each counted once
    uint64_t duplicates = 0;                 // further deliveries of events already seen
    uint64_t holes = 0;                      // gaps in the sequence
    uint64_t missing = 0;                    // events in all of them
    std::vector<SequenceRange> first_holes;  // in order; at most listed_holes of them
};

// Takes the (run_id, sequence) of every record of one topic and finds holes and duplicates. Any order will
// do, across partitions and with records delivered again. Memory grows with the number of gaps at a time, not
// with the number of events.
//
// A record still on its way looks lost: compare when the agents have nothing in flight. Not for several
// threads.
class SequenceVerifier {
public:
    static constexpr size_t listed_holes = 20;

    // With `head_may_be_missing` a run need not begin at 1, because retention has removed its beginning or
    // because reading began in the middle. It is then checked from where all partitions that have events of
    // it had begun to give them: they are not cut at the same place.
    explicit SequenceVerifier(bool head_may_be_missing = false) : head_may_be_missing_(head_may_be_missing) {}

    // One record. A record without a number (0) is counted apart. With head_may_be_missing the records of one
    // partition must come in the order of their offsets.
    void add(std::string_view run_id, uint64_t sequence, int32_t partition = 0);

    // This run has events up to `last` (AgentReport.connections_last_sequence): if they do not come, the tail
    // is a hole. The highest of several calls counts. With head_may_be_missing a run of which nothing at all
    // was seen is taken to be removed.
    void expect_last(std::string_view run_id, uint64_t last);

    // By run_id.
    std::vector<RunResult> results() const;
    bool has_holes() const;

    // A line for each run, and a closing line for all:
    //   run 4f1c: 1-20000, 19990 events, 2 holes (10 events missing), 0 duplicates; missing 7, 100-108
    //   verify: 1 run, 19990 events, 2 holes (10 events missing), 0 duplicates
    void print(std::FILE* out) const;

private:
    struct Run {
        std::map<uint64_t, uint64_t> seen;               // first → last of ranges that do not touch
        std::map<int32_t, uint64_t> first_of_partition;  // the first sequence that it gave
        uint64_t events = 0;
        uint64_t duplicates = 0;
        uint64_t expected_last = 0;
    };

    Run& run(std::string_view run_id);
    RunResult result(const std::string& run_id, const Run& run) const;

    bool head_may_be_missing_;
    std::map<std::string, Run, std::less<>> runs_;
    uint64_t unnumbered_ = 0;
};

}  // namespace tcptrail::commands
