// SPDX-License-Identifier: Apache-2.0
//
// For columns*.cc alone: what fields an event has, apart from their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/spool/columns_wire.h"

namespace google::protobuf {
class Descriptor;
}

namespace tcptrail::spool::columns {

// How a protobuf field is written; `id` is a text of 32 hexadecimal digits, taken as three numbers.
enum Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, nested = 3, nested_end = 4, fixed32 = 5, id = 6 };

// The sequence of a message's fields, without their values.
struct Shape {
    struct Leaf {
        Wire wire;
        uint32_t path;  // the same for the same field in all shapes
    };
    std::string tokens;  // tags as numbers; `nested` and `nested_end` stand around the fields of a message
    std::vector<Leaf> leaves;
};

// Gives numbers to paths.
class Paths {
public:
    uint32_t of(const std::string& path) {
        return numbers_.try_emplace(path, static_cast<uint32_t>(numbers_.size())).first->second;
    }
    size_t size() const { return numbers_.size(); }

private:
    std::map<std::string, uint32_t> numbers_;
};

// Throws Broken where they are no tokens.
Shape make_shape(std::string tokens, Paths& paths);

struct Value {
    uint64_t number = 0;
    std::string_view text;
};

// Splits a message into tokens and values. Throws Broken where it is none.
void split(std::string_view message, const google::protobuf::Descriptor* type, std::string& tokens,
           std::vector<Value>& values);

// The inverse of split().
void join(Reader& tokens, const Value*& value, std::string& out);

// The key that encode gives to an event, from the fields of its value; those of a later schema may differ,
// and are stored as they are.
std::string usual_key(const Shape& shape, const std::vector<Value>& values);

}  // namespace tcptrail::spool::columns
