// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "agent/capture/decode.h"
#include "agent/capture/programs.h"

namespace tcptrail::capture {

void Capture::RingFree::operator()(ring_buffer* ring) const {
    ring_buffer__free(ring);
}

Capture::Capture(const Options& options, Consumer consumer)
    : options_(options), consumer_(std::move(consumer)) {}
Capture::~Capture() = default;

Result<std::unique_ptr<Capture>> Capture::start(const Options& options, Consumer consumer) {
    std::unique_ptr<Capture> capture(new Capture(options, std::move(consumer)));
    auto programs = Programs::load(options);
    if (!programs) return std::unexpected(std::move(programs.error()));
    capture->programs_ = std::move(*programs);
    capture->ring_.reset(ring_buffer__new(capture->programs_->ring_fd(), on_record, capture.get(), nullptr));
    if (!capture->ring_) return fail_errno("the ring cannot be mapped", errno);
    if (auto scanned = capture->programs_->scan(); !scanned)
        return std::unexpected(std::move(scanned.error()));
    return capture;
}

int Capture::on_record(void* self, void* data, size_t size) {
    auto* capture = static_cast<Capture*>(self);
    capture->received.add();
    const auto record = decode({static_cast<const std::byte*>(data), size});
    if (record)
        capture->consumer_(**record);
    else
        capture->malformed.add();
    return 0;
}

int Capture::wake_fd() const {
    return ring_buffer__epoll_fd(ring_.get());
}

Result<uint64_t> Capture::drain() {
    const uint64_t before = received.get();
    const int error = ring_buffer__consume(ring_.get());
    if (error < 0) return fail_errno("reading the ring", -error);
    return received.get() - before;
}

void Capture::stop() {
    programs_->detach();
    // A run that had begun on another CPU may still submit: it takes microseconds, and cannot be preempted
    // long.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

Result<> Capture::sweep(const OpenConsumer& consumer, const BetweenReads& between) {
    if (!consumer) return programs_->sweep(nullptr, between);
    return programs_->sweep(
        [&](std::span<const std::byte> element) {
            tcptrail_open open;
            std::memcpy(&open, element.data(), sizeof open);
            consumer(open);
        },
        between);
}

Result<> Capture::progress(std::chrono::nanoseconds untold, const Consumer& consumer,
                           const BetweenReads& between) {
    return programs_->walk_connections(
        static_cast<uint64_t>(untold.count()),
        [&](std::span<const std::byte> element) {
            walked.add();
            if (const auto record = decode(element))
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
