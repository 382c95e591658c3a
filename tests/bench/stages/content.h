// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks work on: content of a ring as record_ring wrote it, or where there is none records as
// the unit tests make them; and what the stages make of it, each stage's input ready for the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/capture/decode.h"
#include "agent/connections/connections.h"
#include "agent/context/context.h"
#include "agent/context/host.h"
#include "agent/encode/message.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::bench {

// The folder of the benchmarks' files; TCPTRAIL_BENCH says another one.
std::string folder();

class Content {
public:
    // Made at the first call.
    static Content& get();

    bool is_recorded() const { return is_recorded_; }
    // As they lie in the ring, aligned to eight.
    const std::vector<std::span<const std::byte>>& raw() const { return raw_; }
    // Decoded.
    const std::vector<tcptrail_record>& records() const { return records_; }
    const std::vector<connections::Connection>& connections() const { return connections_; }
    // Knows the owners: what /proc told of them is made up, in files of our own.
    context::Context& context() { return context_; }
    const context::Host& host() const { return host_; }
    const connections::Kernel& kernel() const { return kernel_; }
    const std::vector<v1::ConnectionEvent>& events() const { return events_; }
    const std::vector<Message>& messages() const { return messages_; }
    uint64_t message_bytes() const { return message_bytes_; }  // keys and values

private:
    Content();
    void read(const std::string& path);
    void make();
    void make_processes(const std::string& proc) const;

    bool is_recorded_ = false;
    std::vector<uint64_t> memory_;  // aligned
    std::vector<std::span<const std::byte>> raw_;
    std::vector<tcptrail_record> records_;
    connections::Kernel kernel_;
    std::vector<connections::Connection> connections_;
    context::Context context_;
    context::Host host_;
    std::vector<v1::ConnectionEvent> events_;
    std::vector<Message> messages_;
    uint64_t message_bytes_ = 0;
};

}  // namespace tcptrail::bench
