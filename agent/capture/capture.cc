// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/capture.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "agent/base/clock.h"
#include "agent/capture/decode.h"
#include "agent/capture/handover.h"
#include "agent/capture/memory_limit.h"
#include "agent/capture/programs.h"
#include "bpf/abi/control.h"
#include "bpf/abi/lean.h"

namespace tcptrail::capture {

Capture::Capture(const Options& options, Consumer consumer)
    : options_(options), consumer_(std::move(consumer)) {
    if (const auto limit = memory_limit()) smaller_ = fit_into_memory(options_, *limit);
}
Capture::~Capture() = default;

Result<std::unique_ptr<Capture>> Capture::open(const Options& options, Consumer consumer) {
    std::unique_ptr<Capture> capture(new Capture(options, std::move(consumer)));
    if (options.pin.empty()) return capture;
    auto handover = Handover::begin(capture->options_);
    if (!handover) {
        if (handover.error().code == ExitCode::unavailable)
            return std::unexpected(std::move(handover.error()));
        // We trace all the same, as long as we live.
        capture->pin_problem_ = std::move(handover.error().message);
        return capture;
    }
    capture->handover_ = std::move(*handover);
    if (!capture->handover_->has_predecessor()) return capture;
    const tcptrail_control& control = capture->handover_->control();
    const auto* note = reinterpret_cast<const std::byte*>(control.notes[control.note & 1]);
    capture->predecessor_ = Predecessor{{control.run_id, strnlen(control.run_id, sizeof control.run_id)},
                                        {note, note + TCPTRAIL_NOTE_LEN},
                                        capture->handover_->predecessor_has("tcp_retransmit_skb") ||
                                            capture->handover_->predecessor_has("tcp_retransmit_skb_err")};
    if (auto opened = capture->open_old_rings(); !opened) return std::unexpected(std::move(opened.error()));
    if (auto opened = capture->open_old_overflows(); !opened)
        return std::unexpected(std::move(opened.error()));
    return capture;
}

Result<> Capture::attach() {
    auto programs = Programs::load(options_, Purpose::trace, handover_.get());
    if (!programs) return std::unexpected(std::move(programs.error()));
    programs_ = std::move(*programs);
    beat_ns_ = monotonic_nanos();
    if (handover_ && handover_->interruption())
        add_gap(handover_->interruption()->from_ns, beat_ns_, handover_->interruption()->reason);
    if (pin_problem_.empty()) pin_problem_ = programs_->pin_problem();
    if (auto opened = open_own_ring(); !opened) return opened;
    if (auto opened = open_own_overflow(); !opened) return opened;
    // Births whose end was seen by nobody make room for sockets at the same addresses.
    return predecessor_ ? adopt() : programs_->adopt();
}

Result<std::unique_ptr<Capture>> Capture::start(const Options& options, Consumer consumer) {
    auto capture = open(options, std::move(consumer));
    if (!capture) return capture;
    if (auto attached = (*capture)->attach(); !attached) return std::unexpected(std::move(attached.error()));
    return capture;
}

Result<> Capture::open_old_rings() {
    for (OldMap& old : handover_->old_rings()) {
        auto ring = Ring::open(std::move(old.map));
        if (!ring) return std::unexpected(std::move(ring.error()).within("the agent before"));
        sources_.push_back({std::move(*ring), std::move(old.records), old.generation});
    }
    return {};
}

// The predecessor's goes on as ours, where it has our layout.
Result<> Capture::open_own_ring() {
    auto ring = Ring::open(Fd(dup(programs_->ring_fd())));
    if (!ring) return std::unexpected(std::move(ring.error()));
    if (!sources_.empty() && sources_.back().ring->id() == (*ring)->id())
        sources_.back().generation = 0;
    else
        sources_.push_back({std::move(*ring), std::nullopt, 0});
    return {};
}

// One sequence of places for all: the words that count them outlive the programs.
Result<> Capture::open_old_overflows() {
    overflow_.emplace(handover_->control());
    for (OldMap& old : handover_->old_overflows()) {
        old_overflows_.push_back(old.generation);
        if (auto added = overflow_->add(std::move(old.map), std::move(old.records)); !added) return added;
    }
    return {};
}

Result<> Capture::open_own_overflow() {
    if (!overflow_) overflow_.emplace(programs_->control());
    return overflow_->add(Fd(dup(programs_->overflow_fd())), std::nullopt);
}

tcptrail_control& Capture::control() {
    return programs_ ? programs_->control() : handover_->control();
}

bool Capture::is_pinned() const {
    return programs_->is_pinned();
}

std::string Capture::not_taken_over() const {
    return handover_ ? handover_->not_taken_over() : std::string();
}

void Capture::set_run_id(const std::string& run_id) {
    run_id_ = run_id;
    char(&to)[TCPTRAIL_RUN_ID_LEN] = control().run_id;
    std::fill(std::begin(to), std::end(to), '\0');
    run_id.copy(to, sizeof to - 1);
}

void Capture::go_on_from(const Place& place, uint64_t overflow) {
    received.set(place.received);
    malformed.set(place.malformed);
    walked.set(place.walked);
    walked_malformed.set(place.walked_malformed);
    overflow_->seek(overflow);
    const auto there = std::ranges::find(sources_, place.ring, [](const Source& s) { return s.ring->id(); });
    if (there == sources_.end()) return;  // it was read to its end, and is gone
    reading_ = static_cast<size_t>(there - sources_.begin());
    there->ring->seek(place.position);
}

int Capture::wake_fd() const {
    return own_ring().fd();
}

namespace {

template <class Record>
std::span<const std::byte> translate(std::span<const std::byte> bytes, const Translation& translation,
                                     Record& record) {
    const auto ours = std::as_writable_bytes(std::span(&record, 1));
    translation.apply(bytes, ours);
    record.version = TCPTRAIL_RECORD_VERSION;
    record.size = sizeof record;
    return ours;
}

}  // namespace

bool Capture::deliver(std::span<const std::byte> bytes,
                      const std::optional<RecordTranslations>& translations) {
    tcptrail_record whole, room;
    tcptrail_lean lean;
    if (translations && bytes.size() == translations->whole.from_bytes())
        bytes = translate(bytes, translations->whole, whole);
    else if (translations && bytes.size() == translations->lean.from_bytes())
        bytes = translate(bytes, translations->lean, lean);
    const auto record = decode(bytes, room);
    if (!record)
        malformed.add();
    else if (!consumer_(**record))
        return false;
    received.add();
    return true;
}

// The rings in their order, each to its end, and then what the last one had no room for.
bool Capture::deliver_next() {
    is_held_ = false;
    while (true) {
        const Source& source = sources_[reading_];
        const uint64_t before = source.ring->position();
        if (const auto bytes = source.ring->next()) {
            is_held_ = !deliver(*bytes, source.translations);
            if (is_held_) source.ring->seek(before);
            return !is_held_;
        }
        if (!source.ring->at_end()) return false;
        if (reading_ + 1 < sources_.size()) {
            ++reading_;
        } else if (const uint64_t place = overflow_->position(); const auto record = overflow_->next()) {
            is_held_ = !deliver(record->bytes, record->translations);
            if (is_held_) overflow_->seek(place);
            return !is_held_;
        } else if (!overflow_->look()) {
            return false;
        }
    }
}

Result<uint64_t> Capture::drain(uint64_t most) {
    uint64_t taken = 0;
    while (taken < most && !sources_.empty() && deliver_next())
        ++taken;
    if (taken == 0 && overflow_->error())
        return fail_errno("what the ring had no room for cannot be read", overflow_->error());
    return taken;
}

Place Capture::place() const {
    const Ring& ring = *sources_[reading_].ring;
    return {ring.position(),       ring.id(), 0, received.get(), malformed.get(), walked.get(),
            walked_malformed.get()};
}

void Capture::release(const Place& place, uint64_t overflow, std::span<const std::byte> note) {
    // The note first: whoever is killed in between has it, and reads again what it covers.
    tcptrail_control& control = this->control();
    const uint32_t next = (control.note + 1) & 1;
    std::memcpy(control.notes[next], note.data(), std::min<size_t>(note.size(), TCPTRAIL_NOTE_LEN));
    __atomic_store_n(&control.note, next, __ATOMIC_RELEASE);
    const auto there = std::ranges::find(sources_, place.ring, [](const Source& s) { return s.ring->id(); });
    if (there == sources_.end()) return;
    there->ring->release(place.position);
    overflow_->release(overflow);
    // All before it are empty, and nobody writes to them. What overflowed may still lie in their maps.
    if (overflow_->used() != 0) return;
    for (auto source = sources_.begin(); source != there; ++source)
        handover_->forget(source->generation);
    reading_ -= static_cast<size_t>(there - sources_.begin());
    sources_.erase(sources_.begin(), there);
    if (programs_) forget_old_overflows();
}

// When they are empty. Those of a generation whose ring is not read yet go with that.
void Capture::forget_old_overflows() {
    for (const uint32_t generation : std::exchange(old_overflows_, {}))
        if (std::ranges::find(sources_, generation, &Source::generation) == sources_.end())
            handover_->forget(generation);
    overflow_->forget_old_maps();
}

uint64_t Capture::ring_used_bytes() const {
    return own_ring().used_bytes();
}

// The memory cgroup may have no room beyond the ring, however much is allowed there.
bool Capture::is_short_of_room() {
    if (!options_.overflow_records) return ring_used_bytes() > ring_bytes() / 2;
    if (overflow_->used() > options_.overflow_records / 2) return true;
    if (!programs_) return false;
    const auto counts = this->counts();
    if (!counts) return false;
    const uint64_t lost = (*counts)[TCPTRAIL_LOST_RING_FULL] + (*counts)[TCPTRAIL_OPENED_LOST_RING_FULL];
    return lost > std::exchange(lost_before_, lost);
}

uint64_t Capture::unread_at_most() const {
    uint64_t records = overflow_->unread_at_most();
    for (const Source& source : sources_)
        records += source.ring->unread_at_most();
    return records;
}

void Capture::stop() {
    if (is_pinned()) return;
    programs_->detach();
    // A run that had begun on another CPU may still submit: it takes microseconds, and cannot be preempted
    // long.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

Result<> Capture::sweep(const OpenConsumer& consumer) {
    if (!consumer) return programs_->sweep(nullptr);
    return programs_->sweep([&](std::span<const std::byte> element) {
        tcptrail_open open;
        std::memcpy(&open, element.data(), sizeof open);
        consumer(open);
    });
}

Result<> Capture::progress(std::chrono::nanoseconds untold, const WalkConsumer& consumer,
                           const BetweenReads& between) {
    return programs_->walk_connections(
        static_cast<uint64_t>(untold.count()),
        [&](std::span<const std::byte> element) {
            walked.add();
            tcptrail_record room;
            if (const auto record = decode(element, room))
                consumer(**record);
            else
                walked_malformed.add();
        },
        between);
}

Result<> Capture::listeners(const ListenerConsumer& consumer) {
    return programs_->walk_listeners([&](std::span<const std::byte> element) {
        if (const auto record = decode_listener(element)) consumer(**record);
    });
}

Result<std::vector<tcptrail_task_netns>> Capture::tasks() {
    return programs_->tasks();
}

Result<KernelCounts> Capture::counts() const {
    return read_counters(programs_->counters_fd());
}

Result<UntoldTotals> Capture::untold() const {
    return read_untold(programs_->untold_fd());
}

Result<std::vector<Capture::BindFailure>> Capture::bind_failures() const {
    std::vector<BindFailure> all;
    const int map = programs_->bind_failures_fd();
    const tcptrail_bind_key* previous = nullptr;
    BindFailure next{};
    while (bpf_map_get_next_key(map, previous, &next.key) == 0) {
        if (bpf_map_lookup_elem(map, &next.key, &next.failure) == 0) all.push_back(next);
        previous = &next.key;
    }
    if (errno != ENOENT) return fail_errno("the map of refused binds", errno);
    return all;
}

Capture::Runs Capture::runs() const {
    const Programs::Runs runs = programs_->runs();
    return {runs.recursion_misses, runs.run_time_ns};
}

uint32_t Capture::hz() const {
    return kernel_hz();
}
const std::vector<HookStatus>& Capture::hooks() const {
    return programs_->hooks();
}
const std::vector<std::string>& Capture::reset_reasons() const {
    return programs_->reset_reasons();
}

}  // namespace tcptrail::capture
