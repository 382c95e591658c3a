// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer's way into the one target that is linked with it.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/fuzz/target.h"

using tests::fuzz::Target;

// FUZZ_SEEDS names a folder: writes the seeds into it, and ends.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* const folder = std::getenv("FUZZ_SEEDS");
    if (folder == nullptr) return 0;
    int number = 0;
    for (const std::string& seed : tests::fuzz::targets().at(0).seeds()) {
        std::ofstream file(std::string(folder) + "/seed-" + std::to_string(number++), std::ios::binary);
        file << seed << std::flush;
        if (!file) std::exit(1);
    }
    std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    // What it throws ends the program, which is a finding.
    tests::fuzz::targets().at(0).run({data, size});
    return 0;
}
