// SPDX-License-Identifier: Apache-2.0
//
// Reads a BPF ring buffer without giving up what was read: the space is released later, once the records are
// kept elsewhere. libbpf's own reader releases each record as soon as its callback returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::capture {

// One reader per ring. Positions count bytes since the ring was made; they only grow.
class Ring {
public:
    // `map`: a map of type BPF_MAP_TYPE_RINGBUF; its descriptor is kept open. Reading begins where the last
    // reader released.
    static Result<std::unique_ptr<Ring>> open(Fd map);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    // The next record that was submitted; what was discarded is passed over. Nothing where there is none, or
    // where the next one is still being written. Valid until it is released.
    std::optional<std::span<const std::byte>> next();
    // Whether all that was reserved so far has been read.
    bool at_end() const;

    // Behind the record that was read last.
    uint64_t position() const { return position_; }
    uint64_t released() const;
    // To go on from a place that an earlier reader had come to. Places that the ring does not hold are moved
    // to the nearest that it does.
    void seek(uint64_t position);
    // Makes room up to `position`, one that was read.
    void release(uint64_t position);

    // Not released: read or not.
    uint64_t used_bytes() const;
    // How many records are not read: some of them may be discarded yet. Looks at each.
    uint64_t unread_at_most() const;
    uint64_t bytes() const { return bytes_; }
    uint32_t id() const { return id_; }  // the map's: no two of one boot are the same
    int fd() const { return map_.get(); }

private:
    Ring() = default;
    uint64_t produced() const;
    uint64_t beyond() const;  // bytes that are mapped of the data's second copy
    const std::byte* header_at(uint64_t position) const;

    Fd map_;
    uint32_t id_ = 0;
    uint64_t bytes_ = 0;
    uint64_t page_ = 0;
    std::byte* consumer_ = nullptr;  // one page: the position that is released
    // One page: the position that is reserved; then the data, and its beginning again.
    const std::byte* producer_ = nullptr;
    uint64_t position_ = 0;
};

}  // namespace tcptrail::capture
