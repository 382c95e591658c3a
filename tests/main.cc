// SPDX-License-Identifier: Apache-2.0
//
// The main function of every test program. Its last line of output is "N passed, N failed", with
// ", N skipped" if there were any; tests/run adds these lines up.
#define CATCH_CONFIG_RUNNER
#include <cstdio>

#include "tests/catch.h"

namespace {

#if CATCH_VERSION_MAJOR >= 3
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

// Tests run one after the other, in one thread.
struct {
    bool finished = false;
    bool skipping = false;  // the test case that runs
    unsigned passed = 0;
    unsigned failed = 0;
    unsigned skipped = 0;
} tally;

class Count : public Listener {
public:
    using Listener::Listener;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        Listener::testCaseStarting(info);
        tally.skipping = false;
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        if (stats.totals.testCases.failed > 0)
            tally.failed++;
        else if (tally.skipping)
            tally.skipped++;
        else
            tally.passed++;
        Listener::testCaseEnded(stats);
    }

    void testRunEnded(const Catch::TestRunStats& stats) override {
        tally.finished = true;
        Listener::testRunEnded(stats);
    }
};

CATCH_REGISTER_LISTENER(Count)

}  // namespace

void tests::skip(const std::string& reason) {
    tally.skipping = true;
    std::fprintf(stderr, "skipped: %s: %s\n", Catch::getResultCapture().getCurrentTestName().c_str(),
                 reason.c_str());
}

int main(int argc, char** argv) {
    const int status = Catch::Session().run(argc, argv);
    if (!tally.finished) return status;  // --help, --list-tests, a wrong argument
    std::printf("%u passed, %u failed", tally.passed, tally.failed);
    if (tally.skipped > 0) std::printf(", %u skipped", tally.skipped);
    std::printf("\n");
    return tally.failed > 0 || tally.passed + tally.skipped == 0 ? 1 : 0;
}
