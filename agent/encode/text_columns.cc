// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/text_columns.h"

#include <fmt/compile.h>

#include <algorithm>

#include "agent/encode/printable.h"

namespace tcptrail::encode {

std::string process_cell(const std::string& name, uint32_t pid) {
    if (pid == 0 && name.empty()) return std::string(absent);
    const std::string number = pid == 0 ? "[-]" : fmt::format(FMT_COMPILE("[{}]"), pid);
    return cut(or_absent(printable(name)), process_width - number.size()) + number;
}

std::string container_cell(const std::string& name, const std::string& id) {
    return or_absent(printable(name.empty() ? id.substr(0, container_width) : name));
}

std::string pod_cell(const std::string& name_space, const std::string& pod) {
    return pod.empty() ? std::string(absent) : printable(name_space) + '/' + printable(pod);
}

std::string endpoint_cell(const std::string& address, uint32_t port) {
    if (address.empty()) return std::string(absent);
    const bool brackets = address.find(':') != std::string::npos;
    return fmt::format(FMT_COMPILE("{}{}{}:{}"), brackets ? "[" : "", printable(address), brackets ? "]" : "",
                       port == 0 ? std::string(absent) : std::to_string(port));
}

void Line::add(std::string_view cell, size_t width, Align align) {
    const size_t cell_width = display_width(cell);
    const size_t slack = align == Align::right && cell_width < width ? width - cell_width : 0;
    const size_t begin = text_.empty() ? slack : std::max(column_ + slack, used_ + gap);
    text_.append(begin - used_, ' ');
    text_ += cell;
    used_ = begin + cell_width;
    column_ += width + gap;
}

}  // namespace tcptrail::encode
