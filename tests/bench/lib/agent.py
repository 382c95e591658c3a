# SPDX-License-Identifier: Apache-2.0
"""`tcptrail run`, with a spool of its own and nothing pinned, in a memory cgroup."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from lib import costs
from lib.host import BUILD, BenchError

REPORT_SECONDS = 10  # report.interval_secs
NO_BROKER = "127.0.0.1:1"


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not after {seconds} s")
        time.sleep(0.1)


class Agent:
    """A context manager. topics: {"connections": name, "agents": name}, or None: no broker is reached."""

    def __init__(self, group, brokers=NO_BROKER, topics=None, settings=()):
        self.group, self.wants_broker = group, bool(topics)
        self.folder = tempfile.mkdtemp(prefix="tcptrail-bench-", dir="/var/tmp")
        self.socket = f"{self.folder}/agent.sock"
        self.words = [f"kafka.brokers={brokers}", f"spool.directory={self.folder}/spool", "spool.max_bytes=6GiB",
                      "capture.pin=", f"serve.socket={self.socket}", *settings]
        self.words += [f"kafka.topics.{kind}={name}" for kind, name in (topics or {}).items()]

    def __enter__(self):
        command = [f"{BUILD}/tcptrail", "run", *(f"--set={each}" for each in self.words)]
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(self.group.command(command), stdout=log, stderr=log)
        self.pid = self.process.pid
        try:
            wait_for("the agent starts", lambda: "sending to Kafka" in self.log() or self.process.poll() is not None, 60)
            if self.process.poll() is not None:
                raise BenchError(f"the agent did not start: {self.log()[-400:]}")
            wait_for("tcptrail status", lambda: os.path.exists(self.socket), 60)
            if self.wants_broker:  # its own report of the start is acknowledged
                wait_for("the broker acknowledges", lambda: self.stage("transmit")["out"], 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder)

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def report(self):
        asked = subprocess.run([f"{BUILD}/tcptrail", "status", "-o", "json", "--socket", self.socket], capture_output=True,
                               text=True)
        if not asked.stdout:
            raise BenchError(f"tcptrail status: {asked.stderr.strip()}")
        return json.loads(asked.stdout)

    def stage(self, name):
        """Its account: in, out, held."""
        found = next((each for each in self.report()["stages"] if each["name"] == name), {})
        return {key: int(found.get(key, 0)) for key in ("in", "out", "held")}

    def told(self, netns, counted):
        """Of a namespace, by the agent's account: it is drawn up with each report, and waited for until it has `counted`."""
        def account():
            every = (each for each in self.report().get("namespaces", []) if each["netns"] == netns)
            return next(every, {})
        wait_for("the account of the namespace", lambda: int(account().get("lifecycles_counted", 0)) >= counted,
                 3 * REPORT_SECONDS)
        return int(account()["lifecycles_told"])

    def ends_in_spool(self, inodes):
        """Ends of connections in these namespaces. Of one that was stopped, and had no broker."""
        marks = [f'"netns":{inode},'.encode() for inode in inodes]
        command = [f"{BUILD}/tcptrail", "spool", "export", "--directory", f"{self.folder}/spool"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as export:
            ends = sum(b"EVENT_KIND_CLOSED" in line and any(mark in line for mark in marks) for line in export.stdout)
        if export.returncode:
            raise BenchError(f"tcptrail spool export: exit status {export.returncode}")
        return ends

    def size_of_spool(self):
        folder = f"{self.folder}/spool"
        return sum(os.path.getsize(f"{folder}/{name}") for name in os.listdir(folder))

    def lost(self):
        """By stage and reason."""
        return {f"{stage['name']} {loss['reason']}": int(loss["count"]) for stage in self.report()["stages"]
                for loss in stage.get("lost", []) if int(loss["count"])}


class Usage:
    """Processor time of a process since this was made."""

    def __init__(self, pid):
        self.pid, self.began = pid, time.monotonic()
        self.all, self.parts = costs.processor_seconds(pid), costs.user_and_system_seconds(pid)

    def take(self):
        """(seconds that went by, user and system seconds together, user seconds, system seconds)"""
        user, system = (now - then for now, then in zip(costs.user_and_system_seconds(self.pid), self.parts))
        return time.monotonic() - self.began, costs.processor_seconds(self.pid) - self.all, user, system
