// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/uring.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace tcptrail::test {

namespace {

constexpr unsigned entries = 1;

int setup(io_uring_params& parameters) {
    return static_cast<int>(syscall(SYS_io_uring_setup, entries, &parameters));
}

template <class Field>
Field* field_at(void* area, uint32_t offset) {
    return reinterpret_cast<Field*>(static_cast<char*>(area) + offset);
}

// Submits the operation to a ring of its own and waits for its result.
int run(io_uring_sqe operation, UringThread thread) {
    io_uring_params parameters{};
    const int ring = setup(parameters);
    if (ring < 0) return -errno;
    // Both rings are in one mapping (IORING_FEAT_SINGLE_MMAP, Linux 5.4). The completion ring has two
    // entries and is the longer part.
    const size_t rings_size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe);
    const size_t entries_size = parameters.sq_entries * sizeof(io_uring_sqe);
    void* const rings =
        mmap(nullptr, rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    void* const sqes = mmap(nullptr, entries_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    int result = -ENOMEM;
    if (rings != MAP_FAILED && sqes != MAP_FAILED) {
        if (thread == UringThread::worker) operation.flags |= IOSQE_ASYNC;
        std::memcpy(sqes, &operation, sizeof operation);
        *field_at<uint32_t>(rings, parameters.sq_off.array) = 0;
        std::atomic_ref(*field_at<uint32_t>(rings, parameters.sq_off.tail)).store(1);
        const long submitted = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
        const uint32_t completed = std::atomic_ref(*field_at<uint32_t>(rings, parameters.cq_off.tail)).load();
        if (submitted < 0) {
            result = -errno;
        } else {
            result = completed == 1 ? field_at<io_uring_cqe>(rings, parameters.cq_off.cqes)->res : -EINTR;
        }
    }
    if (rings != MAP_FAILED) munmap(rings, rings_size);
    if (sqes != MAP_FAILED) munmap(sqes, entries_size);
    close(ring);
    return result;
}

}  // namespace

int uring_connect(const Endpoint& to, UringThread thread) {
    const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    io_uring_sqe operation{};
    operation.opcode = IORING_OP_CONNECT;
    operation.fd = fd;
    operation.addr = reinterpret_cast<uintptr_t>(to.address());
    operation.off = to.length;
    const int result = run(operation, thread);
    if (result == 0) return fd;
    close(fd);
    return result;
}

int uring_accept(int listener, UringThread thread) {
    io_uring_sqe operation{};
    operation.opcode = IORING_OP_ACCEPT;
    operation.fd = listener;
    operation.accept_flags = SOCK_CLOEXEC;
    return run(operation, thread);
}

int uring_close(int fd, UringThread thread) {
    io_uring_sqe operation{};
    operation.opcode = IORING_OP_CLOSE;
    operation.fd = fd;
    return run(operation, thread);
}

std::string why_no_uring() {
    io_uring_params parameters{};
    const int ring = setup(parameters);
    if (ring < 0) return std::string("no io_uring: ") + strerrorname_np(errno);
    close(ring);
    return (parameters.features & IORING_FEAT_SINGLE_MMAP) != 0 ? "" : "io_uring is older than Linux 5.4";
}

}  // namespace tcptrail::test
