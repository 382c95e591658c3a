// SPDX-License-Identifier: Apache-2.0
//
// An HTTP server on loopback that answers as an API server does, for tests: what it is asked, and what it
// says, is the test's. One thread for each connection, one answer for each.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"

namespace tests {

class FakeApiServer {
public:
    // What a handler says; a watch stays open until it is closed, and gets lines meanwhile.
    struct Reply {
        int status = 200;
        std::string body;
        bool stays_open = false;
    };
    using Handler = std::function<Reply(const std::string& target, const std::string& head)>;

    explicit FakeApiServer(Handler handler) : handler_(std::move(handler)) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0);
        REQUIRE(listen(listener_, 16) == 0);
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
        accepter_ = std::thread([this] { accept_all(); });
    }
    ~FakeApiServer() {
        shutdown(listener_, SHUT_RDWR);
        accepter_.join();
        close_watches();
        for (std::thread& thread : threads_)
            thread.join();
        close(listener_);
    }
    FakeApiServer(const FakeApiServer&) = delete;
    FakeApiServer& operator=(const FakeApiServer&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    // A line to each watch whose target contains `what`.
    void send(const std::string& what, const std::string& line) {
        const std::lock_guard lock(mutex_);
        for (const auto& [fd, target] : watches_)
            if (target.find(what) != std::string::npos) write_chunk(fd, line + "\n");
    }
    size_t watches() {
        const std::lock_guard lock(mutex_);
        return watches_.size();
    }
    // As when the server goes away in the midst of them.
    void close_watches() {
        const std::lock_guard lock(mutex_);
        for (const auto& [fd, target] : watches_)
            shutdown(fd, SHUT_RDWR);
    }
    std::vector<std::string> targets() {
        const std::lock_guard lock(mutex_);
        return targets_;
    }

private:
    static void write_all(int fd, const std::string& text) {
        (void)!::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    }
    static void write_chunk(int fd, const std::string& text) {
        char size[16];
        std::snprintf(size, sizeof size, "%zx\r\n", text.size());
        write_all(fd, size + text + "\r\n");
    }

    void accept_all() {
        for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
            threads_.emplace_back([this, fd] { serve(fd); });
    }

    void serve(int fd) {
        std::string head;
        char buffer[4096];
        while (head.find("\r\n\r\n") == std::string::npos) {
            const ssize_t got = read(fd, buffer, sizeof buffer);
            if (got <= 0) break;
            head.append(buffer, static_cast<size_t>(got));
        }
        const size_t begin = head.find(' ') + 1;
        const std::string target = head.substr(begin, head.find(' ', begin) - begin);
        if (begin > 1) {
            const Reply reply = handler_(target, head);
            write_all(fd, "HTTP/1.1 " + std::to_string(reply.status) +
                              " x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
            {
                const std::lock_guard lock(mutex_);
                targets_.push_back(target);
                if (!reply.body.empty()) write_chunk(fd, reply.body);
                if (reply.stays_open) watches_[fd] = target;
            }
            if (reply.stays_open) {
                while (read(fd, buffer, sizeof buffer) > 0) {
                }
                const std::lock_guard lock(mutex_);
                watches_.erase(fd);
            } else {
                write_all(fd, "0\r\n\r\n");
            }
        }
        close(fd);
    }

    Handler handler_;
    int listener_ = -1;
    uint16_t port_ = 0;
    std::thread accepter_;
    std::vector<std::thread> threads_;  // the accepter's, and after it the destructor's
    std::mutex mutex_;
    std::map<int, std::string> watches_;
    std::vector<std::string> targets_;
};

}  // namespace tests
