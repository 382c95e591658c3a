// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns_parts.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

namespace tcptrail::spool::columns {

void put_planes(Parts& parts, const std::vector<uint64_t>& numbers) {
    const uint64_t largest = numbers.empty() ? 0 : *std::ranges::max_element(numbers);
    const int width = static_cast<int>((std::bit_width(largest) + 7) / 8);
    parts.meta.push_back(static_cast<char>(width));
    std::string plane(numbers.size(), '\0');
    for (int place = 0; place < width; place++) {
        for (size_t i = 0; i < numbers.size(); i++)
            plane[i] = static_cast<char>(numbers[i] >> (8 * place));
        parts.add(plane);
    }
}

std::vector<uint64_t> get_planes(PartsReader& parts, size_t count) {
    const uint8_t width = parts.meta().byte();
    if (width > 8) throw Broken();
    parts.expect(count, sizeof(uint64_t));
    std::vector<uint64_t> numbers(count);
    for (int place = 0; place < width; place++) {
        const std::string plane = parts.part(count);
        for (size_t i = 0; i < count; i++)
            numbers[i] |= static_cast<uint64_t>(static_cast<uint8_t>(plane[i])) << (8 * place);
    }
    return numbers;
}

void put_texts(Parts& parts, const std::vector<std::string_view>& texts) {
    std::unordered_map<std::string_view, uint64_t> places;
    std::vector<std::string_view> distinct;
    std::vector<uint64_t> indexes;
    for (const auto text : texts) {
        const auto [entry, added] = places.try_emplace(text, distinct.size());
        if (added) distinct.push_back(text);
        indexes.push_back(entry->second);
    }
    // A list of those that there are, unless nearly each is another.
    const bool listed = distinct.size() == 1 || distinct.size() * 4 <= texts.size();
    put_number(parts.meta, listed ? distinct.size() : 0);
    const auto& stored = listed ? distinct : texts;
    std::vector<uint64_t> lengths;
    std::string all;
    for (const auto text : stored) {
        lengths.push_back(text.size());
        all += text;
    }
    if (listed && distinct.size() > 1) put_planes(parts, indexes);
    put_planes(parts, lengths);
    parts.add(all);
}

}  // namespace tcptrail::spool::columns
