// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

namespace tcptrail::test {

namespace {

constexpr uid_t nobody_id = 65534;
constexpr cap_value_t kept[] = {CAP_BPF, CAP_PERFMON};

// Effective, permitted and inheritable: the two that are kept.
int set_two_capabilities() {
    const cap_t caps = cap_init();
    for (const cap_flag_t set : {CAP_EFFECTIVE, CAP_PERMITTED, CAP_INHERITABLE})
        cap_set_flag(caps, set, 2, kept, CAP_SET);
    const int result = cap_set_proc(caps);
    cap_free(caps);
    return result;
}

int drop_bounding_set() {
    for (cap_value_t cap = 0; cap < cap_max_bits(); ++cap)
        if (cap != CAP_BPF && cap != CAP_PERFMON && cap_drop_bound(cap) != 0) return -1;
    return 0;
}

int become_nobody() {
    if (setgroups(0, nullptr) != 0 || setresgid(nobody_id, nobody_id, nobody_id) != 0) return -1;
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setresuid(nobody_id, nobody_id, nobody_id) != 0) return -1;
    if (set_two_capabilities() != 0) return -1;
    for (const cap_value_t cap : kept)
        if (cap_set_ambient(cap, CAP_SET) != 0) return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

}  // namespace

int execute_as(Privileges privileges, const std::vector<char*>& argv) {
    // Opened as root: nobody may not be allowed into the folder.
    const int binary = open(argv[0], O_RDONLY | O_CLOEXEC);
    if (binary < 0) return errno;
    if (privileges != Privileges::root && drop_bounding_set() != 0) return errno;
    if (privileges == Privileges::nobody && become_nobody() != 0) return errno;
    fexecve(binary, argv.data(), environ);
    return errno;
}

}  // namespace tcptrail::test
