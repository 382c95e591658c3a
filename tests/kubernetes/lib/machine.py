# SPDX-License-Identifier: Apache-2.0
"""What the machine has that a node could leave behind, or change."""
import glob
import os
import subprocess

from lib import cluster

SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
            "kernel/keys/root_maxbytes")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def of_the_node(pid):
    """Is it a program of the node? They name its folder, or are shims of its containerd."""
    try:
        words = read(f"/proc/{pid}/cmdline").split("\0")
    except OSError:
        return False
    return any(word.startswith(cluster.WORK) for word in words) or "shim-runc" in words[0]


def listing():
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    folders = glob.glob("/sys/fs/cgroup/**/", recursive=True)
    return {
        "cgroups": {folder for folder in folders if "/kubepods" in folder or "/tcptrail-node" in folder},
        "mounts": set(read("/proc/mounts").splitlines()),
        "links": {line.split(":")[1] for line in links},
        "pins": set(glob.glob("/sys/fs/bpf/**", recursive=True)),
        "folders": {path for where in ("/var/lib", "/var/log", "/run", "/opt", "/etc") for path in glob.glob(f"{where}/*")},
        "settings": {f"{name}: {read(f'/proc/sys/{name}').strip()}" for name in SETTINGS},
        "processes": {pid for pid in os.listdir("/proc") if pid.isdigit() and of_the_node(pid)},
    }


def differences(before, after):
    return [f"{kind}: {sign} {each}" for kind in before
            for sign, some in (("new", after[kind] - before[kind]), ("gone", before[kind] - after[kind])) for each in sorted(some)]
