// SPDX-License-Identifier: Apache-2.0
//
// Single values of the configuration: from text and back. The error of a parser says what is wrong with
// the text ("\"-5\" is negative"); the caller adds what is allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tcptrail {

template <class T>
using Parsed = std::expected<T, std::string>;

// Decimal, in [min, max].
Parsed<uint64_t> parse_integer(const std::string& text, uint64_t min, uint64_t max);
// Bytes: 1048576, 512KiB, 100MB; in [min, max].
Parsed<uint64_t> parse_size(const std::string& text, uint64_t min, uint64_t max);
// The shortest exact form that parse_size reads.
std::string show_size(uint64_t bytes);
Parsed<bool> parse_boolean(const std::string& text);
// The place of `text` among `choices`.
Parsed<size_t> parse_choice(const std::string& text, const std::vector<std::string_view>& choices);
// The places of the elements of `text`, which have commas between them, among `choices`; each once.
Parsed<std::vector<size_t>> parse_choices(const std::string& text,
                                          const std::vector<std::string_view>& choices);
// Printable text of min to max bytes.
Parsed<std::string> parse_text(const std::string& text, size_t min, size_t max);

// `text` for a message: in quotes, on one line, cut when it is long.
std::string quoted(std::string_view text);
// `text` as a scalar of YAML that reads as the same text, with quotes where it needs them.
std::string yaml_scalar(std::string_view text);

// The one of `candidates` that `word` is most likely meant to be; empty: none is close.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tcptrail
