// SPDX-License-Identifier: Apache-2.0
//
// Configurations in files of their own, for the tests of the configuration.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "agent/config.h"

namespace tests {

// A folder that goes away with it.
class ConfigFolder {
public:
    ConfigFolder() {
        std::string name = std::filesystem::temp_directory_path() / "tcptrail-config-XXXXXX";
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    ConfigFolder(const ConfigFolder&) = delete;
    ConfigFolder& operator=(const ConfigFolder&) = delete;
    ~ConfigFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::string& path() const { return path_; }

    // Returns the path of the file.
    std::string write(const std::string& name, const std::string& content) const {
        std::ofstream(path_ + "/" + name, std::ios::binary) << content;
        return path_ + "/" + name;
    }

private:
    std::string path_;
};

inline tcptrail::Result<tcptrail::Config> load(const std::string& yaml,
                                               std::vector<std::string> environment = {},
                                               std::vector<std::string> settings = {}) {
    const ConfigFolder folder;
    return tcptrail::load_config({folder.write("c.yaml", yaml), std::move(environment), std::move(settings)});
}

// The error text with "FILE" for the path of the file; empty: there was no error.
inline std::string error_of(const std::string& yaml, std::vector<std::string> environment = {},
                            std::vector<std::string> settings = {}) {
    const ConfigFolder folder;
    const std::string file = folder.write("c.yaml", yaml);
    const auto config = tcptrail::load_config({file, std::move(environment), std::move(settings)});
    if (config) return {};
    using enum tcptrail::ExitCode;
    if (config.error().code != configuration && config.error().code != no_input) return "another ExitCode";
    std::string message = config.error().message;
    if (message.starts_with(file)) message.replace(0, file.size(), "FILE");
    return message;
}

}  // namespace tests
