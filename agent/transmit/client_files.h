// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/file_state.h"
#include "agent/transmit/options.h"

namespace tcptrail::transmit {

// The files and folders that a client reads once, when it is made: certificates, keys, secrets. Tells whether
// there is something new in them. Belongs to one thread.
class ClientFiles {
public:
    // To be made before the client, so that no change falls in between.
    explicit ClientFiles(const Options& options);

    // The first that is not what it was, once none has changed since the last call: a certificate and its key
    // are seldom replaced in one moment.
    std::optional<std::string> replaced();

private:
    struct File {
        std::string path;
        FileState state;  // when the client was made
        FileState seen;   // last
    };
    void watch(const std::string& path);

    std::vector<File> files_;
};

}  // namespace tcptrail::transmit
