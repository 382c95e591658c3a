// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/handover.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "agent/base/clock.h"
#include "agent/capture/births.h"
#include "bpf/abi/bind.h"
#include "bpf/abi/config.h"
#include "bpf/abi/control.h"
#include "bpf/abi/counters.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/untold.h"
#include "bpf/abi/walk.h"
#include "tcp.skel.h"

namespace tcptrail::capture {

namespace {

constexpr uint32_t the_only_key = 0;

// What outlives an agent besides the layout: all but scratch.
using Maps = decltype(tcptrail_bpf::maps);
struct Kept {
    const char* name;
    bpf_map* Maps::* map;
    bool layout_matters;  // its values are what a layout describes
};
constexpr Kept kept[] = {
    {"ring", &Maps::ring, true},
    {"overflow", &Maps::overflow, true},
    {"slots", &Maps::slots, true},
    {"connections", &Maps::connections, true},
    {"details", &Maps::details, true},
    {"listeners", &Maps::listeners, true},
    {"failed_attempts", &Maps::failed_attempts, false},
    {"bind_failures", &Maps::bind_failures, false},
    {"counters", &Maps::counters, false},
    {"untold", &Maps::untold, false},
};

std::optional<bpf_map_info> info_of(int map) {
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (map < 0 || bpf_obj_get_info_by_fd(map, &info, &length) != 0) return std::nullopt;
    return info;
}

bool is_same_map(int a, int b) {
    const auto one = info_of(a), other = info_of(b);
    return !one || !other || one->id == other->id;
}

void turn_on(tcptrail_control& control, uint32_t generation) {
    control.agent_pid = static_cast<uint32_t>(getpid());
    control.heartbeat_ns = monotonic_nanos();
    control.last_generation = generation;
    __atomic_store_n(&control.generation, generation, __ATOMIC_RELEASE);
}

std::string read_layout(int map) {
    const auto value = std::make_unique<tcptrail_layout>();
    if (map < 0 || bpf_map_lookup_elem(map, &the_only_key, value.get()) != 0) return {};
    return {value->text, strnlen(value->text, sizeof value->text)};
}

Result<> write_layout(int map, const std::string& text) {
    const auto value = std::make_unique<tcptrail_layout>();
    if (text.size() >= sizeof value->text) return fail("the layout of the records does not fit its map");
    text.copy(value->text, text.size());
    if (bpf_map_update_elem(map, &the_only_key, value.get(), BPF_ANY) != 0)
        return fail_errno("the map of the layout", errno);
    return {};
}

}  // namespace

Handover::Handover(Pins pins) : pins_(std::move(pins)) {
    if (tcptrail_bpf* object = tcptrail_bpf__open()) {
        own_layout_ = describe_layout(*bpf_object__btf(object->obj));
        tcptrail_bpf__destroy(object);
    }
}

Handover::~Handover() {
    if (control_) munmap(control_, sizeof *control_);
}

Result<std::unique_ptr<Handover>> Handover::begin(const Options& options) {
    auto pins = Pins::open(options.pin);
    if (!pins) return std::unexpected(std::move(pins.error()));
    std::unique_ptr<Handover> handover(new Handover(std::move(*pins)));
    if (auto found = handover->find_predecessor(); !found) return std::unexpected(std::move(found.error()));
    return handover;
}

Result<> Handover::find_predecessor() {
    const auto generations = pins_.generations();
    if (!generations.empty()) generation_ = generations.back() + 1;
    control_map_ = pins_.control();
    if (!control_map_.valid()) return {};
    void* mapped = mmap(nullptr, sizeof *control_, PROT_READ | PROT_WRITE, MAP_SHARED, control_map_.get(), 0);
    if (mapped == MAP_FAILED) return fail_errno("the control map of the agent before", errno);
    control_ = static_cast<tcptrail_control*>(mapped);
    generation_ = std::max(generation_, control_->last_generation + 1);
    if (std::ranges::find(generations, control_->last_generation) != generations.end())
        predecessor_ = control_->last_generation;
    old_layout_ = read_layout(pins_.map(predecessor_, "layout").get());
    find_interruption();
    // From here on it is known who has it, and that somebody lives.
    control_->agent_pid = static_cast<uint32_t>(getpid());
    control_->heartbeat_ns = monotonic_nanos();
    return {};
}

void Handover::find_interruption() {
    if (!predecessor_) return;
    const uint64_t silent_ns = monotonic_nanos() - control_->heartbeat_ns;
    const bool is_abandoned = control_->generation == 0 && silent_ns > control_->abandon_after_ns;
    if (is_abandoned)
        interruption_ = {control_->heartbeat_ns + control_->abandon_after_ns,
                         "the programs had heard of no agent for " +
                             std::to_string(control_->abandon_after_ns / 1'000'000'000) +
                             " s (capture.abandon_after_secs) and had switched themselves off"};
    else if (!pins_.is_complete(predecessor_))
        interruption_ = {control_->heartbeat_ns, "another program had removed the links from " +
                                                     pins_.directory() + " (look for what cleans up there)"};
    else if (control_->generation != predecessor_)
        interruption_ = {control_->heartbeat_ns,
                         "another program had written to the control map (look for others with CAP_BPF)"};
    if (interruption_)
        interruption_->reason += ": connections between the agent before and this one are missing";
}

std::vector<OldMap> Handover::old_maps(const char* name) const {
    auto generations = pins_.generations();
    if (const auto last = std::ranges::find(generations, predecessor_); last != generations.end())
        std::rotate(last, last + 1, generations.end());
    std::vector<OldMap> maps;
    std::set<uint32_t> known;
    for (const uint32_t generation : generations) {
        Fd map = pins_.map(generation, name);
        const auto info = info_of(map.get());
        if (!info) continue;
        const std::string layout = read_layout(pins_.map(generation, "layout").get());
        std::optional<RecordTranslations> records;
        if (layout != own_layout_) {
            auto whole = Translation::make("tcptrail_record", layout, own_layout_);
            auto lean = Translation::make("tcptrail_lean", layout, own_layout_);
            if (!whole || !lean) continue;  // nobody can read it
            records = {std::move(*whole), std::move(*lean)};
        }
        // Of several generations with one map, the last that has it stands for it.
        if (!known.insert(info->id).second)
            std::erase_if(maps, [&](const OldMap& old) { return info_of(old.map.get())->id == info->id; });
        maps.push_back({generation, std::move(map), std::move(records)});
    }
    return maps;
}

Result<> Handover::take_maps(tcptrail_bpf& object) {
    object.rodata->config.generation = generation_;
    if (control_map_.valid())
        if (const int error = bpf_map__reuse_fd(object.maps.data_control, control_map_.get()))
            return fail_errno("the control map of the agent before", -error);
    if (!predecessor_) return {};
    const bool same = old_layout_ == own_layout_;
    for (const Kept& one : kept)
        if (same || !one.layout_matters)
            if (auto taken = take_map(object.maps.*one.map, one.name); !taken) return taken;
    return {};
}

// Takes it if it is what ours would be.
Result<> Handover::take_map(bpf_map* map, const char* name) {
    const Fd old = pins_.map(predecessor_, name);
    const auto info = info_of(old.get());
    if (!info || info->type != static_cast<uint32_t>(bpf_map__type(map)) ||
        info->key_size != bpf_map__key_size(map) || info->value_size != bpf_map__value_size(map) ||
        info->max_entries != bpf_map__max_entries(map))
        return {};
    if (const int error = bpf_map__reuse_fd(map, old.get()))
        return fail_errno(std::string("the map ") + name + " of the agent before", -error);
    return {};
}

Result<> Handover::pin_all(tcptrail_bpf& object, const std::vector<PinnedLink>& links) {
    if (auto made = pins_.make_generation(generation_); !made) return made;
    if (auto written = write_layout(bpf_map__fd(object.maps.layout), own_layout_); !written) return written;
    Result<> pinned;
    const int control = bpf_map__fd(object.maps.data_control);
    if (!control_map_.valid()) pinned = pins_.pin_control(control);
    remember(Pins::control_name(), control);
    const auto pin = [&](const char* name, const bpf_map* map) {
        if (pinned) pinned = pins_.pin_map(generation_, name, bpf_map__fd(map));
        remember(Pins::map_name(generation_, name), bpf_map__fd(map));
    };
    for (const Kept& one : kept)
        pin(one.name, object.maps.*one.map);
    pin("layout", object.maps.layout);
    for (const PinnedLink& link : links) {
        if (pinned) pinned = pins_.pin_link(generation_, link.name, bpf_link__fd(link.link));
        remember(Pins::link_name(generation_, link.name), bpf_link__fd(link.link));
    }
    return pinned;
}

void Handover::remember(std::string name, int fd) {
    const uint64_t inode = pins_.inode_of(name);
    own_pins_.push_back({std::move(name), fd, inode});
}

Result<size_t> Handover::restore_pins() {
    size_t restored = 0;
    for (OwnPin& pin : own_pins_) {
        const uint64_t inode = pins_.inode_of(pin.name);
        if (inode != 0 && inode == pin.inode) continue;
        if (auto pinned = pins_.pin_again(pin.name, pin.fd); !pinned)
            return std::unexpected(std::move(pinned.error()));
        pin.inode = pins_.inode_of(pin.name);
        ++restored;
    }
    return restored;
}

Handover::OwnPin* Handover::pin_of_link(const std::string& program) {
    const auto pin = std::ranges::find(own_pins_, Pins::link_name(generation_, program), &OwnPin::name);
    return pin == own_pins_.end() ? nullptr : &*pin;
}

bpf_link* Handover::open_link(const std::string& program) {
    const OwnPin* pin = pin_of_link(program);
    errno = ENOENT;
    if (!pin || pin->inode == 0 || pins_.inode_of(pin->name) != pin->inode) return nullptr;
    return bpf_link__open((pins_.directory() + "/" + pin->name).c_str());
}

// Pinned anew where the link itself is another one: restore_pins() compares.
void Handover::replace_link(const std::string& program, int fd) {
    if (OwnPin* pin = pin_of_link(program)) pin->fd = fd;
}

Result<> Handover::switch_over(tcptrail_bpf& object, const std::vector<PinnedLink>& links) {
    Result<> done = pin_all(object, links);
    if (!done) {
        pins_.remove_generation(generation_);
        own_pins_.clear();
    }
    bool switched = false;
    const auto now = [&] {
        switched = true;
        turn_on(object.data_control->control, generation_);
    };
    // Where it fails the scan finds the sockets, without their past: no reason not to trace.
    if (auto taken = take_over_maps(object, now); !taken) not_taken_over_ = std::move(taken.error().message);
    if (!switched) now();
    // What is left of the others are records that nobody has read yet.
    for (const uint32_t generation : pins_.generations()) {
        if (generation == generation_) continue;
        pins_.remove_links(generation);
        if (!is_left(generation, "ring", object.maps.ring) &&
            !is_left(generation, "overflow", object.maps.overflow))
            pins_.remove_generation(generation);
    }
    return done;
}

// Whether that generation has a map of its own under this name.
bool Handover::is_left(uint32_t generation, const char* name, const bpf_map* own) const {
    const Fd old = pins_.map(generation, name);
    return !is_same_map(old.get(), bpf_map__fd(own));
}

// The values of one are of this structure.
Result<> Handover::take_over_map(const char* name, const bpf_map* own, const char* structure,
                                 Result<> (*copy)(int, int, const Translation&)) {
    const Fd old = pins_.map(predecessor_, name);
    if (is_same_map(old.get(), bpf_map__fd(own))) return {};
    const auto translation = Translation::make(structure, old_layout_, own_layout_);
    if (!translation) return std::unexpected(translation.error());
    return copy(old.get(), bpf_map__fd(own), *translation);
}

// What is in maps that ours do not continue. A layout that cannot be read costs what is in them: the scan
// finds the sockets again, without their past.
Result<> Handover::take_over_maps(tcptrail_bpf& object, const std::function<void()>& switch_over) {
    if (!predecessor_) return {};
    const Fd connections = pins_.map(predecessor_, "connections");
    const int own_connections = bpf_map__fd(object.maps.connections);
    Result<> done =
        take_over_map("listeners", object.maps.listeners, "tcptrail_listener", take_over_listeners);
    if (auto taken = take_over_map("details", object.maps.details, "tcptrail_details", take_over_details);
        !taken)
        done = taken;
    if (is_same_map(connections.get(), own_connections)) return done;
    auto birth = Translation::make("tcptrail_birth", old_layout_, own_layout_);
    if (!birth) return std::unexpected(std::move(birth.error()));
    const auto own_slots = Slots::open(bpf_map__fd(object.maps.slots));
    if (!own_slots) return std::unexpected(own_slots.error());
    const Fd slots = pins_.map(predecessor_, "slots");
    std::optional<Translation> slot;
    if (slots.valid() && !is_same_map(slots.get(), bpf_map__fd(object.maps.slots)))
        if (auto made = Translation::make("tcptrail_slot", old_layout_, own_layout_)) slot = std::move(*made);
    auto taken = take_over_births({connections.get(), std::move(*birth), slots.get(), std::move(slot)},
                                  own_connections, *own_slots, switch_over);
    // Those that came meanwhile: of births that were copied the second time.
    if (auto again = take_over_map("details", object.maps.details, "tcptrail_details", take_over_details);
        taken && !again)
        taken = again;
    return taken ? done : taken;
}

}  // namespace tcptrail::capture
