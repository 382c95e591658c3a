// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <utility>

#include "agent/encode/message.h"
#include "agent/spool/batch.h"
#include "agent/spool/columns_parts.h"
#include "agent/spool/columns_predictor.h"
#include "agent/spool/columns_shape.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::spool {

using namespace columns;

namespace {

constexpr size_t max_shapes = 200;

// Finds the shape of an event, a new one if need be. False: it is none, or there are too many shapes.
bool recognize(std::string_view value, std::vector<Shape>& shapes, std::map<std::string, size_t>& numbers,
               Paths& paths, Event& event) try {
    std::string tokens;
    split(value, v1::ConnectionEvent::descriptor(), tokens, event.values);
    auto found = numbers.find(tokens);
    if (found == numbers.end()) {
        if (shapes.size() == max_shapes) return false;
        shapes.push_back(make_shape(tokens, paths));
        found = numbers.emplace(std::move(tokens), shapes.size() - 1).first;
    }
    event.shape = found->second;
    return true;
} catch (const Broken&) {
    return false;
}

void pack(std::string_view plain, Choices& choices, Parts& parts) {
    Reader reader(plain);
    reader.byte();
    Paths paths;
    std::map<std::string, size_t> numbers;
    std::vector<Shape> shapes;
    std::vector<Event> events;
    std::vector<uint64_t> shape_ids;  // 0: a message as it is
    std::vector<std::string_view> keys, others;
    std::string topics;
    while (!reader.at_end()) {
        const uint8_t topic = reader.byte();
        const std::string_view key = reader.text();
        const std::string_view value = reader.text();
        topics.push_back(static_cast<char>(topic));
        Event event{};
        const bool known = static_cast<Topic>(topic) == Topic::connections &&
                           recognize(value, shapes, numbers, paths, event) &&
                           usual_key(shapes[event.shape], event.values) == key;
        shape_ids.push_back(known ? event.shape + 1 : 0);
        if (known) {
            events.push_back(std::move(event));
        } else {
            keys.push_back(key);
            others.push_back(value);
        }
    }
    std::vector<uint64_t> last(paths.size());
    std::vector<std::vector<const Event*>> by_shape(shapes.size());
    for (Event& event : events) {
        const Shape& shape = shapes[event.shape];
        event.before.resize(shape.leaves.size());
        for (size_t leaf = 0; leaf < shape.leaves.size(); leaf++)
            event.before[leaf] = std::exchange(last[shape.leaves[leaf].path], event.values[leaf].number);
        by_shape[event.shape].push_back(&event);
    }

    put_number(parts.meta, topics.size());
    put_number(parts.meta, shapes.size());
    for (const Shape& shape : shapes)
        put_text(parts.meta, shape.tokens);
    parts.add(topics);
    put_planes(parts, shape_ids);
    put_texts(parts, keys);
    put_texts(parts, others);
    for (size_t number = 0; number < shapes.size(); number++) {
        const Shape& shape = shapes[number];
        const auto& mine = by_shape[number];
        if (mine.empty()) continue;
        const std::vector<Predictor>& predictors = choices.of(mine, shape);
        for (size_t leaf = 0; leaf < shape.leaves.size(); leaf++) {
            if (shape.leaves[leaf].wire != varint) {
                std::vector<std::string_view> texts;
                for (const Event* event : mine)
                    texts.push_back(event->values[leaf].text);
                put_texts(parts, texts);
                continue;
            }
            const Predictor predictor = predictors[leaf];
            parts.meta.push_back(static_cast<char>(predictor.kind));
            parts.meta.push_back(static_cast<char>(predictor.first));
            parts.meta.push_back(static_cast<char>(predictor.second));
            std::vector<uint64_t> differences;
            for (const Event* event : mine)
                differences.push_back(
                    zigzag(event->values[leaf].number - predictor.of(event->values, event->before, leaf)));
            put_planes(parts, differences);
        }
    }
}

struct Column {
    Predictor predictor;
    std::vector<uint64_t> differences;
    Texts texts;
};

std::vector<char> unpack(std::string_view packed) {
    PartsReader parts(packed);
    const uint64_t count = parts.meta().number();
    const uint64_t shape_count = parts.meta().number();
    if (shape_count > max_shapes) throw Broken();
    Paths paths;
    std::vector<Shape> shapes;
    for (uint64_t i = 0; i < shape_count; i++) {
        const std::string_view tokens = parts.meta().text();
        parts.expect(tokens.size(), 1);
        shapes.push_back(make_shape(std::string(tokens), paths));
    }
    const std::string topics = parts.part(count);
    const auto shape_ids = get_planes(parts, count);
    std::vector<size_t> counts(shape_count + 1);
    for (const uint64_t id : shape_ids) {
        if (id > shape_count) throw Broken();
        counts[id]++;
    }
    const Texts keys(parts, counts[0]);
    const Texts others(parts, counts[0]);
    std::vector<std::vector<Column>> columns(shape_count);
    for (size_t number = 0; number < shape_count; number++) {
        if (counts[number + 1] == 0) continue;
        for (const Shape::Leaf& leaf : shapes[number].leaves) {
            Column column;
            if (leaf.wire != varint) {
                column.texts = Texts(parts, counts[number + 1]);
            } else {
                const size_t place = columns[number].size();
                const uint8_t kind = parts.meta().byte();
                column.predictor = {static_cast<Predictor::Kind>(kind), parts.meta().byte(),
                                    parts.meta().byte()};
                if (kind > Predictor::last_kind || column.predictor.first > place ||
                    column.predictor.second > place)
                    throw Broken();
                column.differences = get_planes(parts, counts[number + 1]);
            }
            columns[number].push_back(std::move(column));
        }
    }

    std::string out(1, plain_payload);
    std::vector<uint64_t> last(paths.size());
    std::vector<size_t> next(shape_count + 1);
    std::vector<Value> values;
    std::vector<uint64_t> before;
    std::string message;
    const auto check = [&out](size_t more) {
        if (out.size() + more > max_plain) throw Broken();
    };
    for (uint64_t i = 0; i < count; i++) {
        check(0);
        const uint64_t id = shape_ids[i];
        const size_t row = next[id]++;
        out.push_back(topics[i]);
        if (id == 0) {
            check(keys.at(row).size() + others.at(row).size());
            put_text(out, keys.at(row));
            put_text(out, others.at(row));
            continue;
        }
        const Shape& shape = shapes[id - 1];
        values.assign(shape.leaves.size(), {});
        before.assign(shape.leaves.size(), 0);
        size_t texts = 0;
        for (size_t leaf = 0; leaf < values.size(); leaf++) {
            const Column& column = columns[id - 1][leaf];
            if (shape.leaves[leaf].wire != varint) {
                values[leaf].text = column.texts.at(row);
                texts += values[leaf].text.size();
                continue;
            }
            uint64_t& latest = last[shape.leaves[leaf].path];
            before[leaf] = latest;
            latest = values[leaf].number =
                column.predictor.of(values, before, leaf) + unzigzag(column.differences[row]);
        }
        check(texts);
        message.clear();
        Reader tokens(shape.tokens);
        const Value* value = values.data();
        join(tokens, value, message);
        put_text(out, usual_key(shape, values));
        put_text(out, message);
    }
    check(0);
    return {out.begin(), out.end()};
}

}  // namespace

ColumnPacker::ColumnPacker() : choices_(std::make_unique<Choices>()) {}
ColumnPacker::~ColumnPacker() = default;

std::string ColumnPacker::pack(std::string_view plain) try {
    Parts parts;
    spool::pack(plain, *choices_, parts);
    std::string packed = parts.take();
    const std::vector<char> back = unpack(packed);
    if (packed.size() >= plain.size() || !std::ranges::equal(back, plain)) return {};
    return packed;
} catch (const Broken&) {
    return {};
}

Result<std::vector<char>> unpack_columns(std::span<const char> packed) try {
    return unpack(std::string_view(packed.data(), packed.size()));
} catch (const Broken&) {
    return fail("a payload in columns that is broken");
} catch (const std::out_of_range&) {
    return fail("a payload in columns that is broken");
}

}  // namespace tcptrail::spool
