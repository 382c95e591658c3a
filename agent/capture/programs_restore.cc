// SPDX-License-Identifier: Apache-2.0
//
// What another program took away from ours is put back; and what the pins hold is left to them.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "agent/capture/programs.h"
#include "bpf/abi/config.h"
#include "bpf/abi/control.h"
#include "bpf/abi/walk.h"
#include "tcp.skel.h"

namespace tcptrail::capture {

namespace {

// Whether the link's descriptor still is a link of this program: descriptors can be closed behind our back.
bool is_attached(const bpf_link* link, const bpf_program* program) {
    bpf_link_info at{};
    bpf_prog_info info{};
    uint32_t length = sizeof at;
    if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &at, &length) != 0) return false;
    length = sizeof info;
    return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length) == 0 && at.prog_id == info.id;
}

bool is_trace_event(int fd) {
    std::array<char, 64> name{};
    const ssize_t length = readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), name.data(), name.size());
    return length > 0 &&
           std::string_view(name.data(), static_cast<size_t>(length)) == "anon_inode:[perf_event]";
}

}  // namespace

// libbpf would disable what a link is attached to, before it lets go of it; told not to, it closes nothing.
// The pins hold the links now: held here too, their programs would run beside those of the next agent in this
// process, until that ends.
void Programs::leave_links() {
    for (auto& [name, link] : links_) {
        if (!link) continue;
        const bool is_ours = is_attached(link.get(), bpf_object__find_program_by_name(object_->obj, name));
        const int fd = bpf_link__fd(link.get());
        bpf_link__disconnect(link.get());
        if (is_ours) close(fd);
    }
    for (const int event : trace_events_)
        if (is_trace_event(event)) close(event);
}

Result<size_t> Programs::restore_links() {
    size_t restored = 0;
    Result<> all;
    for (auto& [name, link] : links_) {
        const bool lost = lost_links_.contains(name);
        if (!lost && (!link || is_attached(link.get(), bpf_object__find_program_by_name(object_->obj, name))))
            continue;
        if (auto done = restore_link(name, link); !done) {
            // The next heartbeat tries again.
            lost_links_.insert(name);
            all = std::move(done);
            continue;
        }
        lost_links_.erase(name);
        ++restored;
    }
    if (restored == 0 && !all) return std::unexpected(std::move(all.error()));
    return restored;
}

Result<> Programs::restore_link(const char* program, Link& link) {
    if (link) bpf_link__disconnect(link.get());  // its descriptor may be another file's by now
    // While its pin is there it is attached: a second one beside it would tell everything twice.
    int error = handover_ ? keep(link, handover_->open_link(program)) : ENOENT;
    if (error) {
        const auto hook = std::ranges::find_if(hooks_, [&](const HookStatus& status) {
            return std::string_view(status.plan->program) == program;
        });
        error = hook == hooks_.end() ? ENOENT : attach_to_kernel(*hook, link);
    }
    if (error) return fail_errno(std::string("cannot attach again to ") + program, error);
    if (handover_) handover_->replace_link(program, bpf_link__fd(link.get()));
    return {};
}

size_t Programs::restore_pins() {
    if (!handover_ || handover_->pinned() == 0) return 0;
    const auto restored = handover_->restore_pins();
    pin_problem_ = restored ? std::string() : restored.error().message;
    return restored.value_or(0);
}

}  // namespace tcptrail::capture
