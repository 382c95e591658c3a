# SPDX-License-Identifier: Apache-2.0
"""What the workload wrote down: its own account of each end of each connection."""
import collections
import glob
import os

from lib import cluster

Line = collections.namedtuple("Line", "namespace pod uid container role local local_port remote remote_port plan outcome end "
                                      "error opened ended")


def parse(text):
    words = text.rstrip("\n").split(",")
    for i in (6, 8, 12, 13, 14):
        words[i] = int(words[i])
    return Line(*words)


def lines():
    for path in sorted(glob.glob(f"{cluster.ORACLE}/*.csv")):
        with open(path, encoding="ascii") as file:
            for text in file:
                # The last line of one that was killed may be a part of one.
                if text.endswith("\n"):
                    yield parse(text)


def forget():
    """Nobody writes."""
    for path in glob.glob(f"{cluster.ORACLE}/*.csv"):
        os.unlink(path)
