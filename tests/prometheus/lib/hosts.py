# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that stand for hosts."""
import ctypes
import os
import signal
import subprocess


class Host:
    """A network namespace that lives as long as its process. A context manager."""

    def __enter__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep inf"],
                                       stdout=subprocess.PIPE, text=True)
        self.holder.stdout.readline()
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.inode = os.stat(self.path).st_ino
        self.children = []
        return self

    def __exit__(self, *_):
        for pid in [*self.children]:
            self.end(pid)
        self.holder.kill()
        self.holder.wait()

    def run(self, *command):
        subprocess.run(["nsenter", f"--net={self.path}", *command], check=True)

    def start(self, name, what, *arguments):
        """A process called `name` that does `what` until it is ended. Returns its pid."""
        pid = os.fork()
        if pid == 0:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
                libc.prctl(15, name.encode())  # PR_SET_NAME
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                with open(self.path, "rb") as space:
                    if libc.setns(space.fileno(), 0) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                what(*arguments)
            finally:
                os._exit(1)
        self.children.append(pid)
        return pid

    def end(self, pid):
        self.children.remove(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
