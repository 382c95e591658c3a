// SPDX-License-Identifier: Apache-2.0
//
// The main function of every test program. Its last line of output is "N passed, N failed", with
// ", N skipped" if there were any; tests/run adds these lines up. Before it stands once more what failed,
// where whoever sees only the end of a long output finds it: "---- FAILED: test", and what was expected.
#define CATCH_CONFIG_RUNNER
#include <cstdio>
#include <string>

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
    std::string said;      // by the failed assertions of the test case that runs
    std::string failures;  // of all test cases
} tally;

// "file:line: CHECK( a == b )", what that was, and the messages beside it, each on a line.
std::string describe(const Catch::AssertionStats& stats) {
    const Catch::AssertionResult& result = stats.assertionResult;
    const Catch::SourceLineInfo where = result.getSourceInfo();
    std::string text = std::string(where.file) + ":" + std::to_string(where.line) + ": ";
    if (result.hasExpression())
        text += result.getExpressionInMacro() + "\n    " + result.getExpandedExpression();
    // Catch2 has the message among the messages, too, but for that of an exception.
    if (result.hasMessage() && stats.infoMessages.empty())
        text += "\n    " + std::string(result.getMessage());
    for (const auto& info : stats.infoMessages)
        text += "\n    " + info.message;
    return text + "\n";
}

class Count : public Listener {
public:
    using Listener::Listener;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        Listener::testCaseStarting(info);
        tally.skipping = false;
        tally.said.clear();
    }

#if CATCH_VERSION_MAJOR >= 3
    void assertionEnded(const Catch::AssertionStats& stats) override {
        if (!stats.assertionResult.isOk()) tally.said += describe(stats);
    }
#else
    bool assertionEnded(const Catch::AssertionStats& stats) override {
        if (!stats.assertionResult.isOk()) tally.said += describe(stats);
        return Listener::assertionEnded(stats);
    }
#endif

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        if (stats.totals.testCases.failed > 0) {
            tally.failed++;
            tally.failures +=
                "---- FAILED: " + Catch::getResultCapture().getCurrentTestName() + "\n" + tally.said;
        } else if (tally.skipping)
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
    std::printf("%s%u passed, %u failed", tally.failures.c_str(), tally.passed, tally.failed);
    if (tally.skipped > 0) std::printf(", %u skipped", tally.skipped);
    std::printf("\n");
    return tally.failed > 0 || tally.passed + tally.skipped == 0 ? 1 : 0;
}
