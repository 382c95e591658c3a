// SPDX-License-Identifier: Apache-2.0
//
// The payload of a batch in the spool, whose bytes a disk may have changed.
#include "agent/spool/batch.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

std::vector<Message> copies_of(const std::vector<spool::MessageView>& views) {
    std::vector<Message> messages;
    messages.reserve(views.size());
    for (const auto& view : views)
        messages.push_back({view.topic, std::string(view.key), std::string(view.value)});
    return messages;
}

std::string built_of(const std::vector<Message>& messages) {
    spool::PayloadBuilder builder;
    for (const Message& message : messages)
        builder.add(message);
    return builder.take();
}

// What can be read is what is read again when it has been stored again.
void run(std::span<const uint8_t> input) {
    const auto bytes = tests::fuzz::text_of(input);
    const auto parsed = spool::parse_payload({bytes.data(), bytes.size()});
    if (!parsed) {
        expect(!parsed.error().message.empty(), "an error without words");
        return;
    }
    const auto messages = copies_of(*parsed);
    const std::string built = built_of(messages);
    const auto again = spool::parse_payload(built);
    expect(again.has_value(), "what was built cannot be read");
    expect(again->size() == messages.size(), "another number of messages");
    for (size_t i = 0; i < messages.size(); ++i)
        expect((*again)[i].topic == messages[i].topic && (*again)[i].key == messages[i].key &&
                   (*again)[i].value == messages[i].value,
               "another message");
}

std::vector<std::string> seeds() {
    return {
        built_of({}),
        built_of({{Topic::connections, "10.0.0.1 1 10.0.0.2 2", "a value"}, {Topic::agents, "host", ""}}),
        built_of({{Topic::connections, "", std::string(300, 'x')}}),
    };
}

const tests::fuzz::Register registered({"payload", run, seeds});

}  // namespace
