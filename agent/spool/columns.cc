// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns.h"

#include <google/protobuf/descriptor.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "agent/encode/message.h"
#include "agent/spool/batch.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::spool {
namespace {

constexpr size_t max_shapes = 200;
constexpr size_t max_leaves = 250;     // of a shape: one byte names one
constexpr size_t smallest_frame = 64;  // values; fewer are compressed together with others
constexpr size_t max_plain = 64u << 20;
constexpr size_t sample = 256;                         // values that a predictor is judged by
constexpr uint64_t nanos = 1'000'000'000'000'000'000;  // larger: a wall-clock time

// How a protobuf field is written.
enum Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, nested = 3, nested_end = 4, fixed32 = 5 };

// The packed form is damaged. Stays inside this file.
struct Broken {};

class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}
    bool at_end() const { return rest_.empty(); }
    uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
    uint64_t number() {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const uint8_t next = byte();
            value |= static_cast<uint64_t>(next & 0x7f) << shift;
            if (next < 0x80) return value;
        }
        throw Broken();
    }
    std::string_view take(uint64_t length) {
        if (length > rest_.size()) throw Broken();
        const auto taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }
    std::string_view text() { return take(number()); }

private:
    std::string_view rest_;
};

void put_number(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

void put_text(std::string& out, std::string_view text) {
    put_number(out, text.size());
    out += text;
}

uint64_t zigzag(uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}

uint64_t unzigzag(uint64_t value) {
    return (value >> 1) ^ (0 - (value & 1));
}

// The sequence of a message's fields, without their values.
struct Shape {
    struct Leaf {
        Wire wire;
        uint32_t path;  // the same for the same field in all shapes
    };
    std::string tokens;  // tags as numbers; `nested` and `nested_end` stand around the fields of a message
    std::vector<Leaf> leaves;
};

// Gives numbers to paths.
class Paths {
public:
    uint32_t of(const std::string& path) {
        return numbers_.try_emplace(path, static_cast<uint32_t>(numbers_.size())).first->second;
    }
    size_t size() const { return numbers_.size(); }

private:
    std::map<std::string, uint32_t> numbers_;
};

Shape make_shape(std::string tokens, Paths& paths) {
    Shape shape{std::move(tokens), {}};
    Reader reader(shape.tokens);
    std::vector<std::string> parents{""};
    std::vector<std::map<uint64_t, uint64_t>> seen(1);
    while (!reader.at_end()) {
        const uint64_t tag = reader.number();
        const Wire wire = static_cast<Wire>(tag & 7);
        if (wire == nested_end) {
            if (parents.size() < 2) throw Broken();
            parents.pop_back();
            seen.pop_back();
            continue;
        }
        // The third element of a list is another column than the second.
        std::string path = parents.back();
        put_number(path, tag);
        put_number(path, seen.back()[tag]++);
        if (wire == nested) {
            parents.push_back(std::move(path));
            seen.emplace_back();
            if (parents.size() > 8) throw Broken();
            continue;
        }
        if (wire != varint && wire != bytes && wire != fixed32 && wire != fixed64) throw Broken();
        shape.leaves.push_back({wire, paths.of(path)});
        if (shape.leaves.size() > max_leaves) throw Broken();
    }
    if (parents.size() != 1) throw Broken();
    return shape;
}

struct Value {
    uint64_t number = 0;
    std::string_view text;
};

// Splits a message into tokens and values.
void split(std::string_view message, const google::protobuf::Descriptor* type, std::string& tokens,
           std::vector<Value>& values) {
    Reader reader(message);
    while (!reader.at_end()) {
        const uint64_t tag = reader.number();
        switch (static_cast<Wire>(tag & 7)) {
            case varint:
                values.push_back({reader.number(), {}});
                break;
            case fixed64:
                values.push_back({0, reader.take(8)});
                break;
            case fixed32:
                values.push_back({0, reader.take(4)});
                break;
            case bytes: {
                const auto* field = type ? type->FindFieldByNumber(static_cast<int>(tag >> 3)) : nullptr;
                const std::string_view text = reader.text();
                if (field && field->type() == google::protobuf::FieldDescriptor::TYPE_MESSAGE) {
                    put_number(tokens, (tag & ~uint64_t{7}) | nested);
                    split(text, field->message_type(), tokens, values);
                    put_number(tokens, (tag & ~uint64_t{7}) | nested_end);
                    continue;
                }
                values.push_back({0, text});
                break;
            }
            default:
                throw Broken();
        }
        put_number(tokens, tag);
    }
}

// The inverse of split().
void join(Reader& tokens, const Value*& value, std::string& out) {
    while (!tokens.at_end()) {
        const uint64_t tag = tokens.number();
        switch (static_cast<Wire>(tag & 7)) {
            case nested_end:
                return;
            case nested: {
                std::string inner;
                join(tokens, value, inner);
                put_number(out, (tag & ~uint64_t{7}) | bytes);
                put_text(out, inner);
                break;
            }
            case varint:
                put_number(out, tag);
                put_number(out, (value++)->number);
                break;
            case bytes:
                put_number(out, tag);
                put_text(out, (value++)->text);
                break;
            default:
                put_number(out, tag);
                out += (value++)->text;
        }
    }
}

// The key that encode gives to an event, from the fields of its value; those of a later schema may differ,
// and are stored as they are.
std::string usual_key(const Shape& shape, const std::vector<Value>& values) {
    std::string ends[2];
    Reader tokens(shape.tokens);
    size_t depth = 0, leaf = 0;
    while (!tokens.at_end()) {
        const uint64_t tag = tokens.number();
        const auto wire = static_cast<Wire>(tag & 7);
        depth += wire == nested;
        depth -= wire == nested_end;
        if (wire == nested || wire == nested_end) continue;
        const Value& value = values[leaf++];
        if (depth > 0) continue;
        const uint64_t field = tag >> 3;
        if (field == v1::ConnectionEvent::kLocalAddressFieldNumber && wire == bytes)
            ends[0] = value.text.substr(0, value.text.find('%'));
        if (field == v1::ConnectionEvent::kRemoteAddressFieldNumber && wire == bytes)
            ends[1] = value.text.substr(0, value.text.find('%'));
        if (field == v1::ConnectionEvent::kLocalPortFieldNumber && wire == varint)
            ends[0] += " " + std::to_string(value.number);
        if (field == v1::ConnectionEvent::kRemotePortFieldNumber && wire == varint)
            ends[1] += " " + std::to_string(value.number);
    }
    // A port that is 0 is not in the message.
    for (std::string& end : ends)
        if (end.find(' ') == std::string::npos) end += " 0";
    if (ends[1] < ends[0]) std::swap(ends[0], ends[1]);
    return ends[0] + " " + ends[1];
}

// What a number is likely to be: nothing, its predecessor in the stream, another of its event, or the
// microseconds between two times of its event.
struct Predictor {
    enum Kind : uint8_t { none, previous, other, interval };
    Kind kind = none;
    uint8_t first = 0, second = 0;  // leaves before it

    uint64_t of(const std::vector<Value>& event, uint64_t before) const {
        switch (kind) {
            case none:
                return 0;
            case previous:
                return before;
            case other:
                return event[first].number;
            case interval:
                return (event[first].number - event[second].number) / 1000;
        }
        return 0;
    }
};

struct Event {
    size_t shape;
    std::vector<Value> values;
    std::vector<uint64_t> before;  // by leaf: the last number of the same path
};

// Bits that the differences need, roughly: what is always the same needs none.
double cost(std::vector<uint64_t>& differences) {
    std::ranges::sort(differences);
    const auto n = static_cast<double>(differences.size());
    double magnitude = 0, spread = 0;
    for (auto run = differences.begin(); run != differences.end();) {
        const auto end =
            std::find_if(run, differences.end(), [run](uint64_t other) { return other != *run; });
        const auto count = static_cast<double>(end - run);
        magnitude += count * std::bit_width(*run);
        spread += count * std::bit_width(static_cast<uint64_t>(n / count)) + std::bit_width(*run);
        run = end;
    }
    return std::min(magnitude, spread);
}

// The writer's side of a stream of parts: small ones are compressed together.
class Parts {
public:
    Parts() : context_(ZSTD_createCCtx()) {
        ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, 9);
        ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_contentSizeFlag, 0);
    }

    std::string meta;

    void add(std::string_view part) {
        std::string frame;
        if (part.size() >= smallest_frame) frame = compress(part);
        if (frame.empty() || frame.size() >= part.size()) {
            put_number(meta, 0);
            meta += part;
        } else {
            put_number(meta, frame.size());
            frames_ += frame;
        }
    }
    std::string take() {
        std::string out;
        put_number(out, meta.size());
        put_text(out, compress(meta));
        return out + frames_;
    }

