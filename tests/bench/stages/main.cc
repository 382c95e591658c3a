// SPDX-License-Identifier: Apache-2.0
//
// What each stage costs per event, beside the least that it could cost. tests/README.md tells how to read it.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <exception>
#include <string>

#include "tests/bench/stages/content.h"

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    try {
        const auto& content = tcptrail::bench::Content::get();
        uint64_t bytes = 0;
        for (const auto& record : content.raw())
            bytes += record.size();
        const auto per = [&](uint64_t sum) {
            return std::to_string(sum / content.raw().size()) + " bytes each";
        };
        benchmark::AddCustomContext("content", content.is_recorded() ? "recorded" : "made, not recorded");
        benchmark::AddCustomContext("records", std::to_string(content.raw().size()) + ", " + per(bytes));
        benchmark::AddCustomContext("messages", per(content.message_bytes()));
        benchmark::RunSpecifiedBenchmarks();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "stages: %s\n", error.what());
        return 1;
    }
}
