// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/compression.h"

#include <cstdint>
#include <utility>

#include "agent/spool/batch.h"

namespace tcptrail::spool {
namespace {

constexpr size_t smallest_bytes = 256;               // below it nothing is gained
constexpr unsigned long long max_plain = 64u << 20;  // no batch comes near it

}  // namespace

Compressor::Compressor(int level) : context_(ZSTD_createCCtx()) {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
}

std::string Compressor::pack(std::string plain) {
    if (plain.size() < smallest_bytes) return plain;
    // No larger than what would be worth it.
    packed_.resize(plain.size() - plain.size() / 10);
    packed_[0] = compressed_payload;
    const size_t size =
        ZSTD_compress2(context_.get(), packed_.data() + 1, packed_.size() - 1, plain.data(), plain.size());
    if (ZSTD_isError(size)) return plain;
    return packed_.substr(0, size + 1);
}

std::string Compressor::pack_densely(std::string plain) {
    std::string columns = columns_.pack(plain);
    if (columns.empty()) return pack(std::move(plain));
    columns.insert(columns.begin(), columns_payload);
    return columns;
}

Result<std::vector<char>> Decompressor::unpack(std::span<const char> stored) {
    if (!stored.empty() && stored[0] == columns_payload) return unpack_columns(stored.subspan(1));
    if (stored.empty() || stored[0] != compressed_payload)
        return std::vector<char>(stored.begin(), stored.end());
    const auto packed = stored.subspan(1);
    const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > max_plain)
        return fail("a compressed payload without a size");
    std::vector<char> plain(size);
    const size_t done =
        ZSTD_decompressDCtx(context_.get(), plain.data(), plain.size(), packed.data(), packed.size());
    if (ZSTD_isError(done)) return fail(std::string("a compressed payload: ") + ZSTD_getErrorName(done));
    if (done != plain.size()) return fail("a compressed payload of another size");
    return plain;
}

}  // namespace tcptrail::spool
