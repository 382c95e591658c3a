# SPDX-License-Identifier: Apache-2.0
"""W3: many connections are held open, and closed at once."""
import os
import subprocess
import sys

from lib import costs, triples
from lib.agent import Agent
from lib.host import BenchError
from lib.namespaces import Namespace

MB = 1e6
GOALS = {0: 32, 100000: 72, 500000: 240}
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


def settings_for(ends):
    return [f"capture.max_connections={2 * ends}"] if ends > DEFAULT_CONNECTIONS else []


def one_pass(ends, adopts):
    """Opened before the agent, or while it watches. Returns (bytes charged but for cached files, of these the kernel's, told,
    lost)."""
    with Namespace() as namespace, costs.MemoryGroup("held") as group:
        holder = Holder(namespace, ends // 2) if adopts and ends else None
        with Agent(group, settings=settings_for(ends)) as agent:
            if not holder and ends:
                holder = Holder(namespace, ends // 2)
            costs.await_idle(agent.pid)
            charged, kernel, cache = group.charged()
            if holder:
                holder.close()
            costs.await_idle(agent.pid)
            lost = agent.lost()
            agent.stop()
            return charged - cache, kernel, agent.ends_in_spool([namespace.inode]), lost


def run(options, report):
    report.begin("W3 held open, closed at once", "`tcptrail run`, nothing set, into its spool. Memory is what its cgroup is "
                 "charged while all are open, but for what is cached of files; ends: a connection on loopback has two.")
    rows, unused = [], 0
    for ends in [0, *options.held]:
        for adopts in ([True, False] if ends else [True]):
            charged, kernel, told, lost = one_pass(ends, adopts)
            unused = unused or kernel
            when = "before the agent" if adopts else "while it watches"
            rows.append([ends, when if ends else "-", f"{charged / MB:.1f}", f"{kernel / MB:.1f}",
                         f"{(kernel - unused) / ends:.0f}" if ends else "-", told, lost or 0])
            report.progress(f"{ends} ends, opened {when}: {charged / MB:.1f} MB, told {told}")
            if ends:
                report.check(told == ends and not lost, f"{ends} ends opened {when}, closed at once: {told} told, "
                             f"lost {lost or 0}; {triples.bound_text(ends - told, ends)}")
            if ends in GOALS:
                report.goal(f"W3 memory, {ends} ends open{', opened ' + when if ends else ''}", GOALS[ends], charged / MB, "MB")
    report.table(["ends open", "opened", "MB charged", "MB of these the kernel's", "bytes of the kernel's per open end", "told",
                  "lost"], rows)
    report.end()
