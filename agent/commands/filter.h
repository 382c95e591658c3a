// SPDX-License-Identifier: Apache-2.0
//
// Which events a command shows: `observe --port 443 --failed`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace CLI {
class App;
}

namespace tcptrail::v1 {
class ConnectionEvent;
class Listener;
}  // namespace tcptrail::v1

namespace tcptrail::commands {

enum class RoleFilter { any, client, server };

// An event must satisfy every option that is given. Of a list, any element will do; an empty list asks for
// nothing.
struct FilterOptions {
    std::vector<uint32_t> pids = {};           // of the owner, in the initial pid namespace
    std::vector<std::string> processes = {};   // the owner's exact name, or a glob: "nginx*"
    std::vector<std::string> units = {};       // the same of its systemd unit; "nginx" is "nginx.service"
    std::vector<std::string> containers = {};  // the beginning of its container's id, or its name in the pod
    std::vector<std::string> namespaces = {};  // of its pod, a glob perhaps
    std::vector<std::string> pods = {};        // its name, the same
    std::vector<std::string> workloads = {};   // what runs it: "api", "Deployment/api", the same
    std::vector<uint16_t> ports = {};          // of either end
    std::vector<std::string> addresses = {};   // of either end: an address or a network in CIDR notation
    RoleFilter role = RoleFilter::any;
    bool failed = false;                 // only attempts whose outcome is known and not ESTABLISHED
    std::optional<uint32_t> netns = {};  // inode of the network namespace
};

// Adds the options to a command, checked while they are parsed. `options` must outlive the parsing.
void add_filter_options(CLI::App& app, FilterOptions& options);

// The addresses that share a prefix. IPv4-mapped IPv6 counts as IPv4.
class Network {
public:
    // "10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "fe80::1%eth0" (this zone only). Bits beyond the prefix are
    // ignored. The error has ExitCode::usage and says what is wrong with `text`.
    static Result<Network> parse(const std::string& text);

    // False for what is not an address.
    bool contains(std::string_view address) const;

private:
    std::array<uint8_t, 16> prefix_ = {};  // IPv4 as mapped IPv6
    unsigned bits_ = 0;                    // of prefix_ that count
    bool ipv4_ = false;
    std::string zone_;  // empty: any
};

class Filter {
public:
    // Fails with ExitCode::usage on a bad address.
    static Result<Filter> make(const FilterOptions& options);

    bool matches(const v1::ConnectionEvent& event) const;
    bool matches(const v1::Listener& listener) const;

private:
    FilterOptions options_;
    std::vector<Network> networks_;  // of options_.addresses
};

}  // namespace tcptrail::commands
