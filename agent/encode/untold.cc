// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/untold.h"

#include "agent/encode/text_forms.h"

namespace tcptrail::encode {

v1::Untold untold_message(const connections::Untold& untold) {
    v1::Untold message;
    message.set_role(enum_word(static_cast<v1::Role>(untold.role)));
    message.set_outcome(enum_word(static_cast<v1::Outcome>(untold.outcome)));
    message.set_end(enum_word(static_cast<v1::End>(untold.end)));
    message.set_lifecycles(untold.lifecycles);
    message.set_bytes_sent(untold.bytes_sent);
    message.set_bytes_received(untold.bytes_received);
    return message;
}

}  // namespace tcptrail::encode
