// SPDX-License-Identifier: Apache-2.0
//
// How the structures that kernel and user side share are laid out in another version of the programs, and
// what they would be in this one. So an agent drains the ring of an older or newer one, and keeps its births.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

struct btf;

namespace tcptrail::capture {

// The members of the shared structures, one line each: "STRUCT.MEMBER.MEMBER OFFSET SIZE", and one for the
// size of each structure: "STRUCT SIZE". `types` is of the BPF object.
std::string describe_layout(const btf& types);

// One structure from there to here: members are found by their names. What the other one does not have is
// zero, what this one does not have is dropped; integers may have grown or shrunk.
class Translation {
public:
    // `from`, `to`: descriptions of layouts. Fails where one of them does not have the structure.
    static Result<Translation> make(std::string_view structure, std::string_view from, std::string_view to);

    size_t from_bytes() const { return from_bytes_; }
    size_t to_bytes() const { return to_bytes_; }
    // Both are as large as said above.
    void apply(std::span<const std::byte> from, std::span<std::byte> to) const;

private:
    struct Move {
        size_t from, to, bytes;
    };
    size_t from_bytes_ = 0;
    size_t to_bytes_ = 0;
    std::vector<Move> moves_;
};

// Of records in both forms, from another layout to ours.
struct RecordTranslations {
    Translation whole, lean;
};

}  // namespace tcptrail::capture
