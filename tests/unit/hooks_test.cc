// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/hooks.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "agent/capture/programs.h"
#include "tests/catch.h"

using namespace tcptrail;
using namespace tcptrail::capture;

namespace {

// The type information of a kernel that never was, in a file.
class FakeTypes {
public:
    FakeTypes() : types_(btf__new_empty()) {
        int_ = btf__add_int(types_.get(), "int", 4, BTF_INT_SIGNED);
        void_pointer_ = btf__add_ptr(types_.get(), 0);
    }
    ~FakeTypes() { unlink(path_.c_str()); }
    FakeTypes(const FakeTypes&) = delete;
    FakeTypes& operator=(const FakeTypes&) = delete;

    // As the kernel has it: typedef void (*btf_trace_NAME)(void *, …).
    void add_tracepoint(const std::string& name, int arguments) {
        const int function = btf__add_func_proto(types_.get(), 0);
        for (int i = 0; i <= arguments; ++i)
            btf__add_func_param(types_.get(), ("a" + std::to_string(i)).c_str(),
                                i == 0 ? void_pointer_ : int_);
        const int pointer = btf__add_ptr(types_.get(), function);
        btf__add_typedef(types_.get(), ("btf_trace_" + name).c_str(), pointer);
    }
    void add_function(const std::string& name, int arguments) {
        const int prototype = btf__add_func_proto(types_.get(), int_);
        for (int i = 0; i < arguments; ++i)
            btf__add_func_param(types_.get(), ("a" + std::to_string(i)).c_str(), int_);
        btf__add_func(types_.get(), name.c_str(), BTF_FUNC_STATIC, prototype);
    }
    void add_typedef_of_int(const std::string& name) { btf__add_typedef(types_.get(), name.c_str(), int_); }
    void add_enum(const std::string& name, std::initializer_list<std::pair<const char*, int64_t>> values) {
        btf__add_enum(types_.get(), name.c_str(), 4);
        for (const auto& [value_name, value] : values)
            btf__add_enum_value(types_.get(), value_name, value);
    }

    Result<KernelTypes> read() {
        uint32_t size = 0;
        const void* data = btf__raw_data(types_.get(), &size);
        std::FILE* file = std::fopen(path_.c_str(), "wb");
        REQUIRE(file);
        REQUIRE(std::fwrite(data, 1, size, file) == size);
        std::fclose(file);
        Options options;
        options.btf = path_;
        return read_kernel_types(options);
    }
    const std::string& path() const { return path_; }

private:
    struct Free {
        void operator()(btf* types) const { btf__free(types); }
    };
    static std::string make_file() {
        char name[] = "/tmp/tcptrail-btf-XXXXXX";
        const int fd = mkstemp(name);
        REQUIRE(fd >= 0);
        close(fd);
        return name;
    }

    std::string path_ = make_file();
    std::unique_ptr<btf, Free> types_;
    int int_ = 0, void_pointer_ = 0;
};

int arguments_of(const KernelTypes& types, const std::string& program) {
    const auto plan = hook_plan();
    for (size_t i = 0; i < plan.size(); ++i)
        if (plan[i].program == program) return types.arguments[i];
    FAIL("no hook has the program " << program);
    return 0;
}

}  // namespace

TEST_CASE("hooks: the plan", "[unit]") {
    const auto plan = hook_plan();
    std::set<std::string> programs;
    for (const HookPlan& hook : plan) {
        INFO(hook.program);
        CHECK(programs.insert(hook.program).second);
        CHECK_FALSE(std::string(hook.missing_fact).empty());
        CHECK((hook.at_most == 0 || hook.at_most >= hook.arguments));
    }
    // What a trampoline tells and a system call's exit tells as well: one is taken for the other.
    std::set<std::string> by_trampoline, by_system_call;
    for (const HookPlan& hook : plan) {
        if (hook.means == Means::trampoline) by_trampoline.insert(hook.missing_fact);
        if (hook.means == Means::system_call) by_system_call.insert(hook.missing_fact);
    }
    CHECK(by_trampoline == by_system_call);
    // The spine is last, and the only one without which there is nothing to tell.
    CHECK(std::string(plan.back().name) == "tp_btf/inet_sock_set_state");
    for (const HookPlan& hook : plan)
        CHECK(hook.required == (&hook == &plan.back()));
}

