// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/connections/listener.h"
#include "agent/context/context.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::encode {

v1::Listener listener_message(const connections::Listener& listener, const context::Identity& identity);

}  // namespace tcptrail::encode
