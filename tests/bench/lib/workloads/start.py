# SPDX-License-Identifier: Apache-2.0
"""How soon it traces and tells, with nothing open and with very many connections to adopt: tests/bench/adopt."""
import json
import os
import subprocess
import sys

from lib.host import BUILD

OPEN = 100000  # ends


def run(options, report):
    report.begin("Start", f"`tcptrail observe` with nothing open and with {OPEN} open ends, beside a thousand connections a "
                 "second; five of each, medians.")
    done = subprocess.run([sys.executable, "tests/bench/adopt", "--connections", str(OPEN // 2), "--json"], capture_output=True,
                          text=True, env={**os.environ, "BUILD": BUILD}, check=False)
    *lines, figures = done.stdout.splitlines() or [""]
    report.write("\n".join(f"    {line}" for line in lines + done.stderr.splitlines()))
    report.check(done.returncode == 0, "list finds each open end")
    if done.returncode == 0:
        found = json.loads(figures)
        report.goal(f"start: {OPEN} open ends adopted, added to the time until it traces", 300, found["adopting_ms"], "ms")
        report.goal("start: binary to the first end told, nothing open", 1, found["first_end_secs"], "s")
    report.end()
