// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/layout.h"

#include <bpf/btf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>

namespace tcptrail::capture {

namespace {

constexpr std::array structures = {"tcptrail_record", "tcptrail_lean",    "tcptrail_birth",
                                   "tcptrail_slot",   "tcptrail_details", "tcptrail_listener"};

const btf_type* without_modifiers(const btf& types, uint32_t& id) {
    const btf_type* type = btf__type_by_id(&types, id);
    while (type && (btf_is_mod(type) || btf_is_typedef(type))) {
        id = type->type;
        type = btf__type_by_id(&types, id);
    }
    return type;
}

void describe(const btf& types, uint32_t id, const std::string& name, size_t offset, std::string& text) {
    const btf_type* type = without_modifiers(types, id);
    if (!type) return;
    if (btf_is_struct(type)) {
        const btf_member* members = btf_members(type);
        for (int i = 0; i < btf_vlen(type); ++i)
            describe(types, members[i].type, name + "." + btf__name_by_offset(&types, members[i].name_off),
                     offset + btf_member_bit_offset(type, static_cast<uint32_t>(i)) / 8, text);
        return;
    }
    fmt::format_to(std::back_inserter(text), "{} {} {}\n", name, offset, btf__resolve_size(&types, id));
}

struct Member {
    size_t offset, bytes;
};

struct Structure {
    size_t bytes = 0;
    std::map<std::string_view, Member> members;  // by their names within it
};

std::optional<size_t> number(std::string_view text) {
    size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::string_view next_word(std::string_view& line) {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
}

std::optional<Structure> find(std::string_view wanted, std::string_view text) {
    Structure structure;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        std::string_view name = next_word(line);
        const auto first = number(next_word(line)), second = number(line);
        if (!first || !name.starts_with(wanted)) continue;
        name.remove_prefix(wanted.size());
        if (name.empty())
            structure.bytes = *first;
        else if (name.front() == '.' && second)
            structure.members[name] = {*first, *second};
    }
    // A description that was cut or damaged must not lead outside.
    for (const auto& [name, member] : structure.members)
        if (member.offset > structure.bytes || member.bytes > structure.bytes - member.offset)
            return std::nullopt;
    if (structure.bytes == 0) return std::nullopt;
    return structure;
}

}  // namespace

std::string describe_layout(const btf& types) {
    std::string text;
    for (const char* name : structures) {
        const int id = btf__find_by_name_kind(&types, name, BTF_KIND_STRUCT);
        if (id < 0) continue;
        fmt::format_to(std::back_inserter(text), "{} {}\n", name,
                       btf__resolve_size(&types, static_cast<uint32_t>(id)));
        describe(types, static_cast<uint32_t>(id), name, 0, text);
    }
    return text;
}

Result<Translation> Translation::make(std::string_view structure, std::string_view from,
                                      std::string_view to) {
    const auto source = find(structure, from), target = find(structure, to);
    if (!source || !target) return fail("the layout of " + std::string(structure) + " is not known");
    Translation translation;
    translation.from_bytes_ = source->bytes;
    translation.to_bytes_ = target->bytes;
    for (const auto& [name, member] : target->members) {
        const auto same = source->members.find(name);
        if (same == source->members.end()) continue;
        // Both are of this machine; little-endian integers and arrays grow and shrink at their ends.
        translation.moves_.push_back(
            {same->second.offset, member.offset, std::min(same->second.bytes, member.bytes)});
    }
    return translation;
}

void Translation::apply(std::span<const std::byte> from, std::span<std::byte> to) const {
    std::ranges::fill(to.first(to_bytes_), std::byte{});
    for (const Move& move : moves_)
        std::memcpy(to.data() + move.to, from.data() + move.from, move.bytes);
}

}  // namespace tcptrail::capture
