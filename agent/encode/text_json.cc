// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <memory>
#include <utility>
#include <vector>

#include "agent/encode/printable.h"
#include "agent/encode/text_forms.h"

namespace tcptrail::encode {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The mapping refuses or garbles strings that are not UTF-8.
void repair_strings(Message& message) {
    const auto& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> present;
    reflection.ListFields(message, &present);

    for (const auto* field : present) {
        if (field->type() == FieldDescriptor::TYPE_STRING) {
            if (!field->is_repeated()) {
                reflection.SetString(&message, field, repaired_utf8(reflection.GetString(message, field)));
                continue;
            }
            for (int i = 0; i < reflection.FieldSize(message, field); i++) {
                auto text = repaired_utf8(reflection.GetRepeatedString(message, field, i));
                reflection.SetRepeatedString(&message, field, i, std::move(text));
            }
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
            if (!field->is_repeated()) {
                repair_strings(*reflection.MutableMessage(&message, field));
                continue;
            }
            for (int i = 0; i < reflection.FieldSize(message, field); i++) {
                repair_strings(*reflection.MutableRepeatedMessage(&message, field, i));
            }
        }
    }
}

}  // namespace

Result<std::string> json_line(const Message& message) {
    const std::unique_ptr<Message> repaired(message.New());
    repaired->CopyFrom(message);
    repair_strings(*repaired);

    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string line;
    const auto status = google::protobuf::util::MessageToJsonString(*repaired, &line, options);
    if (!status.ok()) return fail("cannot write " + message.GetTypeName() + " as JSON: " + status.ToString());
    return line;
}

}  // namespace tcptrail::encode
