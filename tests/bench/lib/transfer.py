#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends from one network namespace to another, and prints what the sender's kernel sent again, by the client's port.

  transfer.py CLIENT_NETNS SERVER_NETNS ADDRESS CONNECTIONS BYTES
"""
import concurrent.futures
import ctypes
import json
import os
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
TOTAL_RETRANS = 100  # offset of tcpi_total_retrans in struct tcp_info of linux/tcp.h
AT_ONCE = 8
PATIENCE = 120


def enter(path):
    """The calling thread. Its sockets stay where they were made."""
    with open(path, encoding="ascii") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")


def serve(listener):
    """Reads all of one connection, and closes when the other end has."""
    server, _ = listener.accept()
    server.settimeout(PATIENCE)
    with server:
        while server.recv(1 << 16):
            pass


def send(netns, address, count):
    """Returns (port, retransmits) when the other end has all."""
    enter(netns)
    with socket.create_connection(address, timeout=PATIENCE) as client:
        port = client.getsockname()[1]
        client.sendall(bytes(count))
        client.shutdown(socket.SHUT_WR)
        if client.recv(1):
            sys.exit("nothing was to be answered")
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANS + 4)
        return port, struct.unpack_from("=I", info, TOTAL_RETRANS)[0]


def main():
    client_netns, server_netns, address, connections, count = sys.argv[1:]
    enter(server_netns)
    listener = socket.create_server((address, 0), backlog=64)
    to = listener.getsockname()
    pool = concurrent.futures.ThreadPoolExecutor
    with pool(AT_ONCE) as servers, pool(AT_ONCE) as clients:
        served = [servers.submit(serve, listener) for _ in range(int(connections))]
        sent = [clients.submit(send, client_netns, to, int(count)) for _ in range(int(connections))]
        print(json.dumps(dict(each.result() for each in sent)))
        for each in served:
            each.result()


main()
