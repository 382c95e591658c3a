// SPDX-License-Identifier: Apache-2.0
//
// Takes over what an agent of another version knew of the connections that are open, and of the listeners.
#pragma once

#include <functional>
#include <optional>

#include "agent/base/error.h"
#include "agent/capture/layout.h"
#include "agent/capture/slots.h"

namespace tcptrail::capture {

// Where births lie: descriptors of maps that are not ours, which are borrowed.
struct OldBirths {
    int connections;
    Translation birth;
    int slots;
    std::optional<Translation> slot;  // none: they are ours, or there are none
};

// `to`: a map `connections`; the births that its programs have put into their `slots` are theirs. The births
// are copied while the old programs still trace; `switch_over` is called, which has the new ones trace from
// then on; then they are copied again, for what came and changed in between. What went in between is in the
// new map all the same: all are marked `taken_over` until a sweep has looked at them, and the hooks believe
// them only if the cookie is right. What is born and ends within these milliseconds may be told in part.
Result<> take_over_births(const OldBirths& from, int to, const Slots& slots,
                          const std::function<void()>& switch_over);

// Descriptors of two maps `listeners`, or `details`. What is in `to` already stays.
Result<> take_over_listeners(int from, int to, const Translation& listener);
Result<> take_over_details(int from, int to, const Translation& details);

}  // namespace tcptrail::capture
