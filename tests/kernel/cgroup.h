// SPDX-License-Identifier: Apache-2.0
//
// A cgroup (v2) of a test's own.
#pragma once

#include <string>

namespace tcptrail::test {

// Where cgroup v2 is mounted; empty if it is not.
std::string cgroup_mount();

// A folder tcptrail-test-PID/<name> below the mount, with the folders in between. Processes in it must
// have ended before it is destroyed. Members throw std::runtime_error.
class CgroupFolder {
public:
    explicit CgroupFolder(const std::string& name);
    ~CgroupFolder();
    CgroupFolder(const CgroupFolder&) = delete;
    CgroupFolder& operator=(const CgroupFolder&) = delete;

    const std::string& path() const { return path_; }

    // From now on connect() to an IPv4 address fails with EPERM for processes in it.
    void deny_connect4() const;

private:
    std::string top_;
    std::string path_;
};

}  // namespace tcptrail::test
