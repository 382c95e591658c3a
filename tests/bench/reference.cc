// SPDX-License-Identifier: Apache-2.0
//
// The arms that tcptrail is measured beside (tests/bench/reference.bpf.c), until SIGINT or SIGTERM:
//
//     reference empty           programs that do nothing
//     reference emit NETNS      one record per end, taken every 50 ms; NETNS: inode of the network namespace
//     whose
//                               records are counted
//
// Prints "attached", and at the end one line of JSON. Shares no code with the agent.
#include <bpf/libbpf.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "reference.skel.h"
#include "tests/bench/reference.bpf.h"

namespace {

constexpr timespec drain_interval = {.tv_sec = 0, .tv_nsec = 50'000'000};

template <auto destroy>
struct Destroy {
    template <class T>
    void operator()(T* object) const {
        destroy(object);
    }
};

using Skeleton = std::unique_ptr<reference_bpf, Destroy<reference_bpf__destroy>>;
using Ring = std::unique_ptr<ring_buffer, Destroy<ring_buffer__free>>;

void check(int error, const char* what) {
    if (error < 0) throw std::system_error(-error, std::generic_category(), what);
}

// What was told in the namespace, and elsewhere.
struct Counts {
    uint32_t netns;
    uint64_t told = 0;
    uint64_t elsewhere = 0;
};

int count(void* context, void* data, size_t) {
    auto& counts = *static_cast<Counts*>(context);
    const auto& record = *static_cast<const reference_record*>(data);
    (record.netns == counts.netns ? counts.told : counts.elsewhere)++;
    return 0;
}

// Waits for an interval. False: a signal says that it is time to end.
bool wait_on(const sigset_t& signals) {
    return sigtimedwait(&signals, nullptr, &drain_interval) < 0;
}

int run(bool emits, uint32_t netns) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);

    const Skeleton skeleton(reference_bpf__open());
    if (!skeleton) throw std::system_error(errno, std::generic_category(), "open");
    bpf_program__set_autoload(skeleton->progs.emit, emits);
    bpf_program__set_autoload(skeleton->progs.empty_state, !emits);
    bpf_program__set_autoload(skeleton->progs.empty_destroy, !emits);
    check(reference_bpf__load(skeleton.get()), "load");
    Counts counts = {.netns = netns};
    const Ring ring(ring_buffer__new(bpf_map__fd(skeleton->maps.ring), count, &counts, nullptr));
    if (!ring) throw std::system_error(errno, std::generic_category(), "ring");
    check(reference_bpf__attach(skeleton.get()), "attach");
    std::puts("attached");
    std::fflush(stdout);

    while (wait_on(signals))
        check(ring_buffer__consume(ring.get()), "consume");
    reference_bpf__detach(skeleton.get());
    check(ring_buffer__consume(ring.get()), "consume");
    std::printf("{\"told\":%lu,\"elsewhere\":%lu,\"ring_full\":%lu}\n", counts.told, counts.elsewhere,
                static_cast<unsigned long>(skeleton->bss->ring_full));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string arm = argc > 1 ? argv[1] : "";
    if (!(arm == "empty" && argc == 2) && !(arm == "emit" && argc == 3)) {
        std::fputs("usage: reference empty | emit NETNS\n", stderr);
        return 2;
    }
    try {
        const bool emits = arm == "emit";
        return run(emits, emits ? static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)) : 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "reference: %s\n", error.what());
        return 1;
    }
}
