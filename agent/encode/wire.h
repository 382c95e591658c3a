// SPDX-License-Identifier: Apache-2.0
//
// Writes a protobuf message field by field, without an object of it: the fields in the order of their
// numbers, as protobuf's own serializer does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tcptrail::encode {

class WireWriter {
public:
    WireWriter() : buffer_(1024, '\0') {}

    void clear() { size_ = 0; }
    // Valid until the next call of any other function.
    std::string_view bytes() const { return {buffer_.data(), size_}; }

    // Integers that are not negative, enums and bools. One without `optional` in the schema is absent when it
    // is zero.
    void implicit(int field, uint64_t value) {
        if (value) present(field, value);
    }
    void present(int field, uint64_t value) {
        make_room(most_varint_bytes * 2);
        put(static_cast<uint64_t>(field) << 3 | varint_type);
        put(value);
    }
    template <class Value>
    void optional(int field, const std::optional<Value>& value) {
        if (value) present(field, *value);
    }
    // Nothing where it is empty. What is not UTF-8 is repaired.
    void text(int field, std::string_view text);
    // Fields that were written before, by another writer.
    void fields(std::string_view bytes);

    // A message within: what is written between the two calls. begin() returns what end() wants.
    size_t begin(int field);
    void end(size_t begun);
    // Packed numbers: begin(), number by number, end().
    void packed(uint64_t value) {
        make_room(most_varint_bytes);
        put(value);
    }

private:
    static constexpr size_t most_varint_bytes = 10;
    static constexpr uint64_t varint_type = 0;
    static constexpr uint64_t bytes_type = 2;

    void make_room(size_t bytes) {
        if (buffer_.size() - size_ < bytes) grow(bytes);
    }
    void grow(size_t bytes);
    // Where there is room.
    void put(uint64_t value) {
        char* at = buffer_.data() + size_;
        for (; value >= 0x80; value >>= 7)
            *at++ = static_cast<char>(value | 0x80);
        *at++ = static_cast<char>(value);
        size_ = static_cast<size_t>(at - buffer_.data());
    }

    std::string buffer_;  // larger than what is written
    size_t size_ = 0;
};

}  // namespace tcptrail::encode
