// SPDX-License-Identifier: Apache-2.0
//
// For columns*.cc alone: a packed payload is a stream of parts, in which numbers and texts lie together.
#pragma once

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/spool/columns_wire.h"

namespace tcptrail::spool::columns {

inline constexpr size_t smallest_frame = 64;  // values; fewer are compressed together with others

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
    // Before as many are made: what is packed says how many there are, which takes a byte.
    void expect(uint64_t count, size_t bytes_each) {
        if (count > room_ / bytes_each) throw Broken();
        room_ -= count * bytes_each;
    }
    std::string part(uint64_t size) {
        const uint64_t frame = meta_.number();
        if (frame != 0) return decompress(frames_.take(frame), size);
        expect(size, 1);
        return std::string(meta_.take(size));
    }

private:
    std::string decompress(std::string_view frame, uint64_t size) {
        expect(size, 1);
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
    size_t room_ = max_parts;
    std::string meta_text_;
    Reader meta_{""};
    Reader frames_;
};

// Numbers as planes of bytes: the lowest of all, then the next.
void put_planes(Parts& parts, const std::vector<uint64_t>& numbers);
std::vector<uint64_t> get_planes(PartsReader& parts, size_t count);

// Texts, or a list of those that there are and an index for each.
void put_texts(Parts& parts, const std::vector<std::string_view>& texts);
class Texts {
public:
    Texts() = default;
    Texts(PartsReader& parts, size_t count) {
        const uint64_t listed = parts.meta().number();
        if (listed > count) throw Broken();
        if (listed > 1) indexes_ = get_planes(parts, count);
        constant_ = listed == 1;
        const auto lengths = get_planes(parts, listed > 0 ? listed : count);
        parts.expect(lengths.size(), sizeof places_[0]);
        places_.reserve(lengths.size());
        uint64_t size = 0;
        for (const uint64_t length : lengths) {
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

}  // namespace tcptrail::spool::columns
