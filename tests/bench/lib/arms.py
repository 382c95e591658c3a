# SPDX-License-Identifier: Apache-2.0
"""What is measured beside nothing: tcptrail, its peers, and our own references. Each tells how many ends it told of.

A scene says whose ends are counted: `netns` is the inode of a network namespace, `inodes` of all that it has, `marks` are
texts of which one is in each line of a peer about these connections; peers know no namespaces.
"""
import collections
import json
import re
import signal
import subprocess
import time

from lib import costs
from lib.agent import Agent
from lib.host import BUILD, FOLDER, BenchError

SUMMARY = re.compile(r"seen (\d+) = told (\d+) \+ lost (\d+)(?: \((.*?)\))?.*shown (\d+)")
START_SECONDS = 20
# For those that attach through tracefs, where it is not mounted: for them alone.
PRIVATELY = ["unshare", "--mount", "sh", "-c",
             'mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh"]

# lost: by reason, what the tool itself says.
Told = collections.namedtuple("Told", "ends lost")


class Arm:
    """A process that traces. Its output goes to a file: a terminal would cost each of them differently."""

    name = ""

    def start(self, scene, cpus):
        self.scene = scene
        self.path = f"{FOLDER}/arm-{self.name.replace(' ', '-')}.out"
        with open(self.path, "wb") as out, open(self.path + ".err", "wb") as errors:
            self.process = subprocess.Popen(["taskset", "-c", cpus, *self.command()], stdout=out, stderr=errors)
        self.pid = self.process.pid
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.text(".err") or self.text()
                self.kill()
                raise BenchError(f"{self.name} did not start: {said[-400:]}")
            time.sleep(0.02)
        time.sleep(0.1)

    def stop(self):
        """It has told all that it will: see costs.await_idle()."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return self.result()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def text(self, suffix=""):
        with open(self.path + suffix, encoding="utf-8", errors="replace") as file:
            return file.read()

    def lines(self):
        """Those about the scene's connections."""
        marks = [mark.encode() for mark in self.scene.marks]
        with open(self.path, "rb") as file:
            yield from (line for line in file if any(mark in line for mark in marks))

    def configuration(self):
        """How it was run the last time, in words."""
        return "`" + " ".join(" ".join(word.split()) for word in self.command() if word not in PRIVATELY) + "`"

    def epolls(self):
        """It waits for events: the tools of libbpf-tools begin that when they are attached."""
        return any(what == "anon_inode:[eventpoll]" for _, what in costs.descriptors(self.pid))


class Tcptrail(Arm):
    name = "tcptrail"

    def command(self):
        return [f"{BUILD}/tcptrail", "observe", "--netns", str(self.scene.netns)]

    def is_ready(self):
        return "tcptrail: tracing" in self.text(".err")

    def configuration(self):
        """With what it says that it traces."""
        said = re.search(r"^tcptrail: (tracing.*)$", self.text(".err"), re.MULTILINE)
        return f"{super().configuration()}: {said[1] if said else '?'}"

    def result(self):
        found = SUMMARY.search(self.text(".err"))
        if not found:
            raise BenchError(f"tcptrail failed: {self.text('.err')[-400:]}")
        seen, told, lost, shown = (int(found[group]) for group in (1, 2, 3, 5))
        if seen != told + lost:
            raise BenchError(f"tcptrail's account does not add up: {found[0]}")
        return Told(shown, {found[4] or "unknown": lost} if lost else {})


class OnProcessors:
    """In the place of an agent's memory cgroup."""

    def __init__(self, cpus):
        self.cpus = cpus

    def command(self, words):
        return ["taskset", "-c", self.cpus, *words]


class Stored(Arm):
    """The agent as it runs on a host, but without a broker: all of it but Kafka."""

    name = "tcptrail run"

    def start(self, scene, cpus):
        self.scene = scene
        self.agent = Agent(OnProcessors(cpus))
        self.agent.__enter__()
        self.pid = self.agent.pid

    def stop(self):
        lost = self.agent.lost()
        self.agent.stop()
        told = Told(self.agent.ends_in_spool(self.scene.inodes), lost)
        self.agent.__exit__()
        return told

    def kill(self):
        self.agent.__exit__()

    def configuration(self):
        return f"`tcptrail run`, into its spool: `{' '.join(word for word in self.agent.words if '/' not in word)}`"


class LibbpfTool(Arm):
    def command(self):
        return [*PRIVATELY, self.name, "-w"]

    def is_ready(self):
        return self.epolls()

    def result(self):
        lost = sum(map(int, re.findall(r"[Ll]ost (\d+) events", self.text(".err"))))
        return Told(sum(self.is_end(line) for line in self.lines()), {"buffer": lost} if lost else {})


class Tcplife(LibbpfTool):
    name = "tcplife"

    def is_end(self, _):
        return True


class Tcpstates(LibbpfTool):
    name = "tcpstates"

    def is_end(self, line):
        """It ends in OLDSTATE -> NEWSTATE MS. A listener's end is none of a connection."""
        words = line.split()
        return words[-2] == b"CLOSE" and words[-4] != b"LISTEN"


class Bpftrace(Arm):
    """One line per end, from the same tracepoint as the others."""

    name = "bpftrace"
    PROGRAM = """
        BEGIN { printf("attached\\n"); }
        tracepoint:sock:inet_sock_set_state
        / args->protocol == 6 && args->newstate == 7 && args->oldstate != 7 && args->oldstate != 10 /
        { printf("%d %s %s %d %s %d \\n", pid, comm, ntop(args->saddr), args->sport, ntop(args->daddr), args->dport); }"""

    def command(self):
        return [*PRIVATELY, "bpftrace", "-e", self.PROGRAM]

    def is_ready(self):
        return "attached" in self.text()

    def result(self):
        lost = sum(map(int, re.findall(r"Lost (\d+) events", self.text())))
        return Told(sum(1 for _ in self.lines()), {"buffer": lost} if lost else {})


class Reference(Arm):
    """tests/bench/reference."""

    def is_ready(self):
        return "attached" in self.text()


class Empty(Reference):
    """Programs that do nothing: tells nothing."""

    name = "empty"

    def command(self):
        return [f"{BUILD}/tests/bench/reference", "empty"]

    def result(self):
        return Told(None, {})


class EmitOnly(Reference):
    name = "emit only"

    def command(self):
        return [f"{BUILD}/tests/bench/reference", "emit", str(self.scene.netns)]

    def result(self):
        account = json.loads(self.text().splitlines()[-1])
        return Told(account["told"], {"ring_full": account["ring_full"]} if account["ring_full"] else {})


OURS = [Tcptrail.name, Stored.name]
ALL = {each.name.replace(" ", "-"): each for each in (Tcptrail, Stored, EmitOnly, Empty, Tcplife, Tcpstates, Bpftrace)}


def make(names):
    return [ALL[name]() for name in names]
