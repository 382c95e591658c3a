// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/decode.h"

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "agent/capture/lean.h"

namespace tcptrail::capture {

namespace {

constexpr uint64_t last_state = 12;  // TCP_NEW_SYN_RECV of include/net/tcp_states.h

// Refuses another size, alignment or version.
template <class Record>
Result<const Record*> frame(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(Record))
        return fail("a record of " + std::to_string(bytes.size()) + " bytes, not " +
                    std::to_string(sizeof(Record)));
    if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(Record) != 0) return fail("a misaligned record");
    const auto* record = reinterpret_cast<const Record*>(bytes.data());
    if (record->version != TCPTRAIL_RECORD_VERSION || record->size != sizeof(Record))
        return fail("a record of version " + std::to_string(record->version) + " and size " +
                    std::to_string(record->size));
    return record;
}

}  // namespace

Result<const tcptrail_record*> decode(std::span<const std::byte> bytes, tcptrail_record& room) {
    const tcptrail_record* record = &room;
    if (bytes.size() == sizeof(tcptrail_lean)) {
        const auto lean = frame<tcptrail_lean>(bytes);
        if (!lean) return std::unexpected(lean.error());
        expand(**lean, room);
    } else {
        const auto framed = frame<tcptrail_record>(bytes);
        if (!framed) return framed;
        record = *framed;
    }
    const tcptrail_birth& birth = record->birth;
    if (birth.timeline_len > TCPTRAIL_TIMELINE_LEN) return fail("a timeline that is too long");
    if (birth.role > TCPTRAIL_ROLE_SERVER) return fail("an unknown role");
    if (birth.owner_source > TCPTRAIL_OWNER_SCAN) return fail("an unknown source of the owner");
    if (birth.reset_direction > TCPTRAIL_RESET_RECEIVED) return fail("an unknown direction of the reset");
    if (birth.state > last_state) return fail("state " + std::to_string(birth.state));
    if (birth.reset_state > last_state) return fail("state of reset " + std::to_string(birth.reset_state));
    for (int i = 0; i < birth.timeline_len; ++i) {
        const uint64_t state = birth.timeline[i] & 0xf;
        if (state > last_state) return fail("state " + std::to_string(state) + " in the timeline");
    }
    // A child whose end came before it was established and that was found gone has no addresses: family 0.
    if (birth.family != AF_INET && birth.family != AF_INET6 && birth.family != 0)
        return fail("address family " + std::to_string(birth.family));
    return record;
}

Result<const tcptrail_listener_record*> decode_listener(std::span<const std::byte> bytes) {
    const auto framed = frame<tcptrail_listener_record>(bytes);
    if (!framed) return framed;
    const tcptrail_listener_record* record = *framed;
    if (record->listener.owner_source > TCPTRAIL_OWNER_SCAN) return fail("an unknown source of the owner");
    if (record->addresses.family != AF_INET && record->addresses.family != AF_INET6)
        return fail("address family " + std::to_string(record->addresses.family));
    return record;
}

}  // namespace tcptrail::capture
