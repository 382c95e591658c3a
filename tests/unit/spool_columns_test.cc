// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns.h"

#include <sys/resource.h>

#include <functional>
#include <random>

#include "agent/encode/event.h"
#include "agent/spool/columns_parts.h"
#include "agent/spool/compression.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

namespace {

// Ends of connections as a busy server tells them.
Message event(std::mt19937_64& random, uint64_t sequence) {
    const auto below = [&random](uint64_t n) { return random() % n; };
    v1::ConnectionEvent event;
    const bool client = below(3) == 0;
    event.set_host_id("0ed956421162208d91deb81f64558d47");
    event.set_node("web-1");
    event.set_run_id("d3128644-2306-4764-88cc-ad072647e855");
    event.set_sequence(sequence);
    const uint64_t ended = 1'795'377'413'000'000'000 + sequence * 5'000'000 + below(1'000'000);
    const uint64_t established = ended - 100'000 - below(5'000'000);
    const uint64_t opened = established - 30'000 - below(100'000);
    event.set_emitted_unix_nanos(ended + 40'000'000 - below(1'000'000));
    event.set_kind(v1::EVENT_KIND_CLOSED);
    event.set_connection_id(encode::connection_id(0x0123456789ab, 4096 * below(2) + sequence,
                                                  opened - 1'700'000'000'000'000'000));
    event.set_role(client ? v1::ROLE_CLIENT : v1::ROLE_SERVER);
    event.set_local_address("192.0.2.1");
    event.set_local_port(client ? 32768 + static_cast<uint32_t>(below(28000)) : 443);
    event.set_remote_address("198.51.100." + std::to_string(below(200)));
    event.set_remote_port(client ? 5432 : 32768 + static_cast<uint32_t>(below(28000)));
    v1::Process& process = *event.mutable_process();
    process.set_pid(client ? 4711 : 815);
    process.set_name(client ? "java" : "nginx");
    process.set_cgroup_path(client ? "/system.slice/app.service" : "/system.slice/nginx.service");
    event.set_opened_unix_nanos(opened);
    event.set_established_unix_nanos(established);
    event.set_ended_unix_nanos(ended);
    event.set_connect_us((established - opened) / 1000);
    event.set_lifetime_us((ended - established) / 1000);
    for (int i = 0; i < 4; i++) {
        v1::StateChange& change = *event.add_timeline();
        change.set_state(static_cast<v1::State>(i + 1));
        if (i > 0) change.set_at_us((established - opened) / 1000 + below(10) * static_cast<uint64_t>(i));
    }
    event.set_bytes_sent(below(10) == 0 ? below(100'000) : 300);
    event.set_bytes_acked(event.bytes_sent());
    event.set_rtt_us(static_cast<uint32_t>(below(500)));
    event.set_congestion("cubic");
    return encode::to_message(event);
}

std::string plain_of(const std::vector<Message>& list) {
    PayloadBuilder builder;
    for (const Message& message : list)
        builder.add(message);
    return builder.take();
}

std::vector<Message> events(int count) {
    std::mt19937_64 random(5);
    std::vector<Message> list;
    for (int i = 0; i < count; i++)
        list.push_back(event(random, static_cast<uint64_t>(i + 1)));
    return list;
}

std::string pack_columns(const std::string& plain) {
    return ColumnPacker().pack(plain);
}

// Of events of one shape, which has no value yet.
columns::Parts claimed(size_t count, const std::string& tokens) {
    columns::Parts parts;
    columns::put_number(parts.meta, count);
    columns::put_number(parts.meta, 1);
    columns::put_text(parts.meta, tokens);
    parts.add(std::string(count, '\0'));
    columns::put_planes(parts, std::vector<uint64_t>(count, 1));
    columns::put_texts(parts, {});
    columns::put_texts(parts, {});
    return parts;
}

long most_resident_mib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss >> 10;
}

std::string unpacked(const std::string& packed) {
    auto plain = unpack_columns(packed);
    REQUIRE(plain);
    return {plain->begin(), plain->end()};
}

}  // namespace

TEST_CASE("events in columns take half of what they take one after the other") {
    const std::string plain = plain_of(events(2000));
    const std::string packed = pack_columns(plain);
    REQUIRE_FALSE(packed.empty());
    CHECK(unpacked(packed) == plain);
    CHECK(packed.size() < Compressor(dense_level).pack(plain).size() * 6 / 10);
}

TEST_CASE("what one payload was packed by does for the next, and for others too") {
    std::mt19937_64 random(8);
    ColumnPacker packer;
    const auto ordinary = plain_of(events(2000));
    const size_t alone = packer.pack(ordinary).size();
    for (int i = 0; i < 20; i++) {
        // Of the same shapes, with other numbers.
        auto list = events(200);
        for (Message& message : list) {
            v1::ConnectionEvent event;
            REQUIRE(event.ParseFromString(message.value));
            event.set_rtt_us(static_cast<uint32_t>(random()) | 1);
            event.set_ended_unix_nanos(random() | 1);
            message = encode::to_message(event);
        }
        const std::string plain = plain_of(list);
        CHECK(unpacked(packer.pack(plain)) == plain);
        CHECK(packer.pack(ordinary).size() < alone + alone / 20);
    }
}

