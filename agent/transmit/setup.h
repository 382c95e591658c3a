// SPDX-License-Identifier: Apache-2.0
//
// Why librdkafka cannot make a client of its certificates, keys and credentials.
#pragma once

#include <string>
#include <string_view>

namespace tcptrail::transmit {

// What rd_kafka_new() says, with what it means and what to do where that is known.
std::string explain_setup(std::string_view reason);

}  // namespace tcptrail::transmit
