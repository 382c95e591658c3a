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

namespace {

std::string table_titles(TextSubject subject, bool wide) {
    switch (subject) {
        case TextSubject::open_connections:
            return open_table_header(wide);
        case TextSubject::listeners:
            return listener_table_header(wide);
        case TextSubject::events:
            break;
    }
    return table_header(wide);
}

// The forms that show every field are the same for all messages.
Result<std::string> full_line(TextFormat format, const google::protobuf::Message& message) {
    if (format == TextFormat::csv) return csv_line(message) + "\r\n";
    auto line = json_line(message);
    if (line) *line += '\n';
    return line;
}

bool is_table(TextFormat format) {
    return format == TextFormat::table || format == TextFormat::wide;
}

}  // namespace

std::string text_header(TextFormat format, TextSubject subject) {
    if (is_table(format)) return table_titles(subject, format == TextFormat::wide) + '\n';
    if (format == TextFormat::jsonl) return {};
    return csv_header(subject == TextSubject::listeners ? *v1::Listener::descriptor()
                                                        : *v1::ConnectionEvent::descriptor()) +
           "\r\n";
}

Result<std::string> text_line(TextFormat format, const v1::ConnectionEvent& event, TextSubject subject) {
    if (!is_table(format)) return full_line(format, event);
    const bool wide = format == TextFormat::wide;
    return (subject == TextSubject::open_connections ? open_table_line(event, wide)
                                                     : table_line(event, wide)) +
           '\n';
}

Result<std::string> text_line(TextFormat format, const v1::Listener& listener) {
    if (!is_table(format)) return full_line(format, listener);
    return listener_table_line(listener, format == TextFormat::wide) + '\n';
}

Result<std::string> text_line(const v1::AgentReport& report) {
    return full_line(TextFormat::jsonl, report);
}

Result<> TextWriter::header() {
    return put(text_header(format_, subject_));
}

Result<> TextWriter::write(const v1::ConnectionEvent& event) {
    const auto line = text_line(format_, event, subject_);
    return line ? put(*line) : std::unexpected(line.error());
}

Result<> TextWriter::write(const v1::Listener& listener) {
    const auto line = text_line(format_, listener);
    return line ? put(*line) : std::unexpected(line.error());
}

Result<> TextWriter::write(const v1::AgentReport& report) {
    if (format_ != TextFormat::jsonl) return {};
    const auto line = text_line(report);
    return line ? put(*line) : std::unexpected(line.error());
}

Result<> TextWriter::flush() {
    if (std::fflush(file_) != 0) return fail_errno("cannot write the output", error_ = errno);
    return {};
}

Result<> TextWriter::put(std::string_view line) {
    if (std::fwrite(line.data(), 1, line.size(), file_) != line.size()) {
        return fail_errno("cannot write the output", error_ = errno);
    }
    return {};
}

}  // namespace tcptrail::encode
