# SPDX-License-Identifier: Apache-2.0
"""The machine: what it is, what else happens on it, and what its kernel has counted."""
import collections
import json
import os
import re
import subprocess

BUILD = os.environ.get("BUILD", "build")
FOLDER = f"{BUILD}/bench"
CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU, TOOL_CPU = CPUS[0], CPUS[-1]
TRACING = {"tracing", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "kprobe", "perf_event", "lsm"}
PACKAGES = ("libbpf-tools", "bpftrace", "iperf3", "wrk", "librdkafka1", "libsqlite3-0", "libprotobuf32|libprotobuf32t64",
            "libzstd1")
KAFKA = "tests/kafka/jars.sha256"


class BenchError(Exception):
    """What cannot be measured here, and why."""


def output_of(command, **options):
    """What a command printed; a failure is told with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command[:4])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def programs():
    """The BPF programs of the host, as bpftool lists them."""
    return json.loads(output_of(["bpftool", "-j", "prog", "show"]))


def tracing_programs():
    return collections.Counter(each.get("name", "?") for each in programs() if each["type"] in TRACING)


def version_of(package):
    """a|b: whichever is installed."""
    names = package.split("|")
    if len(names) > 1:
        return next((found for found in map(version_of, names) if found != "not installed"), "not installed")
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else "not installed"


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def kernel():
    """Without what a builder of kernels adds."""
    return os.uname().release.split("-")[0]


def kafka_version():
    with open(KAFKA, encoding="ascii") as file:
        found = re.search(r"kafka-clients-([\d.]+)\.jar", file.read())
    return found[1] if found else "?"


def statistics_are_on():
    """Whether the kernel measures all BPF programs, which costs each of their runs."""
    try:
        with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as file:
            return file.read().strip() != "0"
    except FileNotFoundError:
        return False


def describe():
    """Lines about what is measured, and on what."""
    packages = [f"{package.split('|')[0]} {version_of(package)}" for package in PACKAGES]
    return [f"Linux {os.uname().release}, {len(CPUS)} CPUs ({processor()})",
            output_of([f"{BUILD}/tcptrail", "--version"]).strip(),
            ", ".join([*packages, f"Kafka {kafka_version()}"])]


class Surroundings:
    """What else happened while something was measured: load and stolen time, before and after."""

    def __init__(self):
        self.load, self.ticks = os.getloadavg()[0], self.read()
        names = tracing_programs()
        self.attached = f"{names.total()} ({', '.join(sorted(names))})" if names else "none"

    @staticmethod
    def read():
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(word) for word in file.readline().split()[1:9]]
        return fields[7], sum(fields)

    def describe(self):
        stolen, all_ticks = (now - then for now, then in zip(self.read(), self.ticks))
        steal = 100 * stolen / max(all_ticks, 1)
        return (f"Linux {kernel()}; load {self.load:.2f} before, {os.getloadavg()[0]:.2f} after; steal {steal:.1f} %; "
                f"tracing programs of others: {self.attached}")
