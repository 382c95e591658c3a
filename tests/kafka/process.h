// SPDX-License-Identifier: Apache-2.0
//
// Programs that a test starts, and the files they write to.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tests {

using std::chrono::seconds;

// A folder of its own for one test, removed with all it holds.
class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// A running program. Its output goes to files. The destructor kills it if it still runs.
class Process {
public:
    // `command`: the program's path and its arguments.
    explicit Process(const std::vector<std::string>& command);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }
    void signal(int number) const;

    // Waits for its end and returns the exit status; 128 + the number of the signal that ended it. A
    // program that has not ended in time is killed and the status is -1.
    int wait(seconds limit);

    // What it has written so far.
    std::string output() const;
    std::string errors() const;

private:
    Folder folder_;
    pid_t pid_ = -1;
};

struct Finished {
    int status;
    std::string output;
    std::string errors;
};

// Runs a program to its end.
Finished run(const std::vector<std::string>& command, seconds limit = seconds(60));

// Asks every 100 ms until the answer is yes. False when the time is over.
bool eventually(seconds limit, const std::function<bool()>& question);

}  // namespace tests
