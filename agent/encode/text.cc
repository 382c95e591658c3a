// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/text.h"

#include <cerrno>

#include "agent/encode/text_forms.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::encode {

std::string enum_word(const google::protobuf::EnumDescriptor& type, int value) {
    if (value == 0) return {};
    const auto* descriptor = type.FindValueByNumber(value);
    if (descriptor == nullptr) return std::to_string(value);
    // All values carry the prefix that stands before UNSPECIFIED in the first one's name.
    constexpr std::string_view unspecified = "UNSPECIFIED";
    return descriptor->name().substr(type.value(0)->name().size() - unspecified.size());
}

std::string text_header(TextFormat format) {
    switch (format) {
        case TextFormat::table:
            return table_header(false) + '\n';
        case TextFormat::wide:
            return table_header(true) + '\n';
        case TextFormat::csv:
            return csv_header() + "\r\n";
        case TextFormat::jsonl:
            break;
    }
    return {};
}

Result<std::string> text_line(TextFormat format, const v1::ConnectionEvent& event) {
    switch (format) {
        case TextFormat::table:
            return table_line(event, false) + '\n';
        case TextFormat::wide:
            return table_line(event, true) + '\n';
        case TextFormat::csv:
            return csv_line(event) + "\r\n";
        case TextFormat::jsonl:
            break;
    }
    auto line = json_line(event);
    if (line) *line += '\n';
    return line;
}

Result<> TextWriter::header() {
    return put(text_header(format_));
}

Result<> TextWriter::write(const v1::ConnectionEvent& event) {
    const auto line = text_line(format_, event);
    return line ? put(*line) : std::unexpected(line.error());
}

Result<> TextWriter::write(const v1::AgentReport& report) {
    if (format_ != TextFormat::jsonl) return {};
    const auto line = json_line(report);
    return line ? put(*line + '\n') : std::unexpected(line.error());
}

Result<> TextWriter::flush() {
    if (std::fflush(file_) != 0) return fail_errno("cannot write the output", errno);
    return {};
}

Result<> TextWriter::put(std::string_view line) {
    if (std::fwrite(line.data(), 1, line.size(), file_) != line.size()) {
        return fail_errno("cannot write the output", errno);
    }
    return {};
}

}  // namespace tcptrail::encode
