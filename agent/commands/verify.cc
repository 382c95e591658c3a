// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agent/encode/printable.h"

namespace tcptrail::commands {
namespace {

// Adds one number to a set of ranges that do not touch; false: it was there.
bool insert(std::map<uint64_t, uint64_t>& ranges, uint64_t n) {
    const auto above = ranges.upper_bound(n);
    const auto below = above == ranges.begin() ? ranges.end() : std::prev(above);
    if (below != ranges.end() && n <= below->second) return false;

    const bool joins_below = below != ranges.end() && below->second == n - 1;
    const bool joins_above = above != ranges.end() && above->first - 1 == n;
    const uint64_t last = joins_above ? above->second : n;
    if (joins_above) ranges.erase(above);
    if (joins_below) {
        below->second = last;
    } else {
        ranges.emplace(n, last);
    }
    return true;
}

void add_hole(RunResult& result, uint64_t first, uint64_t last) {
    result.holes++;
    result.missing += last - first + 1;
    if (result.first_holes.size() < SequenceVerifier::listed_holes)
        result.first_holes.push_back({first, last});
}

std::string counted(uint64_t n, std::string_view what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string summary(uint64_t events, uint64_t holes, uint64_t missing, uint64_t duplicates) {
    return fmt::format("{}, {}{}, {}", counted(events, "event"), counted(holes, "hole"),
                       missing == 0 ? "" : fmt::format(" ({} missing)", counted(missing, "event")),
                       counted(duplicates, "duplicate"));
}

std::string run_line(const RunResult& run) {
    std::string line = fmt::format("run {}: {}", encode::printable(run.run_id),
                                   run.last == 0 ? "nothing" : fmt::format("{}-{}", run.first, run.last));
    if (run.checked_from == 0) line += " not checked";
    if (run.checked_from > 1) line += fmt::format(" checked from {}", run.checked_from);
    line += ", " + summary(run.events, run.holes, run.missing, run.duplicates);

    std::string_view separator = "; missing ";
    for (const auto& hole : run.first_holes) {
        line += separator;
        line += hole.first == hole.last ? std::to_string(hole.first)
                                        : fmt::format("{}-{}", hole.first, hole.last);
        separator = ", ";
    }
    if (run.holes > run.first_holes.size())
        line += fmt::format(" and {} more", run.holes - run.first_holes.size());
    return line;
}

}  // namespace

SequenceVerifier::Run& SequenceVerifier::run(std::string_view run_id) {
    const auto found = runs_.find(run_id);
    return found != runs_.end() ? found->second : runs_[std::string(run_id)];
}

void SequenceVerifier::add(std::string_view run_id, uint64_t sequence, uint64_t emitted_unix_nanos) {
    if (sequence == 0) {
        unnumbered_++;
        return;
    }
    Run& of = run(run_id);
    if (complete_since_ && emitted_unix_nanos > *complete_since_)
        of.first_complete = std::min(of.first_complete.value_or(sequence), sequence);
    (insert(of.seen, sequence) ? of.events : of.duplicates)++;
}

void SequenceVerifier::expect_last(std::string_view run_id, uint64_t last) {
    if (last == 0) return;  // no event was promised
    Run& of = run(run_id);
    of.expected_last = std::max(of.expected_last, last);
}

void SequenceVerifier::set_beginning(std::string_view run_id, uint64_t unix_nanos) {
    if (knows(run_id)) run(run_id).began = unix_nanos;
}

void SequenceVerifier::explain(std::string_view run_id, std::string text) {
    if (knows(run_id)) run(run_id).explanation = std::move(text);
}

void SequenceVerifier::judge_up_to_here() {
    for (auto& [run_id, run] : runs_)
        run.judged_to = std::max(run.expected_last, run.seen.empty() ? 0 : run.seen.rbegin()->second);
    up_to_here_ = true;
}

uint64_t SequenceVerifier::checked_from(const Run& run) const {
    if (!complete_since_ || run.began.value_or(0) > *complete_since_) return 1;
    return run.first_complete.value_or(0);
}

RunResult SequenceVerifier::result(const std::string& run_id, const Run& run) const {
    RunResult result;
    result.run_id = run_id;
    result.events = run.events;
    result.duplicates = run.duplicates;
    if (!run.seen.empty()) {
        result.first = run.seen.begin()->first;
        result.last = run.seen.rbegin()->second;
    }
    result.checked_from = checked_from(run);
    if (result.checked_from == 0) return result;

    // `checked` is the last number known to be there or told as missing.
    const uint64_t to = up_to_here_ ? run.judged_to : std::max(run.expected_last, result.last);
    uint64_t checked = result.checked_from - 1;
    for (const auto& [first, last] : run.seen) {
        if (last <= checked) continue;
        if (checked >= to) break;
        if (first > checked + 1) add_hole(result, checked + 1, std::min(first - 1, to));
        checked = last;
    }
    if (to > checked) add_hole(result, checked + 1, to);
    return result;
}

std::vector<RunResult> SequenceVerifier::results() const {
    std::vector<RunResult> all;
    for (const auto& [run_id, run] : runs_)
        all.push_back(result(run_id, run));
    return all;
}

bool SequenceVerifier::has_holes() const {
    return std::ranges::any_of(
        runs_, [this](const auto& entry) { return result(entry.first, entry.second).holes > 0; });
}

void SequenceVerifier::print(std::FILE* out) const {
    uint64_t events = 0, holes = 0, missing = 0, duplicates = 0, unchecked = 0;
    std::string text;
    for (const auto& run : results()) {
        text += run_line(run) + '\n';
        const std::string& explanation = runs_.find(run.run_id)->second.explanation;
        if (run.holes > 0 && !explanation.empty()) text += "    " + explanation + '\n';
        if (run.checked_from == 0) unchecked++;
        events += run.events;
        holes += run.holes;
        missing += run.missing;
        duplicates += run.duplicates;
    }
    text += fmt::format("verify: {}, {}", counted(runs_.size(), "run"),
                        summary(events, holes, missing, duplicates));
    if (unchecked > 0) text += fmt::format(", {} not checked", counted(unchecked, "run"));
    if (unnumbered_ > 0) text += fmt::format(", {} without a number", counted(unnumbered_, "event"));
    text += '\n';
    std::fputs(text.c_str(), out);  // fmt::print would throw
}

}  // namespace tcptrail::commands
