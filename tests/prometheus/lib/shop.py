# SPDX-License-Identifier: Apache-2.0
"""A small shop, as a load for pictures: processes with names of their own on two hosts (network namespaces with a veth
between them), some of which have the troubles that tcptrail is for. What each does wrong, it says itself."""
import collections
import random
import socket
import threading
import time

CLIENT, STORE = "10.89.0.1", "10.88.0."  # the shop's own address; those of the servers
NGINX, POSTGRES, LEDGER, SLOW, FILES, BACKUP = ((STORE + str(last), port) for last, port in (
    (10, 80), (20, 5432), (40, 9000), (30, 8080), (70, 9200), (60, 9100)))
NOBODY, ROUTER = (STORE + "50", 25), STORE + "1"  # packets to it are dropped
PORTS = "20000 29999"  # of the shop, few
SERVER_IDLE_SECONDS = 5


def connect_hosts(shop, store):
    """The store has all addresses of 10.88.0.0/16, each for a server."""
    shop.run("ip", "link", "add", "left", "type", "veth", "peer", "name", "right", "netns", str(store.holder.pid))
    shop.run("ip", "address", "add", f"{CLIENT}/24", "dev", "left")
    shop.run("ip", "link", "set", "left", "up")
    store.run("ip", "link", "set", "right", "up")
    shop.run("ip", "route", "add", "10.88.0.0/16", "dev", "left")
    store.run("ip", "route", "add", "10.89.0.0/24", "dev", "right")
    store.run("ip", "route", "add", "local", "10.88.0.0/16", "dev", "lo")
    # By way of a router, or else it is told that nobody answers to ARP.
    shop.run("ip", "route", "add", f"{NOBODY[0]}/32", "via", ROUTER, "dev", "left")
    store.run("ip", "route", "add", "blackhole", f"{NOBODY[0]}/32", "table", "local")
    shop.run("sysctl", "-qw", f"net.ipv4.ip_local_port_range={PORTS}")


# ---- servers

def serve_each(address, answer, each=None, pause=0.0, backlog=128):
    """Takes connections, each in a thread."""
    listener = socket.create_server(address, backlog=backlog)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=each or answer_once, args=(connection, answer), daemon=True).start()
        time.sleep(pause)


def answer_once(connection, answer):
    with connection:
        if connection.recv(4096):
            connection.sendall(b"x" * answer)
            connection.recv(4096)


def answer_while_busy(connection, answer):
    """Until nothing has been asked for five seconds: then it closes, as servers do."""
    with connection:
        connection.settimeout(SERVER_IDLE_SECONDS)
        try:
            while connection.recv(4096):
                connection.sendall(b"x" * answer)
        except OSError:
            pass


def swallow(connection, _):
    with connection:
        while connection.recv(1 << 16):
            pass


# ---- clients

def exchange(connection, size=200):
    connection.sendall(b"q" * size)
    return connection.recv(1 << 16)


def paced(rate):
    """Comes back `rate` times a second; a function of the seconds since it began, or a number."""
    began = due = time.monotonic()
    while True:
        now_rate = rate(time.monotonic() - began) if callable(rate) else rate
        if now_rate <= 0:
            time.sleep(0.5)
            due = time.monotonic()
            continue
        # What was missed is not made up for.
        due = max(due + 1 / now_rate, time.monotonic() - 0.1)
        time.sleep(max(0.0, due - time.monotonic()))
        yield time.monotonic() - began


def without_pool(address, rate):
    """A connection for each request: TIME_WAIT, and in the end no local port."""
    for _ in paced(rate):
        try:
            with socket.create_connection(address, timeout=5) as connection:
                exchange(connection)
        except OSError:
            pass


def stale_pool(address, rate):
    """A pool that keeps connections for longer than the server does: some are closed when they are used again."""
    pool = []
    for _ in paced(rate):
        try:
            # The last used is the next: those at the other end grow old.
            connection = (pool.pop(0 if random.random() < 0.04 else -1) if len(pool) > 5
                          else socket.create_connection(address, timeout=5))
            connection.sendall(b"q" * 200)
            time.sleep(0.002)
            if connection.recv(1 << 16):
                pool.append(connection)
        except OSError:
            pass


def impatient(address, rate):
    """Gives up after half a second; each third attempt is the kernel's to give up, after one more SYN."""
    waiting = collections.deque()
    for number, _ in enumerate(paced(rate)):
        attempt = socket.socket()
        attempt.setblocking(False)
        patient = number % 3 == 0
        if patient:
            attempt.setsockopt(socket.IPPROTO_TCP, 7, 1)  # TCP_SYNCNT
        attempt.connect_ex(address)
        waiting.append((time.monotonic() + (8 if patient else 0.5), attempt))
        for due in [each for each in waiting if each[0] < time.monotonic()]:
            waiting.remove(due)
            due[1].close()


def without_pause(address, rate):
    """One connection that is kept, and tried again at this rate where there is none."""
    for _ in paced(rate):
        try:
            with socket.create_connection(address, timeout=5) as connection:
                while exchange(connection):
                    time.sleep(1)
        except OSError:
            pass


def in_bursts(address, when):
    """Sixty at once, each ten seconds while `when` says so: more than the server's accept queue holds."""
    def one():
        try:
            with socket.create_connection(address, timeout=20) as connection:
                exchange(connection)
        except OSError:
            pass
    one()
    for _ in paced(lambda at: 0.1 if when(at) else 0):
        for _ in range(60):
            threading.Thread(target=one, daemon=True).start()


def leak(address, rate):
    """Opens, and never closes."""
    kept = []
    for _ in paced(rate):
        kept.append(socket.create_connection(address, timeout=5))
        kept[-1].sendall(b"q" * 200)


def upload(address, rate):
    for _ in paced(rate):
        try:
            with socket.create_connection(address, timeout=20) as connection:
                connection.sendall(b"x" * 400_000)
        except OSError:
            pass
