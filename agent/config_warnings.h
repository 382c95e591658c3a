// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/config.h"

namespace tcptrail {

// What works and is better mended: secrets that everybody on this host can read, credentials that are not
// used or go over the network as they are. One sentence each. `file`: where the configuration was read from;
// empty: nowhere. `environment`: the file with the service's environment. Never an error: what cannot be
// looked at has no warning.
std::vector<std::string> config_warnings(const Config& config, const std::string& file,
                                         const std::string& environment = "/etc/default/tcptrail");

}  // namespace tcptrail
