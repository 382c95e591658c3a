# SPDX-License-Identifier: Apache-2.0
"""The workloads, by name: run(options, report) each."""
from lib.workloads import burst, connects, delivery, failures, held, long, loopback, loss, start, steady, veth

ALL = {"w1": loopback, "w2": veth, "w3": held, "w4": failures, "w5": loss, "w6": steady, "w7": delivery, "w8": long,
       "connect": connects, "burst": burst, "start": start}
