# SPDX-License-Identifier: Apache-2.0
"""A burst: very many connections end at once, and the agent does not get a processor for a moment."""
import signal
import time

from lib import arms, costs
from lib.host import CPUS
from lib.namespaces import Namespace
from lib.workloads.held import Holder, Scene

STOPPED_SECONDS = 0.1
PASSES = 3


def one_pass(connections):
    """Returns (seconds in which they ended, what was told)."""
    with Namespace() as namespace:
        observer = arms.Tcptrail()
        observer.start(Scene(namespace), ",".join(map(str, CPUS)))
        try:
            holder = Holder(namespace, connections)
            costs.await_idle(observer.pid)
            observer.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            holder.begin_to_close()
            time.sleep(STOPPED_SECONDS)
            observer.process.send_signal(signal.SIGCONT)
            holder.close()
            took = time.monotonic() - began
            costs.await_idle(observer.pid)
            return took, observer.stop()
        except BaseException:
            observer.kill()
            raise


def run(options, report):
    ends = options.burst
    report.begin("A burst", f"{ends} ends of connections on loopback that are open, closed at once; the agent, with its "
                 f"defaults, is stopped (SIGSTOP) for {STOPPED_SECONDS * 1000:.0f} ms when they begin to end.")
    rows = []
    for _ in range(PASSES):
        took, told = one_pass(ends // 2)
        rows.append([ends, f"{took:.2f}", f"{ends / took:.0f}", told.ends, told.lost or 0])
        report.check(told.ends == ends and not told.lost, f"{told.ends} of {ends} told, {took:.2f} s; lost {told.lost or 0}")
    report.table(["ends", "s until all have ended", "ends/s", "told", "lost"], rows)
    report.end()
