// SPDX-License-Identifier: Apache-2.0
#include "agent/token_file.h"

#include "agent/config_serve.h"

namespace tcptrail {

Result<TokenFile> TokenFile::open(std::string path) {
    TokenFile file(std::move(path));
    if (auto read = file.renew(); !read) return std::unexpected(std::move(read.error()));
    return file;
}

// What has changed is read at once, so that nobody with the new token is turned away; and once more at the
// next look, for it may have been half written, and be written on within the same tick of the file system's
// clock.
Result<bool> TokenFile::renew() {
    const FileState now = file_state(path_);
    const bool is_same = now == std::exchange(seen_, now);
    if (is_same && settled_) return false;
    settled_ = false;
    auto read = read_token(path_);
    if (!read) return std::unexpected(std::move(read.error()));
    settled_ = is_same;
    const bool is_other = *read != token_;
    token_ = std::move(*read);
    return is_other;
}

}  // namespace tcptrail
