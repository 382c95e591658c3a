// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/disk.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"

namespace tests {

SmallDisk::SmallDisk(const std::filesystem::path& folder, uint64_t megabytes)
    : path_(folder / "disk"), image_(folder / "disk.image") {
    enter_private_mounts();
    system_command({"truncate", "-s", std::to_string(megabytes) + "M", image_});
    system_command({"mkfs.ext4", "-q", "-F", "-m", "0", image_});
    std::filesystem::create_directory(path_);
    system_command({"mount", "-o", "loop", image_, path_});
}

SmallDisk::~SmallDisk() {
    umount2(path_.c_str(), MNT_DETACH);
}

void SmallDisk::fill() const {
    const int file = open((path_ / "filler").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(file >= 0);
    // Block after block, then byte after byte.
    for (const size_t piece : {size_t{1} << 20, size_t{4096}, size_t{1}}) {
        const std::vector<char> zeros(piece);
        while (write(file, zeros.data(), zeros.size()) > 0) {
        }
    }
    close(file);
}

void SmallDisk::free() const {
    std::filesystem::remove(path_ / "filler");
}

void SmallDisk::shut_down() const {
    // EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH of fs/ext4/ext4.h
    constexpr unsigned long shutdown_request = _IOR('X', 125, uint32_t);
    uint32_t flags = 2;
    const int folder = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(folder >= 0);
    REQUIRE(ioctl(folder, shutdown_request, &flags) == 0);
    close(folder);
}

void SmallDisk::recover() const {
    system_command({"umount", path_});
    system_command({"mount", "-o", "loop", image_, path_});
}

void SmallDisk::make_read_only() const {
    system_command({"mount", "-o", "remount,ro", path_});
}

void SmallDisk::make_writable() const {
    system_command({"mount", "-o", "remount,rw", path_});
}

}  // namespace tests
