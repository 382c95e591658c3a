// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/client_files.h"

#include <utility>

#include "agent/transmit/client.h"

namespace tcptrail::transmit {

ClientFiles::ClientFiles(const Options& options) {
    for (const auto& [property, value] : options.properties)
        if (is_file_property(property)) watch(value);
    for (const auto& [property, path] : options.property_files)
        watch(path);
}

void ClientFiles::watch(const std::string& path) {
    const FileState state = file_state(path);
    files_.push_back({path, state, state});
}

std::optional<std::string> ClientFiles::replaced() {
    bool settled = true;
    const std::string* first = nullptr;
    for (File& file : files_) {
        const FileState now = file_state(file.path);
        settled &= now == std::exchange(file.seen, now);
        // One that has gone is nothing to make a client from.
        settled &= now.there || !file.state.there;
        if (!first && now != file.state) first = &file.path;
    }
    return settled && first ? std::optional(*first) : std::nullopt;
}

}  // namespace tcptrail::transmit
