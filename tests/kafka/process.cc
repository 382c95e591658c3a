// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace tests {

namespace {

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// In the child: only what is safe between fork and exec.
void redirect(const char* path, int to) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0) _exit(126);
    close(fd);
}

}  // namespace

Folder::Folder() {
    std::string name = std::filesystem::temp_directory_path() / "tcptrail-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Process::Process(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& argument : command)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const std::string output = folder_.path() / "output";
    const std::string errors = folder_.path() / "errors";

    pid_ = fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) {
        redirect(output.c_str(), STDOUT_FILENO);
        redirect(errors.c_str(), STDERR_FILENO);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
}

Process::~Process() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
}

int Process::wait(seconds limit) {
    int status = 0;
    const bool ended = eventually(limit, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
    if (!ended) return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string Process::output() const {
    return read(folder_.path() / "output");
}

std::string Process::errors() const {
    return read(folder_.path() / "errors");
}

Finished run(const std::vector<std::string>& command, seconds limit) {
    Process process(command);
    const int status = process.wait(limit);
    return {status, process.output(), process.errors()};
}

bool eventually(seconds limit, const std::function<bool()>& question) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!question()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return true;
}

}  // namespace tests