private:
    std::string compress(std::string_view part) {
        std::string frame(ZSTD_compressBound(part.size()), '\0');
        const size_t size =
            ZSTD_compress2(context_.get(), frame.data(), frame.size(), part.data(), part.size());
        if (ZSTD_isError(size)) throw Broken();
        frame.resize(size);
        return frame;
    }
    struct Free {
        void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    };
    std::unique_ptr<ZSTD_CCtx, Free> context_;
    std::string frames_;
};

// The reader's side.
class PartsReader {
public:
    explicit PartsReader(std::string_view packed) : context_(ZSTD_createDCtx()), frames_("") {
        Reader reader(packed);
        const uint64_t size = reader.number();
        const auto meta_frame = reader.text();
        meta_text_ = decompress(meta_frame, size);
        frames_ = reader;
        meta_ = Reader(meta_text_);
    }
    Reader& meta() { return meta_; }
    std::string part(uint64_t size) {
        const uint64_t frame = meta_.number();
        if (frame == 0) return std::string(meta_.take(size));
        return decompress(frames_.take(frame), size);
    }

private:
    std::string decompress(std::string_view frame, uint64_t size) {
        if (size > max_plain) throw Broken();
        std::string out(size, '\0');
        const size_t done =
            ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), frame.data(), frame.size());
        if (ZSTD_isError(done) || done != size) throw Broken();
        return out;
    }
    struct Free {
        void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
    };
    std::unique_ptr<ZSTD_DCtx, Free> context_;
    std::string meta_text_;
    Reader meta_{""};
    Reader frames_;
};

