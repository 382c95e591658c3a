// SPDX-License-Identifier: Apache-2.0
#include "agent/checkpoint.h"

#include <algorithm>
#include <cstring>

namespace tcptrail {

namespace {

constexpr size_t first_version_bytes = 128;

}  // namespace

std::optional<Checkpoint> Checkpoint::parse(std::span<const std::byte> bytes) {
    uint32_t written = 0;
    if (bytes.size() < sizeof written) return std::nullopt;
    std::memcpy(&written, bytes.data(), sizeof written);
    if (written < first_version_bytes || written > bytes.size()) return std::nullopt;
    Checkpoint checkpoint;
    std::memcpy(&checkpoint, bytes.data(), std::min<size_t>(written, sizeof checkpoint));
    checkpoint.bytes = sizeof checkpoint;
    if (checkpoint.run_id.front() == '\0' || checkpoint.run_id.back() != '\0') return std::nullopt;
    return checkpoint;
}

}  // namespace tcptrail
