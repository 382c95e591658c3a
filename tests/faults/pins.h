// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "tests/kafka/setting.h"

namespace tests {

// Gives this process a table of mounts of its own: what is mounted then is nobody else's, and goes with it.
// Only the first call does so.
void enter_private_mounts();

// A bpffs of a test's own, in a mount namespace of this program's own. What is pinned in it goes with it.
class BpfFs {
public:
    explicit BpfFs(const std::filesystem::path& folder);
    ~BpfFs();
    BpfFs(const BpfFs&) = delete;
    BpfFs& operator=(const BpfFs&) = delete;

    // Where agents pin, and the setting that has them do so.
    std::filesystem::path pins() const { return path_ / "tcptrail"; }
    std::string setting() const { return "capture.pin=" + pins().string(); }
    void make_read_only() const;

private:
    std::filesystem::path path_;
};

// `tcptrail detach` of what is pinned there.
Finished detach(const BpfFs& bpffs);

// Of these generators' connections, how many are remembered in the kernel: births in the maps that are
// pinned.
uint64_t remembered_of(std::span<const Truth> truths, const BpfFs& bpffs);

}  // namespace tests
