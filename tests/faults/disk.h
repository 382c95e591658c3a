// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tests {

// A small ext4 of a test's own, loop-mounted in a mount namespace of this program's own. Members REQUIRE that
// what they do succeeds.
class SmallDisk {
public:
    SmallDisk(const std::filesystem::path& folder, uint64_t megabytes);
    ~SmallDisk();
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    const std::filesystem::path& path() const { return path_; }
    void fill() const;       // to the last byte
    void free() const;       // what fill() took
    void shut_down() const;  // as after an error of the device: EIO from now on
    void recover() const;    // mounted anew; nobody has files open on it
    void make_read_only() const;
    void make_writable() const;

private:
    std::filesystem::path path_;
    std::string image_;
};

}  // namespace tests
