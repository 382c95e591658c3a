# SPDX-License-Identifier: Apache-2.0
"""W4: what fails, and how else connections end: each record against the truth.

tests/bench/mixed has them all at once but for a full accept queue, which is made here.
"""
import os
import subprocess
import sys

from lib import arms
from lib.host import BUILD, CPUS, BenchError
from lib.namespaces import Namespace

CLIENTS = 300
OVERFLOW = f"""
import socket, time
listener = socket.create_server(("127.0.0.1", 20001), backlog=4)
clients = []
for _ in range({CLIENTS}):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", 20001))
    clients.append(client)
time.sleep(2.5)
for client in clients:
    client.close()
listener.close()
time.sleep(2)
"""


class Scene:
    marks = []

    def __init__(self, namespace):
        self.netns = namespace.inode


def overflow(report):
    """More clients than the queue of a listener holds, which accepts none. Clients that wait are given up."""
    with Namespace() as namespace:
        tool = arms.Tcptrail()
        tool.start(Scene(namespace), ",".join(map(str, CPUS)))
        try:
            done = subprocess.run([*namespace.enter, sys.executable, "-c", OVERFLOW], check=False)
            if done.returncode:
                raise BenchError("the accept queue could not be made to overflow")
            told = tool.stop()
        except BaseException:
            tool.kill()
            raise
        opens, extended = namespace.opens(), namespace.extended()
    report.check(told.ends == opens and not told.lost,
                 f"accept queue overflow: told {told.ends}, SNMP {opens}; ListenOverflows {extended['ListenOverflows']}")
    report.check(extended["ListenOverflows"] > 0, "the accept queue did overflow")


def run(options, report):
    report.begin("W4 failures", f"{options.mixed} lifecycles: refused, reset by either end and early, unanswered SYN, "
                 "half-close, SO_LINGER 0, unread data, unreachable, given up, no local port, denied; IPv4, IPv6, mapped.")
    mixed = subprocess.run([sys.executable, "tests/bench/mixed", "--lifecycles", str(options.mixed), "--rate", "10000"],
                           capture_output=True, text=True, env={**os.environ, "BUILD": BUILD}, check=False)
    lines = mixed.stdout.splitlines() + mixed.stderr.splitlines()
    report.write("\n".join(f"    {line}" for line in lines[:-1]))
    report.check(mixed.returncode == 0, lines[-1].partition(": ")[2] or lines[-1])
    overflow(report)
    report.end()
