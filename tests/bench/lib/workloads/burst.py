# SPDX-License-Identifier: Apache-2.0
"""A burst: very many connections end at once, and the agent does not get a processor for a moment."""
import os
import signal
import time

from lib import costs, triples
from lib.agent import Agent
from lib.arms import OnProcessors
from lib.host import CPUS
from lib.namespaces import Namespace
from lib.workloads.held import Holder

STOPPED_SECONDS = 0.1
PASSES = 3


def one_pass(ends):
    """Returns (seconds in which they ended, how many were told, lost by reason)."""
    with Namespace() as namespace, Agent(OnProcessors(",".join(map(str, CPUS)))) as agent:
        holder = Holder(namespace, ends // 2)
        costs.await_idle(agent.pid)
        os.kill(agent.pid, signal.SIGSTOP)
        began = time.monotonic()
        holder.begin_to_close()
        time.sleep(STOPPED_SECONDS)
        os.kill(agent.pid, signal.SIGCONT)
        holder.close()
        took = time.monotonic() - began
        costs.await_idle(agent.pid)
        lost = agent.lost()
        agent.stop()
        return took, agent.ends_in_spool([namespace.inode]), lost


def run(options, report):
    ends = options.burst
    report.begin("A burst", f"{ends} ends of connections on loopback that are open, closed at once; `tcptrail run`, with its "
                 f"defaults, is stopped (SIGSTOP) for {STOPPED_SECONDS * 1000:.0f} ms when they begin to end. How fast they "
                 "end is the kernel's doing.")
    rows, most_lost = [], 0
    for _ in range(PASSES):
        took, told, lost = one_pass(ends)
        rows.append([ends, f"{took:.2f}", f"{ends / took:.0f}", told, lost or 0])
        most_lost = max(most_lost, ends - told)
        report.check(told == ends and not lost, f"{told} of {ends} told, {took:.2f} s; lost {lost or 0}; "
                     f"{triples.bound_text(ends - told, ends)}")
    report.table(["ends", "s until all have ended", "ends/s", "told", "lost"], rows)
    report.goal(f"burst of {ends} ends, stopped for 100 ms: lost, the most of {PASSES}", 0, most_lost,
                beside=f"{min(float(row[2]) for row in rows):.0f} ends/s")
    report.end()
