// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/wire.h"

#include <algorithm>
#include <cstring>

#include "agent/encode/printable.h"

namespace tcptrail::encode {

void WireWriter::grow(size_t bytes) {
    buffer_.resize(std::max(buffer_.size() * 2, size_ + bytes));
}

void WireWriter::fields(std::string_view bytes) {
    make_room(bytes.size());
    std::memcpy(buffer_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
}

void WireWriter::text(int field, std::string_view text) {
    if (text.empty()) return;
    std::string repaired;
    if (!is_ascii(text)) text = repaired = repaired_utf8(text);
    make_room(2 * most_varint_bytes);
    put(static_cast<uint64_t>(field) << 3 | bytes_type);
    put(text.size());
    fields(text);
}

// Most messages are shorter than 128 bytes: their length takes one.
size_t WireWriter::begin(int field) {
    make_room(2 * most_varint_bytes);
    put(static_cast<uint64_t>(field) << 3 | bytes_type);
    return ++size_;
}

void WireWriter::end(size_t begun) {
    const size_t length = size_ - begun;
    size_t more = 0;
    for (size_t rest = length >> 7; rest; rest >>= 7)
        ++more;
    make_room(more);
    if (more) std::memmove(buffer_.data() + begun + more, buffer_.data() + begun, length);
    size_ = begun - 1;
    put(length);
    size_ += length;
}

}  // namespace tcptrail::encode
