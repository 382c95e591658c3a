// SPDX-License-Identifier: Apache-2.0
#include "agent/pipeline.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

namespace tcptrail {

namespace {

// What is encoded before the sink is asked to keep it: some megabytes at most.
constexpr uint64_t records_between_keeps = 4096;
// At 50 us each for JSON this is 6 ms.
constexpr uint64_t records_at_once = 128;

// While the ring fills up it is a part of capture.priority_boost: all of it holds up a busy host (README.md).
constexpr uint32_t filling_boost_divisor = 3;

// Rather some small walks than a long one: so often within the interval.
constexpr int walks_per_interval = 10;
constexpr std::chrono::nanoseconds longest_walk_interval = std::chrono::seconds(30);
// What signals, timers and reports wait for at most.
constexpr std::chrono::nanoseconds longest_walk = std::chrono::milliseconds(100);
// Before there is a loop, and after it: what is pinned may see more than can be taken.
constexpr std::chrono::nanoseconds longest_first_drain = std::chrono::seconds(5);
constexpr std::chrono::nanoseconds longest_last_drain = std::chrono::seconds(1);

connections::Kernel kernel_of(const capture::Capture& capture) {
    const bool tells_retransmits = std::ranges::any_of(capture.hooks(), [](const capture::HookStatus& hook) {
        return hook.attached && std::string_view(hook.plan->name) == "tp_btf/tcp_retransmit_skb";
    });
    return {capture.hz(), capture.reset_reasons(), tells_retransmits};
}

}  // namespace

Pipeline::Pipeline(const Config& config, Sink sink)
    : sink_(std::move(sink)),
      options_(config.connections),
      priority_boost_(config.capture.priority_boost),
      host_(context::identify_host(config.context.proc, config.node)),
      context_(config.context),
      encoder_(host_) {}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Config& config, Sink sink) {
    std::unique_ptr<Pipeline> pipeline(new Pipeline(config, std::move(sink)));
    if (auto asked = pipeline->context_.ask_cluster(config.kubernetes, pipeline->host_.node); !asked)
        return std::unexpected(std::move(asked.error()));
    capture::Options options = config.capture;
    options.tell_opened = config.connections.opened;
    if (!pipeline->sink_.is_lasting) options.pin.clear();
    auto capture = capture::Capture::open(
        options, [self = pipeline.get()](const tcptrail_record& record) { return self->process(record); });
    if (!capture) return std::unexpected(std::move(capture.error()));
    pipeline->capture_ = std::move(*capture);
    pipeline->go_on_from_predecessor();
    // What was seen meanwhile first: an agent that is killed again and again must get on all the same.
    if (const auto& before = pipeline->capture_->predecessor()) {
        auto types = capture::read_kernel_types(options);
        if (!types) return std::unexpected(std::move(types.error()));
        pipeline->kernel_ = {pipeline->capture_->hz(), std::move(types->reset_reasons),
                             before->tells_retransmits};
        if (auto drained = pipeline->drain(longest_first_drain); !drained)
            return std::unexpected(std::move(drained.error()));
    }
    if (auto attached = pipeline->capture_->attach(); !attached)
        return std::unexpected(std::move(attached.error()));
    pipeline->kernel_ = kernel_of(*pipeline->capture_);
    pipeline->capture_->set_run_id(pipeline->host_.run_id);
    pipeline->may_wait_ = true;
    pipeline->context_.watch_births();
    return pipeline;
}

