// SPDX-License-Identifier: Apache-2.0
//
// Takes over what an agent of another version knew of the connections that are open, and of the listeners.
#pragma once

#include <functional>

#include "agent/base/error.h"
#include "agent/capture/layout.h"

namespace tcptrail::capture {

// Descriptors of two maps `connections`. The births are copied while the old programs still trace;
// `switch_over` is called, which has the new ones trace from then on; then they are copied again, for what
// came and changed in between. What went in between is in the new map all the same: all are marked
// `taken_over` until a sweep has looked at them, and the hooks believe them only if the cookie
// is right. What is born and ends within these milliseconds may be told in part.
Result<> take_over_births(int from, int to, const Translation& birth,
                          const std::function<void()>& switch_over);

// Descriptors of two maps `listeners`, or `details`. What is in `to` already stays.
Result<> take_over_listeners(int from, int to, const Translation& listener);
Result<> take_over_details(int from, int to, const Translation& details);

}  // namespace tcptrail::capture
