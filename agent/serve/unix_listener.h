// SPDX-License-Identifier: Apache-2.0
//
// A listening Unix socket under a name that is this process's alone.
#pragma once

#include <sys/types.h>

#include <string>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::serve {

// Move-only. The name goes with it, unless somebody else has put another thing there.
class UnixListener {
public:
    // Makes the socket at `path`, its folder too; for its own user and group. One that was left behind is
    // replaced; one that is another live process's, and what is no socket, is left alone: then, and where the
    // system refuses it, this fails.
    static Result<UnixListener> open(const std::string& path);
    UnixListener() = default;
    UnixListener(UnixListener&& other) noexcept;
    UnixListener& operator=(UnixListener&& other) noexcept;
    ~UnixListener();

    // Not blocking.
    const Fd& fd() const { return fd_; }

private:
    Result<> bind_and_listen();
    void remove_name();

    std::string path_;
    Fd lock_;
    Fd fd_;
    dev_t device_ = 0;  // of the socket's name
    ino_t inode_ = 0;   // 0: it has none
};

}  // namespace tcptrail::serve
