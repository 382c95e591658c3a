// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tcptrail::context {

// Who tells the events. Constant while the agent runs.
struct Host {
    std::string host_id;  // hash of the machine id: the id itself is confidential (machine-id(5))
    std::string node;     // configured name, or the host name
    std::string boot_id;  // the kernel's
    std::string run_id;   // random UUID, new at each start
    std::string kernel;   // release
};

// `node` empty: the host name. `machine_ids`: the files that may hold the machine id, best first. Where none
// does, host_id is a hash of the boot id, or else of the run id: it then changes with each boot, or start,
// but never collides.
Host identify_host(const std::string& proc, const std::string& node,
                   const std::vector<std::string>& machine_ids = {"/etc/machine-id",
                                                                  "/var/lib/dbus/machine-id"});

}  // namespace tcptrail::context
