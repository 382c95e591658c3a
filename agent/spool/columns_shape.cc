// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns_shape.h"

#include <google/protobuf/descriptor.h>

#include <charconv>
#include <iterator>
#include <utility>

#include "schemas/v1/connection.pb.h"

namespace tcptrail::spool::columns {

namespace {

constexpr size_t max_leaves = 250;  // of a shape: one byte names one
constexpr size_t max_tags = 4 * max_leaves;

// The parts of a connection's id, as encode::connection_id() makes it.
constexpr size_t id_digits[] = {12, 10, 10};
constexpr size_t id_length = 32;

bool is_id(std::string_view text) {
    return text.size() == id_length && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void split_id(std::string_view text, std::vector<Value>& values) {
    for (const size_t digits : id_digits) {
        uint64_t number = 0;
        const std::string_view part = text.substr(0, digits);
        std::from_chars(part.data(), part.data() + part.size(), number, 16);
        values.push_back({number, {}});
        text.remove_prefix(digits);
    }
}

void join_id(const Value*& value, std::string& out) {
    for (const size_t digits : id_digits) {
        const uint64_t number = (value++)->number;
        for (size_t place = digits; place-- > 0;)
            out.push_back("0123456789abcdef"[(number >> (4 * place)) & 15]);
    }
}

}  // namespace

Shape make_shape(std::string tokens, Paths& paths) {
    Shape shape{std::move(tokens), {}};
    Reader reader(shape.tokens);
    std::vector<std::string> parents{""};
    std::vector<std::map<uint64_t, uint64_t>> seen(1);
    for (size_t tags = 0; !reader.at_end(); tags++) {
        if (tags == max_tags) throw Broken();
        const uint64_t tag = reader.number();
        const Wire wire = static_cast<Wire>(tag & 7);
        if (wire == nested_end) {
            if (parents.size() < 2) throw Broken();
            parents.pop_back();
            seen.pop_back();
            continue;
        }
        // The third element of a list is another column than the second.
        std::string path = parents.back();
        put_number(path, tag);
        put_number(path, seen.back()[tag]++);
        if (wire == nested) {
            parents.push_back(std::move(path));
            seen.emplace_back();
            if (parents.size() > 8) throw Broken();
            continue;
        }
        if (wire == id) {
            for (size_t part = 0; part < std::size(id_digits); part++)
                shape.leaves.push_back({varint, paths.of(path + static_cast<char>(part))});
        } else if (wire == varint || wire == bytes || wire == fixed32 || wire == fixed64) {
            shape.leaves.push_back({wire, paths.of(path)});
        } else {
            throw Broken();
        }
        if (shape.leaves.size() > max_leaves) throw Broken();
    }
    if (parents.size() != 1) throw Broken();
    return shape;
}

void split(std::string_view message, const google::protobuf::Descriptor* type, std::string& tokens,
           std::vector<Value>& values) {
    Reader reader(message);
    while (!reader.at_end()) {
        const uint64_t tag = reader.number();
        switch (static_cast<Wire>(tag & 7)) {
            case varint:
                values.push_back({reader.number(), {}});
                break;
            case fixed64:
                values.push_back({0, reader.take(8)});
                break;
            case fixed32:
                values.push_back({0, reader.take(4)});
                break;
            case bytes: {
                const auto* field = type ? type->FindFieldByNumber(static_cast<int>(tag >> 3)) : nullptr;
                const std::string_view text = reader.text();
                if (field && field->type() == google::protobuf::FieldDescriptor::TYPE_MESSAGE) {
                    put_number(tokens, (tag & ~uint64_t{7}) | nested);
                    split(text, field->message_type(), tokens, values);
                    put_number(tokens, (tag & ~uint64_t{7}) | nested_end);
                    continue;
                }
                if (type == v1::ConnectionEvent::descriptor() && field &&
                    field->number() == v1::ConnectionEvent::kConnectionIdFieldNumber && is_id(text)) {
                    put_number(tokens, (tag & ~uint64_t{7}) | id);
                    split_id(text, values);
                    continue;
                }
                values.push_back({0, text});
                break;
            }
            default:
                throw Broken();
        }
        put_number(tokens, tag);
    }
}

void join(Reader& tokens, const Value*& value, std::string& out) {
    while (!tokens.at_end()) {
        const uint64_t tag = tokens.number();
        switch (static_cast<Wire>(tag & 7)) {
            case nested_end:
                return;
            case nested: {
                std::string inner;
                join(tokens, value, inner);
                put_number(out, (tag & ~uint64_t{7}) | bytes);
                put_text(out, inner);
                break;
            }
            case varint:
                put_number(out, tag);
                put_number(out, (value++)->number);
                break;
            case bytes:
                put_number(out, tag);
                put_text(out, (value++)->text);
                break;
            case id:
                put_number(out, (tag & ~uint64_t{7}) | bytes);
                put_number(out, id_length);
                join_id(value, out);
                break;
            default:
                put_number(out, tag);
                out += (value++)->text;
        }
    }
}

std::string usual_key(const Shape& shape, const std::vector<Value>& values) {
    std::string ends[2];
    Reader tokens(shape.tokens);
    size_t depth = 0, leaf = 0;
    while (!tokens.at_end()) {
        const uint64_t tag = tokens.number();
        const auto wire = static_cast<Wire>(tag & 7);
        depth += wire == nested;
        depth -= wire == nested_end;
        if (wire == nested || wire == nested_end) continue;
        const Value& value = values[leaf];
        leaf += wire == id ? std::size(id_digits) : 1;
        if (depth > 0) continue;
        const uint64_t field = tag >> 3;
        if (field == v1::ConnectionEvent::kLocalAddressFieldNumber && wire == bytes)
            ends[0] = value.text.substr(0, value.text.find('%'));
        if (field == v1::ConnectionEvent::kRemoteAddressFieldNumber && wire == bytes)
            ends[1] = value.text.substr(0, value.text.find('%'));
        if (field == v1::ConnectionEvent::kLocalPortFieldNumber && wire == varint)
            ends[0] += " " + std::to_string(value.number);
        if (field == v1::ConnectionEvent::kRemotePortFieldNumber && wire == varint)
            ends[1] += " " + std::to_string(value.number);
    }
    // A port that is 0 is not in the message.
    for (std::string& end : ends)
        if (end.find(' ') == std::string::npos) end += " 0";
    if (ends[1] < ends[0]) std::swap(ends[0], ends[1]);
    return ends[0] + " " + ends[1];
}

}  // namespace tcptrail::spool::columns
