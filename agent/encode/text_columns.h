// SPDX-License-Identifier: Apache-2.0
//
// Tables for people: columns that lines keep to. Only text*.cc include this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tcptrail::encode {

inline constexpr std::string_view absent = "-";
inline constexpr size_t process_width = 20;
inline constexpr size_t container_width = 12;
inline constexpr size_t unit_width = 20;
inline constexpr size_t pod_width = 30;

inline std::string or_absent(std::string text) {
    return text.empty() ? std::string(absent) : text;
}

// "nginx[4711]", at most process_width wide. The pid stays whole: a long name gives way.
std::string process_cell(const std::string& name, uint32_t pid);

// "192.0.2.1:80", "[2001:db8::1]:80"; a port of 0 is absent.
std::string endpoint_cell(const std::string& address, uint32_t port);

enum class Align { left, right };

// "namespace/pod": absent where the pod's name is not known.
// The name where there is one, else the beginning of the id.
std::string container_cell(const std::string& name, const std::string& id);
std::string pod_cell(const std::string& name_space, const std::string& pod);

template <class Message>
struct Column {
    std::string_view title;
    size_t width;       // in the table; 0: not there
    size_t wide_width;  // in the wide table; 0: not there
    Align align;
    std::string (*cell)(const Message&);
};

// A line under construction. Every column has its place; a cell that is too long pushes the next ones
// on only as far as their own padding does not make up for it.
class Line {
public:
    void add(std::string_view cell, size_t width, Align align);
    std::string take() { return std::move(text_); }

private:
    static constexpr size_t gap = 2;
    std::string text_;
    size_t used_ = 0;    // columns of the terminal that text_ takes
    size_t column_ = 0;  // where the next column begins
};

template <class Columns, class CellOf>
std::string line(const Columns& columns, bool wide, CellOf cell_of) {
    Line line;
    for (const auto& column : columns) {
        const size_t width = wide ? column.wide_width : column.width;
        if (width > 0) line.add(cell_of(column), width, column.align);
    }
    return line.take();
}

template <class Columns>
std::string titles(const Columns& columns, bool wide) {
    return line(columns, wide, [](const auto& column) { return column.title; });
}

template <class Columns, class Message>
std::string cells(const Columns& columns, const Message& message, bool wide) {
    return line(columns, wide, [&](const auto& column) { return column.cell(message); });
}

}  // namespace tcptrail::encode
