#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens connections on loopback and holds both ends of them, until its input ends: then all are closed at once.

  hold.py CONNECTIONS
"""
import os
import resource
import signal
import socket
import sys

EACH = 5000  # connections of one process: two files each


def hold(first, count, ready, alive):
    """Keeps them until it is killed, or nobody else has the other end of `alive`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    held = []
    for number in range(first, first + count):
        held.append(socket.create_connection(listener.getsockname(), source_address=(f"127.0.{number % 200 + 1}.1", 0)))
        held.append(listener.accept()[0])
    os.write(ready, b"1")
    os.read(alive, 1)


def live(*arguments):
    """A child's life. It ends here: what follows is its parent's."""
    status = 1
    try:
        hold(*arguments)
        status = 0
    except OSError as error:
        print(f"hold: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def main():
    connections = int(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    readable, ready = os.pipe()
    alive, life = os.pipe()
    children = []
    try:
        for first in range(0, connections, EACH):
            child = os.fork()
            if child == 0:
                os.close(life)
                live(first, min(connections - first, EACH), ready, alive)
            children.append(child)
        os.close(ready)
        if sum(len(os.read(readable, 1)) for _ in children) == len(children):
            print("open", flush=True)
            sys.stdin.read()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


main()
