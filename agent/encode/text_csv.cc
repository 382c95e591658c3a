// SPDX-License-Identifier: Apache-2.0
//
// The columns are the schema's fields in the order of their numbers, a nested message's in its place: a new
// field of a message becomes the last column by itself. Readers go by the names in the header.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

#include "agent/encode/printable.h"
#include "agent/encode/text_forms.h"

namespace tcptrail::encode {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::vector<const FieldDescriptor*> fields_by_number(const Descriptor& type) {
    std::vector<const FieldDescriptor*> fields;
    for (int i = 0; i < type.field_count(); i++)
        fields.push_back(type.field(i));
    std::ranges::sort(fields, {}, &FieldDescriptor::number);
    return fields;
}

struct Column {
    std::string name;
    const FieldDescriptor* outer;  // the nested message that has the field; null: the message itself
    const FieldDescriptor* field;
};

std::vector<Column> columns_of(const Descriptor& type) {
    std::vector<Column> list;
    for (const auto* field : fields_by_number(type)) {
        if (field->is_repeated() || field->message_type() == nullptr) {
            list.push_back({field->name(), nullptr, field});
            continue;
        }
        for (const auto* inner : fields_by_number(*field->message_type()))
            list.push_back({field->name() + '.' + inner->name(), field, inner});
    }
    return list;
}

// Looked up for each line: there are two or three types.
const std::vector<Column>& columns(const Descriptor& type) {
    thread_local std::map<const Descriptor*, std::vector<Column>> known;
    const auto found = known.find(&type);
    return found != known.end() ? found->second : known.emplace(&type, columns_of(type)).first->second;
}

// One scalar; `index` is of a repeated field, else -1.
std::string scalar(const Message& message, const FieldDescriptor& field, int index) {
    const auto& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
            return printable(index < 0 ? reflection.GetString(message, &field)
                                       : reflection.GetRepeatedString(message, &field, index));
        case FieldDescriptor::CPPTYPE_ENUM:
            return enum_word(*field.enum_type(),
                             index < 0 ? reflection.GetEnumValue(message, &field)
                                       : reflection.GetRepeatedEnumValue(message, &field, index));
        default: {
            std::string text;
            google::protobuf::TextFormat::PrintFieldValueToString(message, &field, index, &text);
            return text;
        }
    }
}

// A;B for scalars, STATE@us;STATE@us for messages: the scalars of each joined by @.
std::string repeated(const Message& message, const FieldDescriptor& field) {
    const auto& reflection = *message.GetReflection();
    std::string text;
    for (int i = 0; i < reflection.FieldSize(message, &field); i++) {
        if (i > 0) text += ';';
        if (field.message_type() == nullptr) {
            text += scalar(message, field, i);
            continue;
        }
        const auto& element = reflection.GetRepeatedMessage(message, &field, i);
        std::string_view separator;
        for (const auto* inner : fields_by_number(*field.message_type())) {
            text += separator;
            text += scalar(element, *inner, -1);
            separator = "@";
        }
    }
    return text;
}

std::string value(const Message& whole, const Column& column) {
    const auto& outermost = *whole.GetReflection();
    if (column.outer != nullptr && !outermost.HasField(whole, column.outer)) return {};
    const Message& message = column.outer == nullptr ? whole : outermost.GetMessage(whole, column.outer);

    if (column.field->is_repeated()) return repeated(message, *column.field);
    return message.GetReflection()->HasField(message, column.field) ? scalar(message, *column.field, -1) : "";
}

std::string quoted(std::string text) {
    if (text.find_first_of("\",\r\n") == std::string::npos) return text;
    for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2)
        text.insert(at, 1, '"');
    return '"' + text + '"';
}

template <class ToText>
std::string joined(const Descriptor& type, ToText text_of) {
    std::string line;
    for (const auto& column : columns(type))
        line += quoted(text_of(column)) + ',';
    line.pop_back();
    return line;
}

}  // namespace

std::string csv_header(const Descriptor& type) {
    return joined(type, [](const Column& column) { return column.name; });
}

std::string csv_line(const Message& message) {
    return joined(*message.GetDescriptor(), [&](const Column& column) { return value(message, column); });
}

}  // namespace tcptrail::encode
