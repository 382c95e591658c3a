# SPDX-License-Identifier: Apache-2.0
"""An agent that serves metrics at a port of its own. It pins nothing and answers at no socket: others may run beside it."""
import os
import signal
import subprocess
import time
import urllib.request

BUILD = os.environ.get("BUILD", "build")


class Agent:
    """A context manager. settings: KEY=VALUE."""

    def __init__(self, folder, port, settings=()):
        self.address, self.log = f"127.0.0.1:{port}", f"{folder}/agent-{port}.log"
        words = ["serve.socket=", "capture.pin=", f"serve.metrics.listen={self.address}", "output.format=jsonl", *settings]
        self.command = [f"{BUILD}/tcptrail", "run", *(f"--set={word}" for word in words)]
        os.makedirs(folder, exist_ok=True)

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the agent does not start: see {self.log}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/readyz", timeout=5):
                return True
        except OSError:
            return False
