// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tests {

// A small ext4 of a test's own, loop-mounted in a mount namespace of this program's own, or a tmpfs. Members
// REQUIRE that what they do succeeds.
class SmallDisk {
public:
    enum class Kind { ext4, tmpfs };
    SmallDisk(const std::filesystem::path& folder, uint64_t megabytes, Kind kind = Kind::ext4);
    ~SmallDisk();
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    const std::filesystem::path& path() const { return path_; }
    void fill() const;                          // to the last byte
    void free() const;                          // what fill() took
    void take_inodes() const;                   // all that are left
    void free_inodes() const;                   // what take_inodes() took
    void forbid_changes(bool forbidden) const;  // to all that lies there: chattr +i, or -i
    void shut_down() const;                     // as after an error of the device: EIO from now on
    void turn_read_only() const;  // by ext4 itself, on an error in its own data: EROFS until it is repaired
    void repair();                // fsck, and mounted anew, whatever has files open on it
    void recover() const;         // mounted anew; nobody has files open on it
    void make_read_only() const;
    void make_writable() const;

private:
    void mount_ext4() const;

    std::filesystem::path path_;
    std::string image_;  // empty: a tmpfs
};

}  // namespace tests
