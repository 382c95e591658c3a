// SPDX-License-Identifier: Apache-2.0
//
// The text of a configuration file: one precise error, or values that can be shown and read again.
#include "agent/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

// A file in memory, by its path.
class MemoryFile {
public:
    explicit MemoryFile(std::string_view content) : fd_(memfd_create("config", MFD_CLOEXEC)) {
        expect(fd_ >= 0 && write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
               "no file in memory");
    }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    ~MemoryFile() { close(fd_); }

    std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

void run(std::span<const uint8_t> input) {
    const MemoryFile file(tests::fuzz::text_of(input));
    const auto config = load_config({file.path(), {}, {}});
    if (!config) {
        const Error& error = config.error();
        expect(error.code == ExitCode::configuration || error.code == ExitCode::no_input, "another ExitCode");
        expect(error.message.starts_with(file.path()), "an error without its file");
        expect(error.message.find('\n') == std::string::npos, "an error of several lines");
        return;
    }
    const std::string shown = show_config(*config);
    // Files that hold secrets are read when they are used, and are none of the fuzzer's business.
    if (shown.find("********") != std::string::npos) return;
    const MemoryFile again(shown);
    const auto reread = load_config({again.path(), {}, {}});
    expect(reread.has_value(), "what is shown cannot be read");
    expect(show_config(*reread) == shown, "what is shown is read as something else");
}

std::string content_of(const char* path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

std::vector<std::string> seeds() {
    return {
        content_of("deploy/tcptrail.yaml"),
        show_config({}),
        "kafka:\n  brokers: [a:1, 'b:2']\n  properties: {linger.ms: 5, acks: all}\n",
        "kafka.brokers: a:9092\nspool.max_bytes: 1 GiB\n",
        "node: \"\\u00e9\"\nreport: {interval_secs: 0x10}\n",
        "a: &x [1, 2]\nb: *x\n? complex\n: |\n  text\n",
        "capture:\n  drain_interval_ms: 1e400\n",
    };
}

const tests::fuzz::Register registered({"config", run, seeds});

}  // namespace
