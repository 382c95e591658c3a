// SPDX-License-Identifier: Apache-2.0
//
// Child processes that do a test's system calls, so that owners differ and are known.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "tests/kernel/netns.h"
#include "tests/kernel/sockets.h"

namespace tcptrail::test {

// Who an actor is besides its name.
struct Identity {
    uint32_t uid = 0;
    std::string cgroup_folder = "";  // of cgroup v2, to be moved into; empty: the test's own
};

// A process in a namespace that runs closures, one after another:
//
//     const int fd = client.call([=] { return connect_to(server_end); });
//
// The child is a fork, so a closure's code stands at the same address in it and only the captured
// bytes travel: closure and result must be trivially copyable, and what is captured must not point
// into the test's memory. Sockets are the child's; the test knows them by number. The destructor
// ends the child. Members throw std::runtime_error when the child does not answer for 60 s or is gone.
class Actor {
public:
    Actor(const Netns& net, const std::string& name, const Identity& identity = {});
    ~Actor();
    Actor(const Actor&) = delete;
    Actor& operator=(const Actor&) = delete;

    pid_t pid() const { return pid_; }  // also after its end
    const std::string& name() const { return name_; }
    uint32_t uid() const { return uid_; }
    const Netns& net() const { return net_; }
    const std::string& cgroup_path() const { return cgroup_path_; }  // as /proc/PID/cgroup has it
    uint64_t born_unix_nanos() const { return born_unix_nanos_; }

    // Runs a closure to its end.
    template <class Closure>
    auto call(Closure closure) {
        start(closure);
        return finish<std::invoke_result_t<Closure>>();
    }

    // Begins a closure; the test goes on meanwhile. finish() waits for its result.
    template <class Closure>
    void start(Closure closure) {
        static_assert(std::is_trivially_copyable_v<Closure>);
        static_assert(sizeof closure <= Request::capacity);
        Request request;
        request.run = [](const std::byte* captured, std::byte* result) -> size_t {
            using Result = std::invoke_result_t<Closure>;
            alignas(Closure) std::byte copy[sizeof(Closure)];
            std::memcpy(copy, captured, sizeof(Closure));
            const Result value = (*reinterpret_cast<Closure*>(copy))();
            static_assert(std::is_trivially_copyable_v<Result> && sizeof value <= Request::capacity);
            std::memcpy(result, &value, sizeof value);
            return sizeof value;
        };
        std::memcpy(request.captured, &closure, sizeof closure);
        send(request);
    }

    template <class Result>
    Result finish() {
        Result result;
        receive(&result, sizeof result);
        return result;
    }

    // Ends the child as kill -SIGNAL does and waits for it.
    void kill(int signal);

    // The child calls exit(0) with its sockets still open.
    void exit();

private:
    struct Request {
        static constexpr size_t capacity = 1024;
        size_t (*run)(const std::byte* captured, std::byte* result);
        alignas(std::max_align_t) std::byte captured[capacity];
    };

    [[noreturn]] void live(int channel, const Identity& identity);
    void send(const Request& request);
    void receive(void* result, size_t size);
    void reap();

    const Netns& net_;
    std::string name_;
    uint32_t uid_;
    uint64_t born_unix_nanos_;
    std::string cgroup_path_;
    int channel_ = -1;
    pid_t pid_ = -1;
    bool alive_ = false;
};

// A connection that was made: the sockets in their processes and the addresses of both ends.
struct Connection {
    int client_fd;
    int server_fd;
    Endpoint client_end;
    Endpoint server_end;
};

// Makes a listener at `at` (port 0: any), connects and accepts. Throws when a call fails.
Connection establish(Actor& client, Actor& server, const Endpoint& at);

// The same with a listener of the server's that is there already. `protocol`: the client's socket's.
Connection establish(Actor& client, Actor& server, int listener, int protocol = 0);

uint64_t unix_nanos();

}  // namespace tcptrail::test
