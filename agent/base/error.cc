// SPDX-License-Identifier: Apache-2.0
#include "agent/base/error.h"

#include <system_error>

namespace tcptrail {

std::unexpected<Error> fail_errno(const std::string& what, int number) {
    return fail(what + ": " + std::generic_category().message(number));
}

}  // namespace tcptrail
