// SPDX-License-Identifier: Apache-2.0
#include "agent/context/host.h"

#include <sys/random.h>
#include <sys/utsname.h>
#include <xxhash.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>

namespace tcptrail::context {

namespace {

constexpr size_t machine_id_size = 32;  // hexadecimal digits: machine-id(5)

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string hash_hex(const std::string& text) {
    const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
    char hex[33];
    std::snprintf(hex, sizeof hex, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    return hex;
}

// RFC 4122, version 4.
std::string random_uuid() {
    std::array<uint8_t, 16> b{};
    if (getrandom(b.data(), b.size(), 0) != static_cast<ssize_t>(b.size()))
        return first_line("/proc/sys/kernel/random/uuid");
    b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);
    b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
    std::string text;
    for (size_t i = 0; i < b.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        char hex[3];
        std::snprintf(hex, sizeof hex, "%02x", b[i]);
        text += hex;
    }
    return text;
}

}  // namespace

Host identify_host(const std::string& proc, const std::string& node,
                   const std::vector<std::string>& machine_ids) {
    Host host;
    utsname system{};
    uname(&system);
    host.kernel = system.release;
    host.node = node.empty() ? system.nodename : node;
    host.boot_id = first_line(proc + "/sys/kernel/random/boot_id");
    host.run_id = random_uuid();
    std::string machine;
    for (const std::string& file : machine_ids) {
        machine = first_line(file);
        if (machine.size() >= machine_id_size) break;
        machine.clear();
    }
    if (machine.empty()) machine = host.boot_id.empty() ? "run " + host.run_id : "boot " + host.boot_id;
    host.host_id = hash_hex("tcptrail host " + machine);
    return host;
}

}  // namespace tcptrail::context