// Numbers as planes of bytes: the lowest of all, then the next.
void put_planes(Parts& parts, const std::vector<uint64_t>& numbers) {
    const uint64_t largest = numbers.empty() ? 0 : *std::ranges::max_element(numbers);
    const int width = static_cast<int>((std::bit_width(largest) + 7) / 8);
    parts.meta.push_back(static_cast<char>(width));
    std::string plane(numbers.size(), '\0');
    for (int place = 0; place < width; place++) {
        for (size_t i = 0; i < numbers.size(); i++)
            plane[i] = static_cast<char>(numbers[i] >> (8 * place));
        parts.add(plane);
    }
}

std::vector<uint64_t> get_planes(PartsReader& parts, size_t count) {
    const uint8_t width = parts.meta().byte();
    if (width > 8 || count > max_plain / 8) throw Broken();
    std::vector<uint64_t> numbers(count);
    for (int place = 0; place < width; place++) {
        const std::string plane = parts.part(count);
        for (size_t i = 0; i < count; i++)
            numbers[i] |= static_cast<uint64_t>(static_cast<uint8_t>(plane[i])) << (8 * place);
    }
    return numbers;
}

void put_texts(Parts& parts, const std::vector<std::string_view>& texts) {
    std::unordered_map<std::string_view, uint64_t> places;
    std::vector<std::string_view> distinct;
    std::vector<uint64_t> indexes;
    for (const auto text : texts) {
        const auto [entry, added] = places.try_emplace(text, distinct.size());
        if (added) distinct.push_back(text);
        indexes.push_back(entry->second);
    }
    // A list of those that there are, unless nearly each is another.
    const bool listed = distinct.size() == 1 || distinct.size() * 4 <= texts.size();
    put_number(parts.meta, listed ? distinct.size() : 0);
    const auto& stored = listed ? distinct : texts;
    std::vector<uint64_t> lengths;
    std::string all;
    for (const auto text : stored) {
        lengths.push_back(text.size());
        all += text;
    }
    if (listed && distinct.size() > 1) put_planes(parts, indexes);
    put_planes(parts, lengths);
    parts.add(all);
}

