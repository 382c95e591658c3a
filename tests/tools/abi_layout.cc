// SPDX-License-Identifier: Apache-2.0
//
// Turns the BTF of a BPF object into assertions about the layout of the structs that both sides share,
// to be compiled with the headers that declare them:
//
//     abi_layout OBJECT STRUCT… > assertions.c
//
// It also looks at what no compiler objects to: implicit holes, and members whose size depends on the
// compiler (bool, pointers, int and long that are not __u32 or the like).
#include <bpf/btf.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace {

struct FreeBtf {
    void operator()(btf* object) const { btf__free(object); }
};

std::string name_of(const btf* types, uint32_t offset) {
    return btf__name_by_offset(types, offset);
}

// What is wrong with a member of this type, or "".
std::string objection(const btf* types, uint32_t type_id) {
    const btf_type* type = btf__type_by_id(types, type_id);
    while (btf_is_array(type))
        type = btf__type_by_id(types, btf_array(type)->type);
    // __u8, __u16, …: of one size everywhere.
    if (btf_is_typedef(type)) return "";
    if (btf_is_composite(type)) return "";
    if (btf_is_int(type) && type->size == 1 && (btf_int_encoding(type) & BTF_INT_BOOL) == 0) return "";
    return "is neither __u8 … __s64, char nor a struct";
}

// Prints the assertions of one struct or throws what is wrong with it.
void check_struct(const btf* types, const char* name) {
    const int id = btf__find_by_name_kind(types, name, BTF_KIND_STRUCT);
    if (id < 0) throw std::runtime_error("not in the object's BTF: nothing there uses it");
    const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(id));
    std::printf("ASSERT(sizeof(struct %s) == %u, \"struct %s\");\n", name, type->size, name);

    uint64_t end = 0;
    const std::span members(btf_members(type), btf_vlen(type));
    for (uint32_t i = 0; i < members.size(); i++) {
        const std::string member = name_of(types, members[i].name_off);
        const uint64_t offset = btf_member_bit_offset(type, i) / 8;
        const int64_t size = btf__resolve_size(types, members[i].type);
        if (member.empty()) throw std::runtime_error("has a member without a name");
        if (btf_member_bitfield_size(type, i) != 0) throw std::runtime_error(member + " is a bit field");
        if (size < 0) throw std::runtime_error(member + " has no size");
        if (offset != end) throw std::runtime_error("hole before " + member + ": name it as a pad");
        if (const std::string why = objection(types, members[i].type); !why.empty())
            throw std::runtime_error(member + " " + why);
        end = offset + static_cast<uint64_t>(size);
        std::printf("ASSERT(offsetof(struct %s, %s) == %lu, \"%s.%s\");\n", name, member.c_str(), offset,
                    name, member.c_str());
        std::printf("ASSERT(sizeof(((struct %s*)0)->%s) == %ld, \"%s.%s\");\n", name, member.c_str(), size,
                    name, member.c_str());
    }
    if (end != type->size) throw std::runtime_error("hole at the end: name it as a pad");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: abi_layout OBJECT STRUCT…\n");
        return 2;
    }
    const std::unique_ptr<btf, FreeBtf> types(btf__parse(argv[1], nullptr));
    if (!types) {
        std::fprintf(stderr, "%s: %s\n", argv[1], std::strerror(errno));
        return 1;
    }
    int status = 0;
    for (int i = 2; i < argc; i++) {
        try {
            check_struct(types.get(), argv[i]);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "struct %s: %s\n", argv[i], error.what());
            status = 1;
        }
    }
    return status;
}
