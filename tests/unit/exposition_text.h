// SPDX-License-Identifier: Apache-2.0
//
// Metrics read back, for the tests of those who write them.
#pragma once

#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace tests {

struct MetricsText {
    std::map<std::string, double> samples;                             // name{labels} → value
    std::map<std::string, std::pair<std::string, std::string>> types;  // family → type, help

    // Of all samples of that name that have all of `labels` (key="value", with a comma between).
    double sum(const std::string& name, const std::set<std::string>& labels = {}) const {
        double all = 0;
        for (const auto& [key, value] : samples) {
            if (key != name && !key.starts_with(name + "{")) continue;
            bool fits = true;
            for (const std::string& label : labels)
                fits &= key.find(label) != std::string::npos;
            if (fits) all += value;
        }
        return all;
    }
    size_t count(const std::string& prefix) const {
        size_t n = 0;
        for (const auto& [key, value] : samples)
            n += key.starts_with(prefix);
        return n;
    }
};

// Throws where a sample is there twice, is no sample, or stands outside its family.
inline MetricsText read_metrics(const std::string& text) {
    MetricsText read;
    std::string family;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string mark, kind, name, rest;
        if (line == "# EOF") continue;
        if (line.starts_with("# ")) {
            words >> mark >> kind >> name;
            std::getline(words >> std::ws, rest);
            if (kind == "HELP") {
                if (read.types.contains(name)) throw std::runtime_error("a family twice: " + line);
                read.types[name].second = rest;
                family = name;
            } else if (kind != "TYPE" || name != family) {
                throw std::runtime_error("no comment: " + line);
            } else {
                read.types[name].first = rest;
            }
            continue;
        }
        const size_t blank = line.rfind(' ');
        if (blank == std::string::npos || family.empty() || !line.starts_with(family))
            throw std::runtime_error("no sample: " + line);
        if (!read.samples.emplace(line.substr(0, blank), std::stod(line.substr(blank + 1))).second)
            throw std::runtime_error("a sample twice: " + line);
    }
    return read;
}

}  // namespace tests
