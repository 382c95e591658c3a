// SPDX-License-Identifier: Apache-2.0
//
// A batch as it is stored: plain, compressed or in columns. A disk may have changed its bytes, and the file
// may be anybody's (tcptrail spool verify|export).
#include <algorithm>

#include "agent/encode/event.h"
#include "agent/spool/batch.h"
#include "agent/spool/columns_wire.h"
#include "agent/spool/compression.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

// Forms of which an input has the inside: compressed here, so that changes come behind zstd.
constexpr char opened_compressed = '\x82';
constexpr char opened_columns = '\x83';
constexpr size_t most_plain = 64u << 20;
constexpr size_t most_repacked = 16u << 10;  // to pack takes a hundred times as long as to unpack

std::string compressed(std::string_view text) {
    std::string frame(ZSTD_compressBound(text.size()), '\0');
    frame.resize(ZSTD_compress(frame.data(), frame.size(), text.data(), text.size(), 1));
    return frame;
}

// Columns begin with a frame that has what is too small for one of its own, and says how all is to be read.
std::string with_frame(std::string_view inside) {
    spool::columns::Reader reader(inside);
    const std::string_view meta = reader.text();
    std::string packed(1, spool::columns_payload);
    spool::columns::put_number(packed, meta.size());
    spool::columns::put_text(packed, compressed(meta));
    return packed.append(meta.end(), inside.end());
}

std::string stored_of(std::string_view input) try {
    if (input.starts_with(opened_compressed)) return spool::compressed_payload + compressed(input.substr(1));
    if (input.starts_with(opened_columns)) return with_frame(input.substr(1));
    return std::string(input);
} catch (const spool::columns::Broken&) {
    return std::string(input);
}

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
void take_plain(std::span<const char> plain) {
    const auto parsed = spool::parse_payload(plain);
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
    if (built.size() > most_repacked) return;
    spool::Decompressor decompressor;
    for (const std::string& packed : {spool::Compressor(spool::fast_level).pack(built),
                                      spool::Compressor(spool::fast_level).pack_densely(built)}) {
        expect(packed.size() <= built.size(), "packed into more");
        const auto back = decompressor.unpack(packed);
        expect(back && std::ranges::equal(*back, built), "not what was packed");
    }
}

void run(std::span<const uint8_t> input) {
    const std::string stored = stored_of(tests::fuzz::text_of(input));
    const auto plain = spool::Decompressor().unpack(stored);
    if (!plain) {
        expect(!plain.error().message.empty(), "an error without words");
        return;
    }
    const bool is_columns = stored.starts_with(spool::columns_payload);
    expect(plain->size() <= (is_columns ? spool::columns::max_plain : std::max(most_plain, stored.size())),
           "more than a batch can have");
    expect(!is_columns || (*plain)[0] == spool::plain_payload, "columns of something else");
    take_plain(*plain);
}

Message event(uint64_t sequence) {
    v1::ConnectionEvent event;
    event.set_node("web-1");
    event.set_sequence(sequence);
    event.set_connection_id(encode::connection_id(0x0123456789ab, 4096 + sequence, 1'000'000 * sequence));
    event.set_role(sequence % 3 == 0 ? v1::ROLE_CLIENT : v1::ROLE_SERVER);
    event.set_local_address("192.0.2.1");
    event.set_local_port(443);
    event.set_remote_address("198.51.100." + std::to_string(sequence * 7 % 20));
    event.set_remote_port(static_cast<uint32_t>(32768 + sequence * 77 % 28000));
    event.mutable_process()->set_name("nginx");
    const uint64_t ended = 1'795'377'413'000'000'000 + sequence * 5'000'000;
    event.set_opened_unix_nanos(ended - 123'000 * sequence);
    event.set_ended_unix_nanos(ended);
    event.set_lifetime_us(123 * sequence);
    for (uint64_t i = 0; i < sequence % 3; ++i)
        event.add_timeline()->set_at_us(10 * i);
    event.set_bytes_sent(sequence * 1000 % 7);
    return encode::to_message(event);
}

std::string dense(const std::string& plain) {
    return spool::Compressor(spool::dense_level).pack_densely(plain);
}

// With what its first frame has in the open.
std::string opened(const std::string& packed) {
    spool::columns::Reader reader(std::string_view(packed).substr(1));
    std::string meta(reader.number(), '\0');
    const std::string_view frame = reader.text();
    (void)ZSTD_decompress(meta.data(), meta.size(), frame.data(), frame.size());
    std::string inside(1, opened_columns);
    spool::columns::put_text(inside, meta);
    return inside.append(frame.end(), std::string_view(packed).end());
}

std::vector<std::string> seeds() {
    std::vector<Message> few, many;
    for (uint64_t i = 1; i <= 110; ++i)
        (i <= 12 ? few : many).push_back(event(i));
    few.insert(few.begin() + 3, {Topic::agents, "host", std::string(40, 'r')});
    few.insert(few.begin() + 5, {Topic::connections, "another key", few[0].value});
    const std::string plain = built_of(few);
    return {
        built_of({}),
        built_of({{Topic::connections, "10.0.0.1 1 10.0.0.2 2", "a value"}, {Topic::agents, "host", ""}}),
        built_of({{Topic::connections, "", std::string(300, 'x')}}),
        plain,
        spool::Compressor(spool::fast_level).pack(plain),
        opened_compressed + plain,
        dense(plain),
        opened(dense(plain)),
        dense(built_of(many)),
        opened(dense(built_of(many))),
    };
}

const tests::fuzz::Register registered({"payload", run, seeds});

}  // namespace
