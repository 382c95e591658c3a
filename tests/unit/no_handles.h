// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/capability.h>

#include "tests/catch.h"

// Without CAP_DAC_READ_SEARCH, as under systemd and Kubernetes by default. Takes it up again at the end.
class NoHandles {
public:
    NoHandles() : before_(cap_get_proc()) {
        const cap_t less = cap_dup(before_);
        const cap_value_t capability = CAP_DAC_READ_SEARCH;
        REQUIRE(cap_set_flag(less, CAP_EFFECTIVE, 1, &capability, CAP_CLEAR) == 0);
        REQUIRE(cap_set_proc(less) == 0);
        cap_free(less);
    }
    ~NoHandles() {
        cap_set_proc(before_);
        cap_free(before_);
    }
    NoHandles(const NoHandles&) = delete;
    NoHandles& operator=(const NoHandles&) = delete;

private:
    cap_t before_;
};
