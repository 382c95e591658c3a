// SPDX-License-Identifier: Apache-2.0
#include "agent/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <numeric>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/utf8.h"

namespace tcptrail {

namespace {

struct Unit {
    std::string_view name;
    uint64_t bytes;
};

// Largest first within each kind: show_size takes the first that fits.
constexpr Unit units[] = {
    {"TiB", 1ull << 40},       {"GiB", 1ull << 30},   {"MiB", 1ull << 20}, {"KiB", 1ull << 10},
    {"TB", 1'000'000'000'000}, {"GB", 1'000'000'000}, {"MB", 1'000'000},   {"kB", 1'000},
};

constexpr std::string_view digits = "0123456789";

std::unexpected<std::string> wrong(std::string_view text, std::string_view what) {
    return std::unexpected(fmt::format("{} {}", quoted(text), what));
}

// The number that `figures` (part of `text`) are, times `factor`. `form` is what text was to be.
Parsed<uint64_t> parse_number(std::string_view text, std::string_view figures, uint64_t factor, uint64_t min,
                              uint64_t max, std::string_view form) {
    if (text.starts_with('-') && text.find_first_of(digits) == 1) return wrong(text, "is negative");
    if (figures.empty()) return wrong(text, fmt::format("is not {}", form));
    if (figures.size() > 1 && figures.starts_with('0')) return wrong(text, "begins with a zero");
    uint64_t number = 0;
    const char* const begin = std::to_address(figures.begin());
    if (std::from_chars(begin, begin + figures.size(), number).ec != std::errc{} || number > max / factor)
        return wrong(text, "is too large");
    if (number * factor < min) return wrong(text, "is too small");
    return number * factor;
}

size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); i++) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); j++) {
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
        }
    }
    return row.back();
}

}  // namespace

Parsed<uint64_t> parse_integer(const std::string& text, uint64_t min, uint64_t max) {
    const bool plain = text.find_first_not_of(digits) == std::string::npos;
    return parse_number(text, plain ? text : std::string_view(), 1, min, max, "a decimal integer");
}

Parsed<uint64_t> parse_size(const std::string& text, uint64_t min, uint64_t max) {
    const std::string_view all = text;
    const std::string_view figures = all.substr(0, all.find_first_not_of(digits));
    const std::string_view suffix = all.substr(figures.size());
    constexpr std::string_view form = "a size such as 1048576, 512KiB or 100MB";
    if (suffix.empty()) return parse_number(text, figures, 1, min, max, form);
    for (const Unit& unit : units)
        if (suffix == unit.name) return parse_number(text, figures, unit.bytes, min, max, form);
    return parse_number(text, {}, 1, min, max, form);
}

std::string show_size(uint64_t bytes) {
    for (const Unit& unit : units)
        if (bytes != 0 && bytes % unit.bytes == 0) return fmt::format("{}{}", bytes / unit.bytes, unit.name);
    return std::to_string(bytes);
}

Parsed<bool> parse_boolean(const std::string& text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return wrong(text, "is not a boolean");
}

Parsed<size_t> parse_choice(const std::string& text, const std::vector<std::string_view>& choices) {
    const auto choice = std::find(choices.begin(), choices.end(), text);
    if (choice == choices.end()) return wrong(text, "is not one of the choices");
    return static_cast<size_t>(choice - choices.begin());
}

Parsed<std::vector<size_t>> parse_choices(const std::string& text,
                                          const std::vector<std::string_view>& choices) {
    std::vector<size_t> places;
    std::string_view rest = text;
    while (rest.find_first_not_of(' ') != std::string_view::npos) {
        std::string_view word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        word.remove_prefix(std::min(word.size(), word.find_first_not_of(' ')));
        word = word.substr(0, word.find_last_not_of(' ') + 1);
        const auto place = parse_choice(std::string(word), choices);
        if (!place) return std::unexpected(place.error());
        if (std::ranges::find(places, *place) != places.end())
            return wrong(std::string(word), "is there twice");
        places.push_back(*place);
    }
    return places;
}

Parsed<std::string> parse_text(const std::string& text, size_t min, size_t max) {
    if (text.size() < min) return std::unexpected("is empty");
    if (text.size() > max) return wrong(text, fmt::format("is {} bytes long", text.size()));
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return wrong(text, "has a control character");
    return text;
}

std::string quoted(std::string_view text) {
    constexpr size_t longest = 60;
    if (text.size() <= longest) return json_string(text);
    size_t end = longest;
    // Not in the middle of a character.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        end--;
    std::string cut = json_string(text.substr(0, end));
    return cut.insert(cut.size() - 1, "…");
}

std::string yaml_scalar(std::string_view text) {
    // What other readers of YAML take for something other than text.
    static constexpr std::string_view words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const bool plain =
        !text.empty() && std::string_view("-.").find(text[0]) == std::string_view::npos &&
        lower.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-./") == std::string::npos &&
        std::find(std::begin(words), std::end(words), lower) == std::end(words);
    return plain ? std::string(text) : json_string(text);
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
    if (word.size() > 100) return {};  // no misspelling, and the comparison is not cheap
    size_t best = std::min<size_t>(3, 1 + word.size() / 4) + 1;
    std::string found;
    for (const std::string& candidate : candidates) {
        const size_t d = distance(word, candidate);
        if (d >= best) continue;
        best = d;
        found = candidate;
    }
    return found;
}

}  // namespace tcptrail
