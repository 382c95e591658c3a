// SPDX-License-Identifier: Apache-2.0
//
// Metrics as text: that of Prometheus (0.0.4), and OpenMetrics (1.0.0).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tcptrail::serve {

enum class MetricsForm : uint8_t { prometheus, openmetrics };
inline constexpr size_t metrics_forms = 2;

// For the header Content-Type.
std::string_view content_type(MetricsForm form);

// key="value",key="value" as it stands between the braces. Values are UTF-8.
class Labels {
public:
    Labels& add(std::string_view name, std::string_view value);
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

// Samples follow the family that they are of; those of one family stand together, and no two have the same
// labels, which is the caller's to see to.
class Exposition {
public:
    explicit Exposition(MetricsForm form) : form_(form) {}

    // Names as Prometheus has them: those of counters end with _total. Help is one line without a backslash.
    void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }
    void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }
    void histogram(std::string_view name, std::string_view help) { family(name, "histogram", help); }

    // `labels` as in Labels; empty: none.
    void integer(std::string_view labels, uint64_t value);
    void real(std::string_view labels, double value);
    // `counts` of what is at most each of `bounds` and more than the one before, and of the rest.
    void buckets(std::string_view labels, std::span<const double> bounds, std::span<const uint64_t> counts,
                 double sum);

    // All of it.
    std::string finish() &&;

private:
    void family(std::string_view name, std::string_view type, std::string_view help);
    void begin(std::string_view suffix, std::string_view labels, std::string_view more);

    MetricsForm form_;
    std::string name_;
    std::string text_;
};

}  // namespace tcptrail::serve
