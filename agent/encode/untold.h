// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/connections/untold.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::encode {

v1::Untold untold_message(const connections::Untold& untold);

}  // namespace tcptrail::encode
