// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/client_files.h"

#include <sys/stat.h>

namespace tcptrail::transmit {

ClientFiles::ClientFiles(const Options& options) {
    for (const auto& [property, value] : options.properties)
        // ssl.ca.location, ssl.certificate.location, ssl.key.location, ssl.keystore.location, …
        if (property.ends_with(".location")) files_.push_back({value, state_of(value)});
    for (const auto& [property, path] : options.property_files)
        files_.push_back({path, state_of(path)});
}

std::optional<std::string> ClientFiles::changed() const {
    for (const File& file : files_)
        // One that has gone is nothing to make a client from.
        if (const State now = state_of(file.path); now.there && now != file.state) return file.path;
    return std::nullopt;
}

// Behind symbolic links: Kubernetes replaces a secret by changing one.
ClientFiles::State ClientFiles::state_of(const std::string& path) {
    struct stat file{};
    if (stat(path.c_str(), &file) != 0) return {};
    return {true, file.st_dev, file.st_ino, file.st_size,
            int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec};
}

}  // namespace tcptrail::transmit