TEST_CASE("hooks: one program at most fits a tracepoint, whatever it passes", "[unit]") {
    for (int passes = 0; passes <= 6; ++passes) {
        std::multiset<std::string> fitting;
        for (const HookPlan& hook : hook_plan())
            if (passes >= hook.arguments && (!hook.at_most || passes <= hook.at_most))
                fitting.insert(hook.name);
        for (const std::string& name : fitting) {
            INFO(name << " with " << passes << " arguments");
            CHECK(fitting.count(name) == 1);
        }
        CHECK(fitting.count("tp_btf/tcp_send_reset") == (passes >= 2 ? 1 : 0));
    }
}

TEST_CASE("hooks: what the kernel's types say", "[unit]") {
    FakeTypes fake;
    SECTION("until Linux 6.9: two arguments, no reasons") {
        fake.add_tracepoint("inet_sock_set_state", 3);
        fake.add_tracepoint("tcp_send_reset", 2);
        const auto types = fake.read();
        REQUIRE(types);
        REQUIRE(types->arguments.size() == hook_plan().size());
        CHECK(arguments_of(*types, "inet_sock_set_state") == 3);
        CHECK(arguments_of(*types, "tcp_send_reset") == 2);
        CHECK(arguments_of(*types, "tcp_send_reset_reason") == 2);
        CHECK(arguments_of(*types, "tcp_destroy_sock") == -1);
        CHECK(arguments_of(*types, "scan") == 0);  // iterators are not tracepoints
        CHECK(types->reset_reasons.empty());
    }
    SECTION("from Linux 6.10 on: the reason is the third, and has names") {
        fake.add_tracepoint("tcp_send_reset", 3);
        fake.add_enum("sk_rst_reason", {{"SK_RST_REASON_NOT_SPECIFIED", 0},
                                        {"SK_RST_REASON_NO_SOCKET", 2},
                                        {"OF_ANOTHER_FAMILY", 3},
                                        {"SK_RST_REASON_NEGATIVE", -1},
                                        {"SK_RST_REASON_FAR_AWAY", 1 << 30}});
        const auto types = fake.read();
        REQUIRE(types);
        CHECK(arguments_of(*types, "tcp_send_reset_reason") == 3);
        CHECK(types->reset_reasons ==
              std::vector<std::string>{"NOT_SPECIFIED", "", "NO_SOCKET", "OF_ANOTHER_FAMILY"});
    }
    SECTION("functions for trampolines") {
        fake.add_function("inet_csk_accept", 2);
        fake.add_typedef_of_int("inet_stream_connect");
        const auto types = fake.read();
        REQUIRE(types);
        CHECK(arguments_of(*types, "accept_returned") == 2);
        CHECK(arguments_of(*types, "accept_returned_flags") == 2);
        CHECK(arguments_of(*types, "connect_returned") == -1);
        CHECK(arguments_of(*types, "sys_exit_connect") == 0);  // not in the types
    }
    SECTION("a typedef of the same name that is no tracepoint") {
        fake.add_typedef_of_int("btf_trace_tcp_destroy_sock");
        const auto types = fake.read();
        REQUIRE(types);
        CHECK(arguments_of(*types, "tcp_destroy_sock") == -1);
    }
    SECTION("a tracepoint without arguments") {
        fake.add_tracepoint("tcp_destroy_sock", 0);
        const auto types = fake.read();
        REQUIRE(types);
        CHECK(arguments_of(*types, "tcp_destroy_sock") == 0);
    }
}

TEST_CASE("hooks: a kernel without types is unavailable", "[unit]") {
    Options options;
    SECTION("no file") {
        options.btf = "/nonexistent/vmlinux";
    }
    SECTION("not BTF") {
        options.btf = "/proc/self/cmdline";
    }
    const auto types = read_kernel_types(options);
    REQUIRE_FALSE(types);
    CHECK(types.error().code == ExitCode::unavailable);
    CHECK_THAT(types.error().message, Catch::Matchers::ContainsSubstring(options.btf));
    CHECK_THAT(types.error().message, Catch::Matchers::ContainsSubstring("CONFIG_DEBUG_INFO_BTF=y"));
}

TEST_CASE("hz: of the running kernel", "[unit]") {
    // What Kconfig offers: 24 to 1200 on some machines, these on x86 and arm64.
    const std::set<uint32_t> known = {100, 250, 300, 1000};
    CHECK(known.contains(kernel_hz()));
}
