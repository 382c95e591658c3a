// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/connections/listener.h"
#include "agent/context/context.h"
#include "agent/context/namespaces.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::encode {

// `counts` are those of its namespace, null where they are not known.
v1::Listener listener_message(const connections::Listener& listener, const context::Identity& identity,
                              const context::NamespaceCounts* counts);

}  // namespace tcptrail::encode