TEST_CASE("the ids of a boot's connections take next to nothing in columns, and others what they are") {
    const auto with_ids = [](const std::function<std::string(v1::ConnectionEvent&)>& id) {
        auto list = events(2000);
        for (Message& message : list) {
            v1::ConnectionEvent event;
            REQUIRE(event.ParseFromString(message.value));
            event.set_connection_id(id(event));
            message = encode::to_message(event);
        }
        return list;
    };
    const auto packed_size = [](const std::vector<Message>& list) {
        const std::string packed = pack_columns(plain_of(list));
        REQUIRE_FALSE(packed.empty());
        CHECK(unpacked(packed) == plain_of(list));
        return packed.size();
    };
    const size_t none = packed_size(with_ids([](auto&) { return std::string(); }));
    CHECK(packed_size(events(2000)) < none + 2000 * 3);
    std::mt19937_64 random(3);
    const auto any = [&random](const char* digits, size_t length) {
        std::string text;
        while (text.size() < length)
            text.push_back(digits[random() % 16]);
        return text;
    };
    CHECK(packed_size(with_ids([&](auto&) { return any("0123456789abcdef", 32); })) > none + 2000 * 15);
    CHECK(packed_size(with_ids([&](auto&) { return any("0123456789ABCDEF", 32); })) > none + 2000 * 15);
    CHECK(packed_size(with_ids([&](auto&) { return any("0123456789abcdeg", random() % 40); })) > none);
}

TEST_CASE("columns give back messages of any kind among the events") {
    auto list = events(300);
    std::mt19937_64 random(9);
    const auto add = [&](Topic topic, const std::string& key, const std::string& value) {
        list.insert(list.begin() + static_cast<ptrdiff_t>(random() % list.size()), {topic, key, value});
    };
    add(Topic::agents, "0ed956421162208d91deb81f64558d47", std::string(5000, 'r'));
    add(Topic::connections, "another key", list[3].value);
    add(Topic::connections, "", "");
    // Of a later schema: fields that are not known, of each kind, and an end without an address or a port.
    add(Topic::connections, list[5].key,
        list[5].value + std::string("\xa2\x3e\x03new\xa9\x3e"
                                    "12345678\xb5\x3e"
                                    "1234\x98\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
                                    34));
    add(Topic::connections, " 0  0", "\x28\1");
    const std::string plain = plain_of(list);
    const std::string packed = pack_columns(plain);
    REQUIRE_FALSE(packed.empty());
    CHECK(unpacked(packed) == plain);
}

TEST_CASE("what is no event, or is not written as protobuf writes it, comes back as it was") {
    auto list = events(50);
    SECTION("no protobuf") {
        list[20].value =
            GENERATE(as<std::string>{}, "\xff\xff", "\x08", "\x0b\x0c", std::string("\x12\x7f", 2),
                     std::string("\0\0", 2), std::string("\x08\x80\x00", 3));
        CHECK_FALSE(pack_columns(plain_of(list)).empty());
    }
    SECTION("a number with more bytes than it needs") {
        // Columns would give it back with fewer: that is noticed.
        list[20].value += std::string("\x28\x81\x00", 3);
        CHECK(pack_columns(plain_of(list)).empty());
    }
    const std::string plain = plain_of(list);
    auto back = Decompressor().unpack(Compressor(dense_level).pack_densely(plain));
    REQUIRE(back);
    CHECK(std::string(back->begin(), back->end()) == plain);
}

TEST_CASE("columns that are damaged are found out, or give something; they do no harm") {
    const std::string packed = pack_columns(plain_of(events(200)));
    REQUIRE_FALSE(packed.empty());
    for (size_t length = 0; length < packed.size(); length += 7)
        CHECK_FALSE(unpack_columns(std::span(packed).first(length)));
    std::mt19937 random(11);
    for (int i = 0; i < 3000; i++) {
        std::string noise = packed;
        for (int flips = 0; flips < 3; flips++)
            noise[random() % noise.size()] = static_cast<char>(random());
        (void)unpack_columns(noise);
    }
}

TEST_CASE("columns that claim more than a batch can have are refused before they take it") {
    const long before = most_resident_mib();
    const auto is_refused = [](columns::Parts& parts) {
        const std::string packed = parts.take();
        CHECK(packed.size() < 100'000);
        const auto plain = unpack_columns(packed);
        return !plain && !plain.error().message.empty();
    };
    const std::string numbers(250, '\x08'), texts(250, '\x0a');
    SECTION("numbers, each column of them in a byte") {
        auto parts = claimed(GENERATE(100'000, 1'000'000, 8'000'000), numbers);
        parts.meta.append(size_t{4} * 250, '\0');
        CHECK(is_refused(parts));
    }
    SECTION("the same long text in each event") {
        const std::string text(100'000, 'x');
        auto parts = claimed(1000, "\x0a");
        columns::put_texts(parts, std::vector<std::string_view>(1000, text));
        CHECK(is_refused(parts));
    }
    SECTION("long texts in one event") {
        const std::string text(1'000'000, 'x');
        auto parts = claimed(1, texts);
        for (int leaf = 0; leaf < 250; leaf++)
            columns::put_texts(parts, {text});
        CHECK(is_refused(parts));
    }
    SECTION("messages of nothing but empty ones") {
        std::string tokens;
        for (int i = 0; i < 10'000; i++)
            tokens += "\x0b\x0c";
        auto parts = claimed(10'000, tokens);
        CHECK(is_refused(parts));
    }
    CHECK(most_resident_mib() < before + 200);
}

TEST_CASE("a message that is larger than a batch is stored, if not in columns") {
    auto list = events(20);
    list.push_back({Topic::agents, "host", std::string(GENERATE(3u << 20, 10u << 20), 'r')});
    const std::string plain = plain_of(list);
    const auto back = Decompressor().unpack(Compressor(dense_level).pack_densely(plain));
    REQUIRE(back);
    CHECK(std::string(back->begin(), back->end()) == plain);
}
