// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/exposition.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <utility>

namespace tcptrail::serve {

namespace {

void append_real(std::string& text, double value) {
    if (std::isnan(value))
        text += "NaN";
    else if (std::isinf(value))
        text += value > 0 ? "+Inf" : "-Inf";
    else
        fmt::format_to(std::back_inserter(text), "{}", value);
}

// The value of the label le: OpenMetrics wants whole numbers with a point, and Prometheus's own libraries
// write them without one in the older form. What {} does depends on the version of fmt.
std::string bound_text(double bound, MetricsForm form) {
    std::string text = fmt::format("{}", bound);
    if (text.ends_with(".0")) text.resize(text.size() - 2);
    if (form == MetricsForm::openmetrics && text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

}  // namespace

std::string_view content_type(MetricsForm form) {
    return form == MetricsForm::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                            : "text/plain; version=0.0.4; charset=utf-8";
}

Labels& Labels::add(std::string_view name, std::string_view value) {
    if (!text_.empty()) text_ += ',';
    text_ += name;
    text_ += "=\"";
    for (const char c : value) {
        if (c == '\n') {
            text_ += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') text_ += '\\';
        text_ += c;
    }
    text_ += '"';
    return *this;
}

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    constexpr std::string_view total = "_total";
    std::string_view told = name;
    if (form_ == MetricsForm::openmetrics && type == "counter" && told.ends_with(total))
        told.remove_suffix(total.size());
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", told, help, told, type);
}

void Exposition::begin(std::string_view suffix, std::string_view labels, std::string_view more) {
    text_ += name_;
    text_ += suffix;
    if (!labels.empty() || !more.empty()) {
        text_ += '{';
        text_ += labels;
        if (!labels.empty() && !more.empty()) text_ += ',';
        text_ += more;
        text_ += '}';
    }
    text_ += ' ';
}

void Exposition::integer(std::string_view labels, uint64_t value) {
    begin("", labels, "");
    fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void Exposition::real(std::string_view labels, double value) {
    begin("", labels, "");
    append_real(text_, value);
    text_ += '\n';
}

void Exposition::buckets(std::string_view labels, std::span<const double> bounds,
                         std::span<const uint64_t> counts, double sum) {
    uint64_t all = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
        all += counts[i];
        begin("_bucket", labels,
              "le=\"" + (i < bounds.size() ? bound_text(bounds[i], form_) : std::string("+Inf")) + '"');
        fmt::format_to(std::back_inserter(text_), "{}\n", all);
    }
    begin("_sum", labels, "");
    append_real(text_, sum);
    text_ += '\n';
    begin("_count", labels, "");
    fmt::format_to(std::back_inserter(text_), "{}\n", all);
}

std::string Exposition::finish() && {
    if (form_ == MetricsForm::openmetrics) text_ += "# EOF\n";
    return std::move(text_);
}

}  // namespace tcptrail::serve
