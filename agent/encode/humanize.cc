// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/humanize.h"

#include <fmt/compile.h>

#include <string_view>

namespace tcptrail::encode {
namespace {

constexpr uint64_t us_per_s = 1'000'000;

// n / d, rounded to the nearest. Does not overflow.
uint64_t divided(uint64_t n, uint64_t d) {
    const uint64_t rest = n % d;
    return n / d + (rest >= d - rest);
}

std::string decimal(uint64_t tenths) {
    return fmt::format(FMT_COMPILE("{}.{}"), tenths / 10, tenths % 10);
}

// `n` in the largest of the units `step` apart in which it is at least one.
std::string scaled(uint64_t n, uint64_t step, std::string_view units) {
    if (n < step) return std::to_string(n);
    uint64_t unit = step;
    // The next unit begins where this one would read `step`.
    while (units.size() > 1 && divided(n, unit) >= step) {
        unit *= step;
        units.remove_prefix(1);
    }
    const uint64_t tenths = n / unit * 10 + divided(n % unit * 10, unit);
    return (tenths < 1000 ? decimal(tenths) : fmt::format("{}", divided(n, unit))) + units.front();
}

}  // namespace

std::string human_duration(uint64_t us) {
    if (us < 1000) return std::to_string(us) + "us";
    if (const uint64_t tenths = divided(us, 100); tenths < 1000) return decimal(tenths) + "ms";
    if (const uint64_t ms = divided(us, 1000); ms < 1000) return fmt::format("{}ms", ms);
    if (const uint64_t tenths = divided(us, us_per_s / 10); tenths < 600) return decimal(tenths) + "s";
    if (const uint64_t s = divided(us, us_per_s); s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
    if (const uint64_t min = divided(us, 60 * us_per_s); min < 1440)
        return fmt::format("{}h{:02}m", min / 60, min % 60);
    const uint64_t hours = divided(us, 3600 * us_per_s);
    return fmt::format("{}d{:02}h", hours / 24, hours % 24);
}

std::string human_bytes(uint64_t bytes) {
    return scaled(bytes, 1024, "KMGTPE");
}

std::string human_bit_rate(uint64_t bits_per_second) {
    return scaled(bits_per_second, 1000, "kMGTPE") + "bit/s";
}

}  // namespace tcptrail::encode
