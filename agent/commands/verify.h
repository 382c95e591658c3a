// SPDX-License-Identifier: Apache-2.0
//
// Proves from the sequence numbers of a topic that nothing was lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
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
    uint64_t checked_from = 1;               // holes were looked for from here on; 0: nowhere
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
// Not for several threads.
class SequenceVerifier {
public:
    static constexpr size_t listed_holes = 20;

    // With `complete_since` (Unix time in ns) a run need not begin at 1, because retention has removed its
    // beginning or reading began in the middle. What was emitted after that is known to be there, if it came
    // at all: the run is checked from the first such event on.
    explicit SequenceVerifier(std::optional<uint64_t> complete_since = std::nullopt)
        : complete_since_(complete_since) {}

    // One record. A record without a number (0) is counted apart.
    void add(std::string_view run_id, uint64_t sequence, uint64_t emitted_unix_nanos = 0);

    // This run has events up to `last` (AgentReport.connections_last_sequence): if they do not come, the tail
    // is a hole. The highest of several calls counts.
    void expect_last(std::string_view run_id, uint64_t last);
    // When this run began: after complete_since it must be there from 1 on. A run that is not known is let
    // be.
    void set_beginning(std::string_view run_id, uint64_t unix_nanos);
    // What to print under the run's line if it has holes. A run that is not known is let be.
    void explain(std::string_view run_id, std::string text);
    bool knows(std::string_view run_id) const { return runs_.contains(run_id); }

    // From now on only what is missing up to here counts: the highest number seen or expected of each run.
    // What comes later fills holes, but its own neighbours may still be on their way.
    void judge_up_to_here();

    // By run_id.
    std::vector<RunResult> results() const;
    bool has_holes() const;

    // A line for each run, and a closing line for all:
    //   run 4f1c: 1-20000, 19990 events, 2 holes (10 events missing), 0 duplicates; missing 7, 100-108
    //   verify: 1 run, 19990 events, 2 holes (10 events missing), 0 duplicates
    // and the explanation under a run with holes.
    void print(std::FILE* out) const;

private:
    struct Run {
        std::map<uint64_t, uint64_t> seen;       // first → last of ranges that do not touch
        std::optional<uint64_t> first_complete;  // the lowest that was emitted after complete_since_
        std::optional<uint64_t> began;           // Unix time in ns
        uint64_t events = 0;
        uint64_t duplicates = 0;
        uint64_t expected_last = 0;
        uint64_t judged_to = 0;  // once up_to_here_
        std::string explanation;
    };

    Run& run(std::string_view run_id);
    RunResult result(const std::string& run_id, const Run& run) const;
    uint64_t checked_from(const Run& run) const;

    std::optional<uint64_t> complete_since_;
    bool up_to_here_ = false;
    std::map<std::string, Run, std::less<>> runs_;
    uint64_t unnumbered_ = 0;
};

}  // namespace tcptrail::commands
