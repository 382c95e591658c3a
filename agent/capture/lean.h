// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bpf/abi/lean.h"

namespace tcptrail::capture {

// The record of which `lean` is the short form. Writes every byte of `record`; takes any bytes.
void expand(const tcptrail_lean& lean, tcptrail_record& record);

}  // namespace tcptrail::capture
