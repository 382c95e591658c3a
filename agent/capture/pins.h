// SPDX-License-Identifier: Apache-2.0
//
// What outlives the agent: its maps and links, as files of a bpffs.
//
//     DIRECTORY/control                 shared by all generations; the lock is on DIRECTORY
//     DIRECTORY/7/map_ring …            the maps of generation 7
//     DIRECTORY/7/link_tcp_send_reset … what keeps its programs attached; link_inet_sock_set_state comes last
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::capture {

// The last link to be pinned: without it nothing is told.
inline constexpr const char* last_pinned_link = "inet_sock_set_state";

// Belongs to the one process that has the lock.
class Pins {
public:
    // Makes the directory where it is missing, and locks it. A directory that another process has locked is
    // an error that names the process, with ExitCode::unavailable; all other errors mean that nothing can be
    // pinned there, and say why.
    static Result<Pins> open(const std::string& directory);
    // The same for a directory that must be there; nothing where it is not.
    static Result<std::optional<Pins>> open_existing(const std::string& directory);

    const std::string& directory() const { return directory_; }
    // Relative to the directory.
    static std::string control_name();
    static std::string map_name(uint32_t generation, const std::string& name);
    static std::string link_name(uint32_t generation, const std::string& name);
    // In ascending order.
    std::vector<uint32_t> generations() const;
    // Whether all of its links were pinned.
    bool is_complete(uint32_t generation) const { return has_link(generation, last_pinned_link); }
    bool has_link(uint32_t generation, const std::string& name) const;

    // Descriptors of what is pinned; not valid where it is not there.
    Fd control() const;
    Fd map(uint32_t generation, const std::string& name) const;

    Result<> pin_control(int fd) const;
    Result<> make_generation(uint32_t generation) const;
    Result<> pin_map(uint32_t generation, const std::string& name, int fd) const;
    Result<> pin_link(uint32_t generation, const std::string& name, int fd) const;

    // Which file it is; 0: there is none.
    uint64_t inode_of(const std::string& name) const;
    // Pins under that name, relative to the directory, whatever was there, and makes the folder of a
    // generation where it is missing. Where the directory is another one by now it is locked anew, with
    // errors as those of open().
    Result<> pin_again(const std::string& name, int fd);

    // What is no longer pinned ends with its last user; links detach. Nothing to remove is no error.
    void remove_links(uint32_t generation) const;
    void remove_generation(uint32_t generation) const;
    // Everything, with the directory itself.
    Result<> remove_all() const;

private:
    Pins(std::string directory, Fd lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}
    static Result<Pins> lock(const std::string& directory);
    std::string at(const std::string& name) const { return directory_ + "/" + name; }
    std::string path(uint32_t generation) const;
    Result<> pin(const std::string& path, int fd) const;

    std::string directory_;
    Fd lock_;
};

}  // namespace tcptrail::capture
