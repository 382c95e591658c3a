// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/mixed/fate.h"

namespace mix {
namespace {

struct Words {
    const char* name;
    const char* client_end;
    const char* server_end;
};

constexpr Words words[fates] = {
    {"client_closes", "LOCAL_CLOSE", "REMOTE_CLOSE"},
    {"client_shuts_down", "LOCAL_CLOSE", "REMOTE_CLOSE"},
    {"server_closes", "REMOTE_CLOSE", "LOCAL_CLOSE"},
    {"client_resets", "LOCAL_RESET", "REMOTE_RESET"},
    {"client_resets_early", "LOCAL_RESET", "REMOTE_RESET"},
    {"server_resets", "REMOTE_RESET", "LOCAL_RESET"},
    {"server_leaves_unread", "REMOTE_RESET", "LOCAL_RESET"},
    {"refused", "NOT_ESTABLISHED", nullptr},
    {"timed_out", "NOT_ESTABLISHED", nullptr},
    {"unreachable", "NOT_ESTABLISHED", nullptr},
    {"abandoned", "NOT_ESTABLISHED", nullptr},
    {"no_local_port", "NOT_ESTABLISHED", nullptr},
    {"denied", "NOT_ESTABLISHED", nullptr},
};

const Words& words_of(Fate fate) {
    return words[static_cast<size_t>(fate)];
}

}  // namespace

const char* name(Fate fate) {
    return words_of(fate).name;
}

const char* client_end(Fate fate) {
    return words_of(fate).client_end;
}

const char* server_end(Fate fate) {
    return words_of(fate).server_end;
}

}  // namespace mix