// The one that is further counts: the sink's, which has the events; or the kernel's, where records had to be
// given up before the sink had them for good. What was in memory then is lost with the process, and counted
// (Checkpoint::after).
void Pipeline::go_on_from_predecessor() {
    base_.set_run(host_.run_id);
    if (const auto& before = capture_->predecessor()) {
        const auto of_its_run = [&](std::optional<Checkpoint> checkpoint) {
            return checkpoint && checkpoint->run() == before->run_id ? checkpoint : std::nullopt;
        };
        const auto note = of_its_run(Checkpoint::parse(before->note));
        const auto mark = of_its_run(sink_.last);
        // With a leftover the mark has all that the note has, and nothing is counted.
        if (const auto last = Checkpoint::after(note, mark)) {
            base_ = *last;
            const uint64_t known =
                std::max(note ? note->lost_with_memory : 0, mark ? mark->lost_with_memory : 0);
            if (sink_.has_leftover) {
                base_.kept = note ? note->kept : 0;
                base_.marked = note ? note->marked : 0;
            }
            lost_with_predecessor_ = base_.lost_with_memory - std::min(known, base_.lost_with_memory);
            ++base_.starts;
            host_.run_id = base_.run();
            progress_told_ = base_.progress;
            capture_->go_on_from(base_.place, base_.overflow);
        }
    }
    encoder_ = encode::EventEncoder(host_, base_.sequence);
}

Checkpoint Pipeline::checkpoint() const {
    Checkpoint checkpoint = base_;
    checkpoint.place = capture_->place();
    checkpoint.overflow = capture_->overflow_position();
    checkpoint.sequence = encoder_.last_sequence();
    checkpoint.progress = progress_told_;
    checkpoint.kept = checkpoint.marked = checkpoint.messages();
    return checkpoint;
}

// The checkpoint for the kernel, with what the sink has of it by now.
Checkpoint Pipeline::note() {
    Checkpoint note = checkpoint();
    if (!sink_.kept) return note;
    const Sink::Kept kept = sink_.kept();
    if (kept.mark && kept.mark->run() == base_.run()) {
        base_.marked = kept.mark->messages();
        base_.kept = std::max(base_.kept, base_.marked);
    }
    if (kept.all) base_.kept = note.messages();
    note.kept = base_.kept;
    note.marked = base_.marked;
    return note;
}

void Pipeline::keep() {
    const Checkpoint checkpoint = this->checkpoint();
    is_kept_ = sink_.keep(checkpoint);
    if (is_kept_ || capture_->is_short_of_room())
        capture_->release(checkpoint.place, checkpoint.overflow, note().as_bytes());
}

bool Pipeline::give_up(uint64_t messages) {
    if (!is_kept_ && capture_->is_pinned()) return false;
    base_.lost_with_memory += messages;
    capture_->release(capture_->place(), capture_->overflow_position(), note().as_bytes());
    return true;
}

// Names come late where a pod is new. The record stays in the ring meanwhile, and what is behind it, too:
// nobody has to remember it, and the order stays. Each event waits for context.wait_ms at most, however many
// are in front of it, as its age counts; and none where the ring fills up.
bool Pipeline::is_to_wait(const tcptrail_record& record) const {
    if (!may_wait_ || !record.ended_ns || !context_.may_come(0)) return false;
    const uint64_t now = boot_nanos();
    return context_.may_come(now - std::min<uint64_t>(now, record.ended_ns)) && !capture_->is_filling();
}

bool Pipeline::process(const tcptrail_record& record) {
    const connections::Connection connection = connections::connection_of(record, kernel_, boot_to_unix_);
    const context::Identity identity = context_.find(connection);
    if (is_to_wait(record)) return false;
    if (connection.kind == connections::Kind::progress) ++progress_told_;
    tally_.add(connection, record.ended_ns);
    if (sink_.told) sink_.told(connection, identity);
    if (sink_.event) {
        sink_.event(encoder_.encode(connection, identity, unix_nanos()));
        return true;
    }
    Message& message = encoder_.encode_message(connection, identity, unix_nanos());
    // Of one that was adopted an earlier agent may have told, who knows when.
    message.earlier_ns = connection.told_before ? std::max<uint64_t>(connection.birth_ns, 1) : 0;
    sink_.message(message);
    return true;
}

