// SPDX-License-Identifier: Apache-2.0
//
// From the programs of the agent before to ours, without a gap and without telling anything twice: our
// programs take over its maps, are attached beside the ones that still trace, and are switched on as those
// are switched off, by one word that both look at. README.md tells the order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/capture/layout.h"
#include "agent/capture/options.h"
#include "agent/capture/pins.h"

struct tcptrail_bpf;
struct tcptrail_control;
struct bpf_link;
struct bpf_map;

namespace tcptrail::capture {

// A map with records that another agent's programs have written to, or still do.
struct OldMap {
    uint32_t generation;
    Fd map;
    std::optional<RecordTranslations> records;  // where the layout is another one
};

// Belongs to the capture thread.
class Handover {
public:
    // Takes the lock of options.pin. Fails where another agent has it (ExitCode::unavailable), and with any
    // other status where nothing can be pinned.
    static Result<std::unique_ptr<Handover>> begin(const Options& options);
    ~Handover();
    Handover(const Handover&) = delete;
    Handover& operator=(const Handover&) = delete;

    // Whether somebody traced before: what that one left is ours.
    bool has_predecessor() const { return predecessor_ != 0; }
    // Whether its programs tell this, by the name of the program.
    bool predecessor_has(const std::string& program) const { return pins_.has_link(predecessor_, program); }
    // Since when (CLOCK_MONOTONIC) its programs do not trace any more, though nobody detached them, and why.
    struct Interruption {
        uint64_t from_ns;
        std::string reason;
    };
    const std::optional<Interruption>& interruption() const { return interruption_; }
    // What it shared with its programs. It goes on to be shared with ours. has_predecessor() only.
    tcptrail_control& control() { return *control_; }
    // Each once, oldest first; the predecessor's is the last. Its programs write to it until switch_over().
    std::vector<OldMap> old_rings() const { return old_maps("ring"); }
    std::vector<OldMap> old_overflows() const { return old_maps("overflow"); }

    // Between opening and loading: gives the object the generation, and the maps of the agent before as far
    // as they have the layout and the size that ours would have.
    Result<> take_maps(tcptrail_bpf& object);
    // When the programs are attached: pins what is to outlive us, takes over what is in maps of another
    // layout, and switches. On an error we trace all the same, but end with ourselves.
    struct PinnedLink {
        std::string name;
        bpf_link* link;
    };
    Result<> switch_over(tcptrail_bpf& object, const std::vector<PinnedLink>& links);
    // Why switch_over() could not take over all that the agent before knew of what is open; empty: it could.
    const std::string& not_taken_over() const { return not_taken_over_; }

    // What was pinned by switch_over() and is no longer there, or is another's, is pinned again. Returns how
    // many. An error is told at each call, until nothing is missing.
    Result<size_t> restore_pins();
    size_t pinned() const { return own_pins_.size(); }
    // The link that is pinned for a program, if it is ours; else null, with errno.
    bpf_link* open_link(const std::string& program);
    // The descriptor of a program's link is another one by now.
    void replace_link(const std::string& program, int fd);

    // When the ring of an earlier generation is empty, and what was in it is kept.
    void forget(uint32_t generation) const { pins_.remove_generation(generation); }

private:
    explicit Handover(Pins pins);
    Result<> find_predecessor();
    std::vector<OldMap> old_maps(const char* name) const;
    bool is_left(uint32_t generation, const char* name, const bpf_map* own) const;
    Result<> take_map(bpf_map* map, const char* name);
    struct OwnPin {
        std::string name;  // relative to the directory
        int fd;            // the object's or the link's
        uint64_t inode;
    };
    void find_interruption();
    void remember(std::string name, int fd);
    OwnPin* pin_of_link(const std::string& program);  // null: it is not pinned
    Result<> pin_all(tcptrail_bpf& object, const std::vector<PinnedLink>& links);
    Result<> take_over_map(const char* name, const bpf_map* own, const char* structure,
                           Result<> (*copy)(int, int, const Translation&));
    Result<> take_over_maps(tcptrail_bpf& object, const std::function<void()>& switch_over);

    Pins pins_;
    std::string own_layout_, old_layout_;
    Fd control_map_;  // not valid: nobody was here before
    tcptrail_control* control_ = nullptr;
    uint32_t predecessor_ = 0;  // the generation that traces, or did last; 0: none
    uint32_t generation_ = 1;
    std::optional<Interruption> interruption_;
    std::vector<OwnPin> own_pins_;  // in the order of pinning
    std::string not_taken_over_;
};

}  // namespace tcptrail::capture
