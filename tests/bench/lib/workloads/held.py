# SPDX-License-Identifier: Apache-2.0
"""W3: many connections are held open, and closed at once."""
import os
import subprocess
import sys
import time

from lib import arms, costs
from lib.host import CPUS, BenchError
from lib.namespaces import Namespace

MB = 1e6
DEFAULT_CONNECTIONS = 524288  # capture.max_connections


class Holder:
    """Processes that hold both ends of connections: tests/bench/lib/hold.py."""

    def __init__(self, namespace, connections):
        self.process = subprocess.Popen([*namespace.enter, sys.executable, f"{os.path.dirname(__file__)}/../hold.py",
                                         str(connections)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say()

    def say(self):
        if not self.process.stdout.readline():
            raise BenchError("connections could not be held")

    def begin_to_close(self):
        """All at once."""
        self.process.stdin.close()

    def close(self):
        self.begin_to_close()
        self.process.wait()


class Observer(arms.Tcptrail):
    def __init__(self, group, ends):
        self.group, self.ends = group, ends

    def command(self):
        most = ["--set", f"capture.max_connections={2 * self.ends}"] if self.ends > DEFAULT_CONNECTIONS else []
        return self.group.command([*super().command(), *most])


class Scene:
    marks = []

    def __init__(self, namespace):
        self.netns = namespace.inode


def seconds_to_start(observer, scene):
    began = time.monotonic()
    observer.start(scene, ",".join(map(str, CPUS)))
    return time.monotonic() - began - 0.1  # for which start() waits


def one_pass(connections, adopts):
    """Opened before the agent, or while it watches. Returns (seconds to start, bytes charged, ends told, lost)."""
    with Namespace() as namespace, costs.MemoryGroup("held") as group:
        observer, scene = Observer(group, 2 * connections), Scene(namespace)
        holder = Holder(namespace, connections) if adopts and connections else None
        took = seconds_to_start(observer, scene)
        try:
            if not holder and connections:
                holder = Holder(namespace, connections)
            costs.await_idle(observer.pid)
            charged = group.charged()
            if holder:
                holder.close()
            costs.await_idle(observer.pid)
            told = observer.stop()
        except BaseException:
            observer.kill()
            raise
    return took, charged, told


def run(options, report):
    report.begin("W3 held open, closed at once", "Memory is what the agent's cgroup is charged while all are open.")
    rows, unused = [], 0
    for connections in [0, *options.held]:
        for adopts in ([True, False] if connections else [True]):
            took, (charged, kernel, _), told = one_pass(connections, adopts)
            ends = 2 * connections
            unused = unused or kernel
            when = "before the agent" if adopts else "while it watches"
            rows.append([ends, when if ends else "-", f"{took:.2f}", f"{charged / MB:.1f}", f"{kernel / MB:.1f}",
                         f"{(kernel - unused) / ends:.0f}" if ends else "-", told.ends, told.lost or 0])
            report.progress(f"{ends} ends, opened {when}: {took:.2f} s, {charged / MB:.1f} MB, told {told.ends}")
            if ends:
                report.check(told.ends == ends and not told.lost,
                             f"{ends} ends opened {when}, closed at once: {told.ends} told")
    report.table(["ends open", "opened", "s until it traces", "MB charged", "MB of these the kernel's",
                  "bytes of the kernel's per open end", "told", "lost"], rows)
    report.end()
