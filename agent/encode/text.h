// SPDX-License-Identifier: Apache-2.0
//
// Events as text: for people, for scripts and for spreadsheets.
#pragma once

#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace tcptrail::v1 {
class AgentReport;
class ConnectionEvent;
class Listener;
}  // namespace tcptrail::v1

namespace tcptrail::encode {

enum class TextFormat {
    table,  // aligned columns, 160 wide with IPv4
    wide,   // the table with more columns
    jsonl,  // one object per line: protobuf's JSON mapping with the names of the schema (64-bit numbers are
            // strings)
    csv,    // RFC 4180: lines end with CR LF; a column per scalar of the schema, by its path: process.pid
};

// What lines are about, which decides the columns of tables.
enum class TextSubject {
    events,            // connections as they end
    open_connections,  // as they are
    listeners,
};

// The line of titles with its line end; empty for jsonl, which has none.
std::string text_header(TextFormat format, TextSubject subject = TextSubject::events);

// One event as one line with its line end. Names are made safe for terminals (see printable.h). A value that
// is absent in the event is "-" in tables, empty in csv and left out of jsonl. Tables tell the time of day in
// the time zone of this host. Fails only in jsonl, for a message that the mapping cannot take.
Result<std::string> text_line(TextFormat format, const v1::ConnectionEvent& event,
                              TextSubject subject = TextSubject::events);
Result<std::string> text_line(TextFormat format, const v1::Listener& listener);
// A report has one form only: that of jsonl.
Result<std::string> text_line(const v1::AgentReport& report);

// Writes lines to a file. Not for use by several threads at once.
class TextWriter {
public:
    // `file` is borrowed and outlives the writer.
    TextWriter(TextFormat format, std::FILE* file, TextSubject subject = TextSubject::events)
        : format_(format), subject_(subject), file_(file) {}

    // The errors of all: the file cannot be written, such as a pipe without a reader; as the file is buffered
    // it may be a later call that tells. Where SIGPIPE is not ignored, it comes first.
    Result<> header();
    Result<> write(const v1::ConnectionEvent& event);
    Result<> write(const v1::Listener& listener);
    // Only jsonl has a form for reports; the others leave them out.
    Result<> write(const v1::AgentReport& report);
    Result<> flush();
    // Whether the last error was that the reader of a pipe is gone, which is its right.
    bool reader_is_gone() const { return error_ == EPIPE; }

private:
    Result<> put(std::string_view line);

    TextFormat format_;
    TextSubject subject_;
    std::FILE* file_;
    int error_ = 0;
};

}  // namespace tcptrail::encode
