// SPDX-License-Identifier: Apache-2.0
//
// What is true of each end of a connection, said by the process that held it.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>

#include "tests/tools/mixed/fate.h"
#include "tests/tools/mixed/socket.h"

namespace mix {

struct Process {
    pid_t pid = 0;
    std::string name;
};

// Names the calling process, its first 15 characters.
Process become(const std::string& name);

uint64_t unix_nanos();

struct End {
    Fate fate;
    Address local;  // of a failed attempt: only the port is used
    Address remote;
    Process listener;  // a server's: who called listen()
    int error = 0;     // errno as this process got it
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t opened_unix_nanos = 0;  // before connect(); a server's: after accept()
};

// One line of CSV per end. Many processes write one file: each keeps its lines until flush(), which appends
// them in one call.
class Oracle {
public:
    // Makes the file, with its header.
    static void create(const std::string& path);

    Oracle(std::string path, Process self, uint64_t netns)
        : path_(std::move(path)), self_(std::move(self)), netns_(netns) {}

    const Process& self() const { return self_; }
    void add_client(const End& end);
    void add_server(const End& end);
    void flush();

private:
    void add(const char* role, const End& end, const char* outcome, const char* how);

    std::string path_;
    Process self_;
    uint64_t netns_;
    std::string lines_;
};

}  // namespace mix
