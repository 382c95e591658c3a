// SPDX-License-Identifier: Apache-2.0
//
// One record of the ring: what decode() lets pass must go through all stages after it.
#include <cstring>
#include <memory>

#include "agent/capture/decode.h"
#include "agent/connections/addresses.h"
#include "agent/connections/connections.h"
#include "agent/connections/listener.h"
#include "agent/encode/event.h"
#include "agent/encode/listener.h"
#include "agent/encode/text.h"
#include "bpf/abi/lean.h"
#include "tests/fuzz/target.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using ::tests::fuzz::expect;

namespace {

using encode::TextFormat;

// Its line in each form; JSON must take it, whatever the names in it are.
template <class Message>
void print(const Message& message) {
    for (const TextFormat format : {TextFormat::table, TextFormat::wide, TextFormat::csv, TextFormat::jsonl})
        expect(encode::text_line(format, message).has_value(), "no line of text");
}

void take_connection(const tcptrail_record& record) {
    static const connections::Kernel kernel{250, {"NOT_SPECIFIED", "NO_SOCKET"}};
    static encode::EventEncoder encoder({"host", "node", "boot", "run", "6.1"});
    const auto connection = connections::connection_of(record, kernel, 1'700'000'000'000'000'000);
    expect(connection.timeline_size <= connection.timeline.size(), "a timeline that is too long");
    const Message& message = encoder.encode_message(connection, {"/bin/x", "/a", "", {}}, 1);
    v1::ConnectionEvent event;
    expect(event.ParseFromString(message.value), "cannot be parsed");
    expect(encode::to_message(event).value == message.value, "not as protobuf writes it");
    print(event);
}

void take_listener(const tcptrail_listener_record& record) {
    const auto listener = connections::listener_of(record, 1);
    print(encode::listener_message(listener, {}, nullptr));
}

// The ring's records begin at multiples of 8 bytes.
void run(std::span<const uint8_t> input) {
    const auto aligned = std::make_unique<uint64_t[]>(input.size() / sizeof(uint64_t) + 1);
    if (!input.empty()) std::memcpy(aligned.get(), input.data(), input.size());
    const std::span bytes(reinterpret_cast<const std::byte*>(aligned.get()), input.size());
    tcptrail_record room;
    if (const auto record = capture::decode(bytes, room)) take_connection(**record);
    if (const auto record = capture::decode_listener(bytes)) take_listener(**record);
}

template <class Record>
std::string bytes_of(const Record& record) {
    return {reinterpret_cast<const char*>(&record), sizeof record};
}

std::vector<std::string> seeds() {
    auto client = tcptrail::tests::make_record(TCPTRAIL_ROLE_CLIENT);
    tcptrail::tests::walk(client, {2, 1, 4, 5, 7});
    auto server = tcptrail::tests::make_record(TCPTRAIL_ROLE_SERVER);
    tcptrail::tests::walk(server, {3, 1, 8, 9, 7});
    server.birth.family = AF_INET6;
    server.flags = TCPTRAIL_RECORD_FIN_RECEIVED | TCPTRAIL_RECORD_HAS_RTO_COUNT | TCPTRAIL_RECORD_KEEPALIVE;
    tcptrail_listener_record listener{};
    listener.version = TCPTRAIL_RECORD_VERSION;
    listener.size = sizeof listener;
    listener.addresses = connections::addresses_of(client.birth);
    listener.listener.owner = client.birth.owner;
    tcptrail_lean lean{};
    lean.version = TCPTRAIL_RECORD_VERSION;
    lean.size = sizeof lean;
    lean.ended_ns = 1'000'000'000;
    return {bytes_of(client), bytes_of(server), bytes_of(lean), bytes_of(listener)};
}

const ::tests::fuzz::Register registered({"record", run, seeds});

}  // namespace
