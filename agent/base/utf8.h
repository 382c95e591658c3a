// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace tcptrail {

// The length in bytes of the UTF-8 sequence that `text` begins with. 0: it begins with none (overlong
// forms and surrogates are none), or is empty.
size_t utf8_sequence(std::string_view text);

}  // namespace tcptrail