class Texts {
public:
    Texts() = default;
    Texts(PartsReader& parts, size_t count) {
        const uint64_t listed = parts.meta().number();
        if (listed > count) throw Broken();
        if (listed > 1) indexes_ = get_planes(parts, count);
        constant_ = listed == 1;
        uint64_t size = 0;
        for (const uint64_t length : get_planes(parts, listed > 0 ? listed : count)) {
            places_.emplace_back(size, length);
            if (length > max_plain) throw Broken();
            size += length;
            if (size > max_plain) throw Broken();
        }
        all_ = parts.part(size);
    }
    std::string_view at(size_t i) const {
        const uint64_t place = constant_ ? 0 : indexes_.empty() ? i : indexes_.at(i);
        const auto& [begin, length] = places_.at(place);
        return std::string_view(all_).substr(begin, length);
    }

private:
    bool constant_ = false;
    std::vector<uint64_t> indexes_;
    std::vector<std::pair<uint64_t, uint64_t>> places_;
    std::string all_;
};

Predictor choose(const std::vector<const Event*>& events, const Shape& shape, size_t leaf) {
    const size_t step = std::max<size_t>(1, events.size() / sample);
    std::vector<uint64_t> differences;
    Predictor best;
    double least = -1;
    const auto consider = [&](Predictor predictor) {
        differences.clear();
        for (size_t i = 0; i < events.size(); i += step) {
            const Event& event = *events[i];
            differences.push_back(
                zigzag(event.values[leaf].number - predictor.of(event.values, event.before[leaf])));
        }
        const double bits = cost(differences);
        if (least < 0 || bits < least) {
            least = bits;
            best = predictor;
        }
    };
    consider({});
    consider({Predictor::previous});
    std::vector<uint8_t> times;
    for (size_t other = 0; other < leaf && least > 0; other++) {
        if (shape.leaves[other].wire != varint) continue;
        const bool time = events[0]->values[other].number > nanos;
        if (time) times.push_back(static_cast<uint8_t>(other));
        if (time == (events[0]->values[leaf].number > nanos))
            consider({Predictor::other, static_cast<uint8_t>(other)});
    }
    for (const uint8_t second : times)
        for (const uint8_t first : times)
            if (first > second && least > 0) consider({Predictor::interval, first, second});
    return best;
}

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

void pack(std::string_view plain, Parts& parts) {
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
        for (size_t leaf = 0; leaf < shape.leaves.size(); leaf++) {
            if (shape.leaves[leaf].wire != varint) {
                std::vector<std::string_view> texts;
                for (const Event* event : mine)
                    texts.push_back(event->values[leaf].text);
                put_texts(parts, texts);
                continue;
            }
            const Predictor predictor = choose(mine, shape, leaf);
            parts.meta.push_back(static_cast<char>(predictor.kind));
            parts.meta.push_back(static_cast<char>(predictor.first));
            parts.meta.push_back(static_cast<char>(predictor.second));
            std::vector<uint64_t> differences;
            for (const Event* event : mine)
                differences.push_back(
                    zigzag(event->values[leaf].number - predictor.of(event->values, event->before[leaf])));
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
    if (count > max_plain / 8 || shape_count > max_shapes) throw Broken();
    Paths paths;
    std::vector<Shape> shapes;
    for (uint64_t i = 0; i < shape_count; i++)
        shapes.push_back(make_shape(std::string(parts.meta().text()), paths));
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
                if (kind > Predictor::interval || column.predictor.first > place ||
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
    std::string message;
    for (uint64_t i = 0; i < count; i++) {
        if (out.size() > max_plain) throw Broken();
        const uint64_t id = shape_ids[i];
        const size_t row = next[id]++;
        out.push_back(topics[i]);
        if (id == 0) {
            put_text(out, keys.at(row));
            put_text(out, others.at(row));
            continue;
        }
        const Shape& shape = shapes[id - 1];
        values.assign(shape.leaves.size(), {});
        for (size_t leaf = 0; leaf < values.size(); leaf++) {
            const Column& column = columns[id - 1][leaf];
            if (shape.leaves[leaf].wire != varint) {
                values[leaf].text = column.texts.at(row);
                continue;
            }
            uint64_t& before = last[shape.leaves[leaf].path];
            before = values[leaf].number =
                column.predictor.of(values, before) + unzigzag(column.differences[row]);
        }
        message.clear();
        Reader tokens(shape.tokens);
        const Value* value = values.data();
        join(tokens, value, message);
        put_text(out, usual_key(shape, values));
        put_text(out, message);
    }
    return {out.begin(), out.end()};
}

}  // namespace

std::string pack_columns(std::string_view plain) try {
    Parts parts;
    pack(plain, parts);
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
