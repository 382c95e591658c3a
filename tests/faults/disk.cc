// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/disk.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"

namespace tests {

SmallDisk::SmallDisk(const std::filesystem::path& folder, uint64_t megabytes, Kind kind)
    : path_(folder / "disk"), image_(kind == Kind::ext4 ? folder / "disk.image" : "") {
    enter_private_mounts();
    std::filesystem::create_directory(path_);
    const std::string size = std::to_string(megabytes) + "M";
    if (kind == Kind::tmpfs) {
        system_command({"mount", "-t", "tmpfs", "-o", "size=" + size + ",nr_inodes=64", "tmpfs", path_});
        return;
    }
    system_command({"truncate", "-s", size, image_});
    system_command({"mkfs.ext4", "-q", "-F", "-m", "0", image_});
    mount_ext4();
}

void SmallDisk::mount_ext4() const {
    system_command({"mount", "-o", "loop,errors=remount-ro", image_, path_});
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

void SmallDisk::take_inodes() const {
    const std::filesystem::path folder = path_ / "inodes";
    std::filesystem::create_directory(folder);
    for (int number = 0;; ++number) {
        const int file =
            open((folder / std::to_string(number)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0) break;
        close(file);
    }
    REQUIRE(errno == ENOSPC);
}

void SmallDisk::free_inodes() const {
    std::filesystem::remove_all(path_ / "inodes");
}

void SmallDisk::forbid_changes(bool forbidden) const {
    // What is open is forbidden, too: ext4 asks at each write.
    system_command({"chattr", "-R", forbidden ? "+i" : "-i", path_});
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

void SmallDisk::turn_read_only() const {
    struct stat status{};
    REQUIRE(stat(path_.c_str(), &status) == 0);
    const std::string device =
        std::filesystem::read_symlink("/sys/dev/block/" + std::to_string(major(status.st_dev)) + ":" +
                                      std::to_string(minor(status.st_dev)))
            .filename();
    std::ofstream file("/sys/fs/ext4/" + device + "/trigger_fs_error");
    file << "of a test" << std::flush;
    REQUIRE(file.good());
}

void SmallDisk::recover() const {
    system_command({"umount", path_});
    mount_ext4();
}

void SmallDisk::repair() {
    system_command({"umount", "-l", path_});
    // Who has files open on it has the old one yet.
    const std::string repaired = image_ + ".repaired";
    std::filesystem::copy_file(image_, repaired);
    image_ = repaired;
    CHECK(run({"/usr/bin/env", "e2fsck", "-f", "-y", image_}).status <= 1);  // 1: mended
    mount_ext4();
}

void SmallDisk::make_read_only() const {
    system_command({"mount", "-o", "remount,ro", path_});
}

void SmallDisk::make_writable() const {
    system_command({"mount", "-o", "remount,rw", path_});
}

}  // namespace tests
