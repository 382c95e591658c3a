// SPDX-License-Identifier: Apache-2.0
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/base/fd.h"
#include "agent/commands/command.h"
#include "agent/encode/printable.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail ready 127.0.0.1:9466
  tcptrail ready tcptrail.tcptrail.svc:9466 --token-file /etc/tcptrail/metrics/token

Asks /readyz of every agent that the name leads to. With the token of serve.metrics.token_file an agent says why
it is not ready. Exit status: 0 all are ready; 1 one is not, or does not answer.)";

struct ReadyOptions {
    std::string address;
    std::string token_file;
    uint32_t timeout_secs = 5;
};

struct FreeAddresses {
    void operator()(addrinfo* all) const { freeaddrinfo(all); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// HOST:PORT, [IPv6 address]:PORT
Result<std::pair<std::string, std::string>> split(const std::string& address) {
    const size_t colon = address.rfind(':');
    std::string host = colon == std::string::npos ? std::string() : address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (host.empty() || colon + 1 == address.size())
        return fail("'" + address + "': a host and a port, as in 127.0.0.1:9466", ExitCode::usage);
    return std::pair(host, address.substr(colon + 1));
}

Result<Addresses> look_up(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found))
        return fail(host + ": " + gai_strerror(error));
    return Addresses(found);
}

std::string name_of(const addrinfo& address) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (getnameinfo(address.ai_addr, address.ai_addrlen, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return "?";
    return address.ai_family == AF_INET6 ? "[" + std::string(host.data()) + "]:" + port.data()
                                         : std::string(host.data()) + ":" + port.data();
}

// What it answers, as it is.
Result<std::string> ask(const addrinfo& address, const std::string& request, uint32_t timeout_secs) {
    const Fd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("a socket", errno);
    const timeval most{static_cast<time_t>(timeout_secs), 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    const auto problem = [&](const char* what) {
        const bool late = errno == EAGAIN || errno == EINPROGRESS;
        return fail_errno(what, late ? ETIMEDOUT : errno);
    };
    if (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) return problem("connect");
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return problem("send");
    std::string answer;
    std::array<char, 4096> buffer{};
    constexpr size_t enough = 64 << 10;
    while (answer.size() < enough) {
        const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
        if (got < 0) return problem("receive");
        if (got == 0) break;
        answer.append(buffer.data(), static_cast<size_t>(got));
    }
    return answer;
}

bool tell(const std::string& name, const Result<std::string>& answer) {
    if (!answer) {
        printf("%s: no answer: %s\n", name.c_str(), answer.error().message.c_str());
        return false;
    }
    const bool ready = answer->starts_with("HTTP/1.1 200 ");
    const size_t end = answer->find("\r\n\r\n");
    std::string body =
        end == std::string::npos ? answer->substr(0, answer->find('\r')) : answer->substr(end + 4);
    while (!body.empty() && body.back() == '\n')
        body.pop_back();
    printf("%s: %s\n", name.c_str(), encode::printable(body).c_str());
    return ready;
}

Result<ExitCode> ready(const ReadyOptions& options) {
    const auto target = split(options.address);
    if (!target) return std::unexpected(target.error());
    std::string request = "GET /readyz HTTP/1.1\r\nHost: " + options.address + "\r\nConnection: close\r\n";
    if (!options.token_file.empty()) {
        std::ifstream file(options.token_file);
        std::string token;
        if (!std::getline(file, token))
            return fail(options.token_file + ": cannot be read, or is empty", ExitCode::no_input);
        request += "Authorization: Bearer " + token + "\r\n";
    }
    request += "\r\n";
    const auto found = look_up(target->first, target->second);
    if (!found) return std::unexpected(found.error());
    std::set<std::string> asked;
    size_t good = 0;
    for (const addrinfo* address = found->get(); address; address = address->ai_next) {
        const std::string name = name_of(*address);
        if (asked.insert(name).second && tell(name, ask(*address, request, options.timeout_secs))) ++good;
    }
    printf("%zu of %zu ready\n", good, asked.size());
    return good == asked.size() ? ExitCode::ok : ExitCode::failure;
}

}  // namespace

void add_ready(CLI::App& app, Action& action) {
    auto options = std::make_shared<ReadyOptions>();
    CLI::App* command =
        app.add_subcommand("ready", "are the agents at an address ready (serve.metrics.listen)?");
    command->footer(examples);
    command->add_option("address", options->address, "where to ask")->type_name("HOST:PORT")->required();
    command->add_option("--token-file", options->token_file, "the token, where the agents ask for one")
        ->type_name("FILE");
    command->add_option("--timeout", options->timeout_secs, "how long each may take to answer")
        ->type_name("SECONDS")
        ->check(CLI::Range(1, 300).description(""))
        ->default_str("5");
    command->callback([options, &action] { action = [options] { return ready(*options); }; });
}

}  // namespace tcptrail::commands
