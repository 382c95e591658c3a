// SPDX-License-Identifier: Apache-2.0
//
// From the programs of the agent before to ours, without a gap and without telling anything twice: our
// programs take over its maps, are attached beside the ones that still trace, and are switched on as those
// are switched off, by one word that both look at. README.md tells the order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/capture/layout.h"
#include "agent/capture/options.h"
#include "agent/capture/pins.h"

struct tcptrail_bpf;
struct bpf_link;
struct bpf_map;

namespace tcptrail::capture {

// A ring that our programs do not write to any more, or never did.
struct OldRing {
    uint32_t generation;
    Fd map;
    Translation record;  // to ours
};

// Belongs to the capture thread.
class Handover {
public:
    // Takes the lock of options.pin. Fails where another agent has it (ExitCode::unavailable), and with any
    // other status where nothing can be pinned.
    static Result<std::unique_ptr<Handover>> begin(const Options& options);

    // Whether somebody traced before, and since when the births are: what it left is ours.
    bool has_predecessor() const { return predecessor_ != 0; }
    // That our programs are to be loaded with.
    uint32_t generation() const { return generation_; }

    // Between opening and loading: gives the object the maps of the agent before, as far as they have the
    // layout and the size that ours would have.
    Result<> take_maps(tcptrail_bpf& object);
    // When the programs are attached: pins what is to outlive us, takes over what is in maps of another
    // layout, and switches.
    struct PinnedLink {
        std::string name;
        bpf_link* link;
    };
    Result<> switch_over(tcptrail_bpf& object, const std::vector<PinnedLink>& links);

    // What is to be drained before our ring, oldest first. Once.
    std::vector<OldRing> take_old_rings() { return std::move(old_rings_); }
    // When a ring is empty, and what was in it is kept.
    void forget(uint32_t generation) const { pins_.remove_generation(generation); }

private:
    explicit Handover(Pins pins) : pins_(std::move(pins)) {}
    void find_predecessor();
    Result<> take_map(bpf_map* map, const char* name);
    Result<> pin_all(tcptrail_bpf& object, const std::vector<PinnedLink>& links);
    Result<> take_over_maps(tcptrail_bpf& object, const std::function<void()>& switch_over);
    void find_old_rings(int own_ring);

    Pins pins_;
    Fd control_;                // not valid: nobody was here before
    uint32_t predecessor_ = 0;  // the generation that traces, or did last; 0: none
    uint32_t generation_ = 1;
    std::string own_layout_, old_layout_;
    std::vector<OldRing> old_rings_;
};

}  // namespace tcptrail::capture
