// SPDX-License-Identifier: Apache-2.0
#include "agent/base/thread.h"

#include <sys/resource.h>

#include "tests/catch.h"

using namespace tcptrail;

namespace {

int niceness() {
    return getpriority(PRIO_PROCESS, 0);
}

}  // namespace

TEST_CASE("thread: raised while it must be, by the most that was asked, and as before then", "[unit]") {
    const int before = niceness();
    const bool may = may_be_raised(6).has_value();  // as who is not root may not
    CHECK(niceness() == before);
    {
        PriorityBoost boost;
        boost.raise(0);
        CHECK(niceness() == before);
        boost.raise(2);
        CHECK(niceness() == (may ? before - 2 : before));
        boost.raise(6);
        boost.raise(2);
        CHECK(niceness() == (may ? before - 6 : before));
    }
    CHECK(niceness() == before);
}

TEST_CASE("thread: as far as niceness goes", "[unit]") {
    const int before = niceness();
    const bool may = may_be_raised(40).has_value();
    CHECK(niceness() == before);
    {
        PriorityBoost boost;
        boost.raise(40);
        CHECK(niceness() == (may ? -20 : before));
    }
    CHECK(niceness() == before);
}