Result<Pipeline::Drained> Pipeline::drain(std::chrono::nanoseconds longest) {
    const uint64_t until = monotonic_nanos() + static_cast<uint64_t>(longest.count());
    uint64_t since = 0;
    PriorityBoost boost;
    for (;;) {
        if (capture_->is_filling())
            boost.raise(capture_->has_overflowed() ? priority_boost_
                                                   : priority_boost_ / filling_boost_divisor);
        boot_to_unix_ = boot_to_unix_offset();
        context_.refresh();
        const auto drained = capture_->drain(records_at_once);
        if (!drained) return std::unexpected(drained.error());
        since += *drained;
        const bool is_empty = *drained == 0, is_last = is_empty || monotonic_nanos() >= until;
        if (since >= records_between_keeps || (is_last && (since > 0 || !is_kept_))) {
            keep();
            since = 0;
        }
        if (is_last) return !is_empty ? Drained::more : capture_->is_held() ? Drained::held : Drained::all;
    }
}

Result<> Pipeline::sweep() {
    return capture_->sweep();
}

Result<> Pipeline::progress(const std::function<bool()>& pause) {
    const uint64_t began = monotonic_nanos();
    const std::chrono::seconds interval(options_.progress_interval_secs);
    if (interval.count() == 0 || began < next_walk_ns_) return {};
    next_walk_ns_ =
        began +
        static_cast<uint64_t>(
            std::min<std::chrono::nanoseconds>(interval / walks_per_interval, longest_walk_interval).count());
    // What is in the ring already comes before what is open now.
    const auto drained = drain();
    if (!drained) return std::unexpected(drained.error());
    if (*drained != Drained::all) {
        next_walk_ns_ = 0;
        return {};
    }
    // What is found there cannot wait.
    return capture_->progress(
        interval,
        [this](const tcptrail_record& record) {
            const bool waited = std::exchange(may_wait_, false);
            process(record);
            may_wait_ = waited;
        },
        [&]() -> Result<bool> {
            keep();
            if (auto more = drain(); !more) return std::unexpected(std::move(more.error()));
            if (!pause()) return false;
            if (monotonic_nanos() - began < static_cast<uint64_t>(longest_walk.count())) return true;
            next_walk_ns_ = 0;  // the rest soon
            return false;
        });
}

Result<> Pipeline::stop() {
    may_wait_ = false;
    capture_->stop();
    for (;;) {
        const auto drained = drain(longest_last_drain);
        if (!drained) return std::unexpected(drained.error());
        if (*drained == Drained::all || capture_->is_pinned()) return {};
    }
}

Result<Account> Pipeline::account() const {
    const auto counts = capture_->counts();
    if (!counts) return std::unexpected(counts.error());
    Account account;
    account.seen = counts->seen() + counts->opened();
    account.told = encoder_.last_sequence() - progress_told_;
    account.ring_full = (*counts)[TCPTRAIL_LOST_RING_FULL] + (*counts)[TCPTRAIL_OPENED_LOST_RING_FULL];
    account.malformed = capture_->malformed.get();
    account.progress = progress_told_;
    // Saturating: counters that somebody removed from the pins begin anew, and must not make a monster of
    // this.
    const uint64_t gone = account.ring_full + capture_->received.get();
    account.in_ring = account.seen - std::min(account.seen, gone);
    return account;
}

std::string Pipeline::describe() const {
    const auto attached = std::ranges::count_if(capture_->hooks(), &capture::HookStatus::attached);
    std::string missing;
    for (const capture::MissingFact& fact : capture::missing_facts(capture_->hooks()))
        missing +=
            (missing.empty() ? "" : "; ") + fact.fact + (fact.why.empty() ? "" : " (" + fact.why + ")");
    return "tracing the TCP connections of this host with " + std::to_string(attached) + " of " +
           std::to_string(capture_->hooks().size()) + " hooks; " +
           (missing.empty() ? "nothing is missing" : "missing: " + missing) +
           (capture_->smaller().empty() ? "" : "; " + capture_->smaller()) +
           (capture_->not_taken_over().empty()
                ? ""
                : "; what is open is told without its past, as that could not be "
                  "taken over (" +
                      capture_->not_taken_over() + ")") +
           (capture_->pin_problem().empty()
                ? ""
                : "; tracing ends with this process (capture.pin: " + capture_->pin_problem() + ")");
}

}  // namespace tcptrail
