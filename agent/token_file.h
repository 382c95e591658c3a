// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file_state.h"

namespace tcptrail {

// The token in a file (serve.metrics.token_file), which may be replaced while the agent runs.
class TokenFile {
public:
    static Result<TokenFile> open(std::string path);

    // Takes up what is in the file by now; true: another token. An error: the file cannot be read or has no
    // token, and the one before stays. A file that is as it was costs a stat().
    Result<bool> renew();

    const std::string& token() const { return token_; }

private:
    explicit TokenFile(std::string path) : path_(std::move(path)) {}

    std::string path_, token_;
    FileState seen_;
    bool settled_ = false;  // read when it had not changed since the look before
};

}  // namespace tcptrail
