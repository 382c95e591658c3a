// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/iterator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "agent/base/fd.h"

namespace tcptrail::capture {

namespace {

constexpr size_t buffer_bytes = 64 << 10;  // the kernel gives at most eight pages at a time

}  // namespace

Result<> run_iterator(bpf_link* link, const char* name, size_t element_size, const ElementConsumer& consumer,
                      const BetweenReads& between) {
    const Fd iterator(bpf_iter_create(bpf_link__fd(link)));
    if (!iterator.valid()) return fail_errno(std::string(name) + ": cannot run", errno);
    std::vector<std::byte> buffer(buffer_bytes);
    size_t filled = 0;
    while (true) {
        const ssize_t n = read(iterator.get(), buffer.data() + filled, buffer.size() - filled);
        if (n == 0) break;
        // EAGAIN: it has looked at many and written nothing.
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n < 0) return fail_errno(name, errno);
        filled += static_cast<size_t>(n);
        size_t used = 0;
        for (; filled - used >= element_size; used += element_size)
            consumer({buffer.data() + used, element_size});
        // What follows stays aligned at the buffer's beginning.
        std::copy(buffer.begin() + static_cast<ssize_t>(used), buffer.begin() + static_cast<ssize_t>(filled),
                  buffer.begin());
        filled -= used;
        if (!between) continue;
        const auto go_on = between();
        if (!go_on) return std::unexpected(go_on.error());
        if (!*go_on) return {};
    }
    if (filled) return fail(std::string(name) + ": ended within an element");
    return {};
}

Result<> run_iterator(bpf_link* link, const char* name) {
    return run_iterator(link, name, 1, [](std::span<const std::byte>) {});
}

}  // namespace tcptrail::capture
