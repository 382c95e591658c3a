// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stages/filled_ring.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "tests/bench/stages/content.h"

namespace tcptrail::bench {

namespace {

// The value of the array: one record, and its length in front.
struct Slot {
    uint64_t bytes;
    std::byte record[sizeof(tcptrail_record)];
};

// key = 0; slot = lookup(array, &key); if (slot && slot->bytes <= size) output(ring, slot->record, bytes, 0)
Fd load(int array, int ring) {
    const auto insn = [](uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
        return bpf_insn{code, static_cast<uint8_t>(to & 0xf), static_cast<uint8_t>(from & 0xf), offset,
                        value};
    };
    constexpr uint8_t move = BPF_ALU64 | BPF_MOV | BPF_K, copy = BPF_ALU64 | BPF_MOV | BPF_X;
    const auto size = static_cast<int32_t>(sizeof(tcptrail_record));
    const bpf_insn program[] = {
        insn(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
        insn(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, array),
        insn(0, 0, 0, 0, 0),
        insn(copy, BPF_REG_2, BPF_REG_10, 0, 0),
        insn(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
        insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
        insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 9, 0),
        insn(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_3, BPF_REG_0, 0, 0),
        insn(BPF_JMP | BPF_JGT | BPF_K, BPF_REG_3, 0, 7, size),
        insn(copy, BPF_REG_2, BPF_REG_0, 0, 0),
        insn(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, offsetof(Slot, record)),
        insn(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, ring),
        insn(0, 0, 0, 0, 0),
        insn(move, BPF_REG_4, 0, 0, 0),
        insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_output),
        insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
        insn(move, BPF_REG_0, 0, 0, 1),
        insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
    return Fd(
        bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "fill_ring", "GPL", program, std::size(program), &options));
}

}  // namespace

Result<std::unique_ptr<capture::Ring>> make_filled_ring() {
    const Content& content = Content::get();
    uint64_t bytes = 0;
    for (const auto& record : content.raw())
        bytes += record.size() + 16;
    const auto ring_bytes = static_cast<uint32_t>(std::bit_ceil(std::max<uint64_t>(bytes, 4096)));
    Fd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "bench_ring", 0, 0, ring_bytes, nullptr));
    Fd array(bpf_map_create(BPF_MAP_TYPE_ARRAY, "bench_record", sizeof(uint32_t), sizeof(Slot), 1, nullptr));
    if (!ring.valid() || !array.valid()) return fail_errno("cannot make the maps", errno);
    const Fd program = load(array.get(), ring.get());
    if (!program.valid()) return fail_errno("cannot load the program", errno);
    for (const auto& record : content.raw()) {
        Slot slot{record.size(), {}};
        std::memcpy(slot.record, record.data(), std::min(record.size(), sizeof slot.record));
        const uint32_t key = 0;
        bpf_map_update_elem(array.get(), &key, &slot, BPF_ANY);
        LIBBPF_OPTS(bpf_test_run_opts, run);
        if (bpf_prog_test_run_opts(program.get(), &run) != 0)
            return fail_errno("cannot run the program", errno);
        if (run.retval != 0) return fail("the ring does not take a record");
    }
    return capture::Ring::open(std::move(ring));
}

}  // namespace tcptrail::bench
