// SPDX-License-Identifier: Apache-2.0
//
// The only program in the test's image: the pods' servers and callers, and what holds a pod's namespaces
// (`pause`).
//
//   workload pause
//   workload serve PORT
//   workload call --to ADDRESS:PORT [--to …] [--pods] [--plans csrRx] [--rate N] [--threads N] [--seconds N]
//   workload hog --to ADDRESS:PORT [--hold N] [--mib N] [--seconds N]
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "tests/kubernetes/workload/modes.h"
#include "tests/kubernetes/workload/oracle.h"

namespace workload {

std::atomic<bool> stopping = false;

sockaddr_in parse_address(const std::string& text) {
    sockaddr_in address{};
    const size_t colon = text.rfind(':');
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
        errno = EINVAL;
        fail(text);
    }
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1)));
    return address;
}

size_t read_all(int fd, char* to, size_t size, bool until_stopped) {
    size_t had = 0;
    int waited_ms = 0;
    while (had < size) {
        pollfd ready{fd, POLLIN, 0};
        if (poll(&ready, 1, 100) == 0) {
            errno = until_stopped ? ECANCELED : ETIMEDOUT;
            waited_ms += 100;
            if (until_stopped ? stopping.load() : waited_ms >= 10'000) return had;
            continue;
        }
        const ssize_t got = recv(fd, to + had, size - had, 0);
        if (got == 0) errno = 0;
        if (got <= 0 && errno != EAGAIN && errno != EINTR) return had;
        if (got > 0) had += static_cast<size_t>(got);
    }
    return had;
}

void reset(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

namespace {

int pause_until_stopped() {
    // Process 1 of a pod's namespace inherits what others leave.
    while (!stopping) {
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        sleep(1);
    }
    return 0;
}

int run(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "pause") return pause_until_stopped();
    if (mode == "serve" && argc == 3) return serve(std::atoi(argv[2]));
    Calls calls;
    Hog eater;
    std::map<std::string, std::string> options;
    for (int i = 2; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--pods") {
            calls.pods = true;
        } else if (i + 1 < argc) {
            options[name] = argv[++i];
            if (name == "--to") calls.targets.push_back(parse_address(argv[i]));
        }
    }
    const auto number = [&](const char* name, double otherwise) {
        return options.contains(name) ? std::atof(options[name].c_str()) : otherwise;
    };
    if (calls.targets.empty() || (mode != "call" && mode != "hog")) {
        std::fprintf(stderr, "usage: see main.cc\n");
        return 2;
    }
    if (mode == "call") {
        if (options.contains("--plans")) calls.plans = options["--plans"];
        calls.rate = number("--rate", calls.rate);
        calls.threads = static_cast<int>(number("--threads", calls.threads));
        calls.seconds = number("--seconds", calls.seconds);
        return call(calls);
    }
    eater.target = calls.targets[0];
    eater.hold = static_cast<int>(number("--hold", eater.hold));
    eater.mib = static_cast<size_t>(number("--mib", static_cast<double>(eater.mib)));
    eater.seconds = number("--seconds", eater.seconds);
    return hog(eater);
}

}  // namespace
}  // namespace workload

int main(int argc, char** argv) {
    struct sigaction stop{};
    stop.sa_handler = [](int) { workload::stopping = true; };
    sigaction(SIGTERM, &stop, nullptr);
    sigaction(SIGINT, &stop, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return workload::run(argc, argv);
}
