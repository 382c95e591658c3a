# SPDX-License-Identifier: Apache-2.0
"""What a process costs: its processor time, what its BPF programs take in the kernel, and its memory."""
import collections
import contextlib
import ctypes
import os
import time

from lib.host import BenchError, programs

BPF_ENABLE_STATS, BPF_STATS_RUN_TIME = 32, 0
SYSCALL = {"x86_64": 321, "aarch64": 280}
TICKS = os.sysconf("SC_CLK_TCK")

Reading = collections.namedtuple("Reading", "name runs nanos skipped")


@contextlib.contextmanager
def statistics():
    """The kernel measures all BPF programs, as long as this lasts."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = (ctypes.c_uint32 * 32)(BPF_STATS_RUN_TIME)
    fd = libc.syscall(SYSCALL[os.uname().machine], BPF_ENABLE_STATS, attributes, ctypes.sizeof(attributes))
    if fd < 0:
        raise BenchError(f"BPF statistics: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(fd)


def descriptors(pid):
    """(number, what it is) of each descriptor of a process."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield number, os.readlink(f"/proc/{pid}/fd/{number}")


def readings(pid):
    """Of each program that the process holds, by its id."""
    found = {}
    for number, what in descriptors(pid):
        if what != "anon_inode:bpf-prog":
            continue
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        found[int(fields["prog_id"])] = fields
    names = {each["id"]: each.get("name", "?") for each in programs()}
    return {number: Reading(names.get(number, "?"), int(fields["run_cnt"]), int(fields["run_time_ns"]),
                            int(fields.get("recursion_misses", 0))) for number, fields in found.items()}


def skipped_runs(pid):
    """How often the kernel skipped a program, because one was running on that CPU."""
    return sum(each.skipped for each in readings(pid).values())


def since(before, after):
    """What the programs did between two readings; those that ran."""
    for number, now in after.items():
        then = before.get(number, Reading(now.name, 0, 0, 0))
        if now.runs > then.runs:
            yield Reading(now.name, now.runs - then.runs, now.nanos - then.nanos, now.skipped - then.skipped)


def processor_seconds(pid):
    """User and system time of all threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def user_and_system_seconds(pid):
    """Apart from each other, as the kernel divides them: in ticks."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def await_idle(pid, longest=120):
    """Until the process has done its work: it then takes less than a hundredth of a processor."""
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        before = processor_seconds(pid)
        time.sleep(0.25)
        if processor_seconds(pid) - before < 0.0025:
            return
    raise BenchError(f"process {pid} is still busy after {longest} s")


class MemoryGroup:
    """A memory cgroup of ours, of v2 or v1. A context manager; a process gets into it by command()."""

    def __init__(self, name):
        self.folder = None
        for mount, controllers in (("/sys/fs/cgroup", "cgroup.controllers"), ("/sys/fs/cgroup/memory", "cgroup.procs")):
            if not os.path.exists(f"{mount}/{controllers}"):
                continue
            self.is_v2 = controllers == "cgroup.controllers"
            if self.is_v2:
                with contextlib.suppress(OSError), open(f"{mount}/cgroup.subtree_control", "w", encoding="ascii") as file:
                    file.write("+memory")
            self.folder = f"{mount}/tcptrail-bench-{name}-{os.getpid()}"
            break
        if not self.folder:
            raise BenchError("no memory controller of cgroup v1 or v2 is mounted")

    def __enter__(self):
        os.mkdir(self.folder)
        return self

    def __exit__(self, *_):
        for _ in range(50):  # what has ended may still be on its way
            with contextlib.suppress(OSError):
                os.rmdir(self.folder)
                return
            time.sleep(0.1)

    def command(self, words):
        return ["sh", "-c", f"echo $$ > {self.folder}/cgroup.procs && exec \"$@\"", "sh", *words]

    def number(self, name):
        with open(f"{self.folder}/{name}", encoding="ascii") as file:
            return int(file.read())

    def charged(self):
        """Bytes: all, and of these what the kernel has for it (maps of BPF among it) and the cache of files."""
        with open(f"{self.folder}/memory.stat", encoding="ascii") as file:
            stat = dict(line.split() for line in file)
        if self.is_v2:
            return self.number("memory.current"), int(stat.get("kernel", 0)), int(stat["file"])
        return self.number("memory.usage_in_bytes"), self.number("memory.kmem.usage_in_bytes"), int(stat["cache"])
