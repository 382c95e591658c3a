// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace tcptrail {

// Exit statuses of the program; from 66 on those of sysexits.h.
enum class ExitCode : int {
    ok = 0,
    failure = 1,
    usage = 2,
    no_input = 66,       // a file that the configuration names is not there; it may come
    unavailable = 69,    // the kernel, or a feature of it, is missing
    no_permission = 77,  // a capability is missing
    configuration = 78,
};

// An expected failure: what went wrong, in words that an operator can act on, and the exit status
// that the program ends with if nobody deals with it.
struct Error {
    std::string message;
    ExitCode code = ExitCode::failure;

    // The same failure seen from further out: "context: message".
    Error within(const std::string& context) && { return {context + ": " + std::move(message), code}; }
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string message, ExitCode code = ExitCode::failure) {
    return std::unexpected(Error{std::move(message), code});
}

// "what: strerror(number)" for a failed system call.
std::unexpected<Error> fail_errno(const std::string& what, int number);

}  // namespace tcptrail
