// SPDX-License-Identifier: Apache-2.0
//
// Names come from processes, cgroups and peers, and can hold any bytes. These functions make them
// safe to show. All are pure and take any bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tcptrail::encode {

// `text` as valid UTF-8 of one line that no terminal acts upon: control and invisible characters read
// \x1b, \u202e or \U000e0001, and bytes that are not UTF-8 read \xff. Backslashes stay as they are,
// because systemd writes them into the names of cgroups: the result is for reading, not for undoing.
std::string printable(std::string_view text);

// Nearly every name is.
bool is_ascii(std::string_view text);

// `text` with only its bytes that are not UTF-8 written as \xff.
std::string repaired_utf8(std::string_view text);

// Columns that a terminal takes for printable text, counting one per code point.
size_t display_width(std::string_view text);

// Printable text of at most `width` columns; where something was cut off, the last one is "…".
std::string cut(std::string_view text, size_t width);

}  // namespace tcptrail::encode
