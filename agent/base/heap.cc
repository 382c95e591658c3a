// SPDX-License-Identifier: Apache-2.0
#include "agent/base/heap.h"

#include <malloc.h>

namespace tcptrail {

void share_one_heap() {
    mallopt(M_ARENA_MAX, 1);
}

void trim_heap() {
    malloc_trim(0);
}

}  // namespace tcptrail
