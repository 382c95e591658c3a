// SPDX-License-Identifier: Apache-2.0
//
// Maps of an agent before, beside a description of their values that does not fit them.
#include "agent/capture/births.h"

#include <bpf/bpf.h>

#include <string>
#include <vector>

#include "agent/base/fd.h"
#include "tests/catch.h"

using namespace tcptrail;
using capture::Translation;

namespace {

std::string layout_of(size_t bytes) {
    return "tcptrail_details " + std::to_string(bytes) + "\ntcptrail_details.first 0 8\n";
}

}  // namespace

TEST_CASE("births: a map whose values are not as long as is told of them is left alone", "[kernel][root]") {
    constexpr size_t own_bytes = sizeof(tcptrail_details), old_bytes = own_bytes + 8;
    const Fd from(bpf_map_create(BPF_MAP_TYPE_HASH, "from", sizeof(uint64_t), old_bytes, 16, nullptr));
    const Fd to(bpf_map_create(BPF_MAP_TYPE_HASH, "to", sizeof(uint64_t), own_bytes, 16, nullptr));
    REQUIRE((from.valid() && to.valid()));
    const uint64_t key = 5;
    const std::vector<char> old(old_bytes, 'a');
    REQUIRE(bpf_map_update_elem(from.get(), &key, old.data(), BPF_ANY) == 0);
    const size_t told = GENERATE_COPY(own_bytes + 8, own_bytes, own_bytes + 16, size_t{1} << 52);
    const auto details = Translation::make("tcptrail_details", layout_of(told), layout_of(own_bytes));
    REQUIRE(details);
    const auto taken = capture::take_over_details(from.get(), to.get(), *details);
    std::vector<char> ours(own_bytes);
    const bool is_there = bpf_map_lookup_elem(to.get(), &key, ours.data()) == 0;
    CHECK(taken.has_value() == (told == old_bytes));
    CHECK(is_there == (told == old_bytes));
}
