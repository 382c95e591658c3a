# SPDX-License-Identifier: Apache-2.0
"""The real broker of the tests, and what arrived there."""
import contextlib
import os
import subprocess

from lib.host import BUILD, BenchError, output_of

PORT = os.environ.get("KAFKA_PORT", "9092")
BROKERS = f"127.0.0.1:{PORT}"


class Broker:
    """Started where none runs, and stopped then. A context manager."""

    def __enter__(self):
        self.ours = subprocess.run(["tests/kafka/broker", "status"], stdout=subprocess.DEVNULL, check=False).returncode != 0
        if self.ours:
            output_of(["tests/kafka/broker", "up"])
        return self

    def __exit__(self, *_):
        if self.ours:
            subprocess.run(["tests/kafka/broker", "down"], stdout=subprocess.DEVNULL, check=False)

    @staticmethod
    def create_topics(name):
        """The broker's own clock says when it has stored an event."""
        topics = {"connections": f"{name}-{os.getpid()}.connections", "agents": f"{name}-{os.getpid()}.agents"}
        output_of([f"{BUILD}/tcptrail", "topics", "create", "--brokers", BROKERS,
                   *(word for kind, topic in topics.items() for word in ("--set", f"kafka.topics.{kind}={topic}"))])
        output_of(["java", "-cp", f"{BUILD}/kafka/lib/*", "kafka.admin.ConfigCommand", "--bootstrap-server", BROKERS,
                   "--alter", "--entity-type", "topics", "--entity-name", topics["connections"], "--add-config",
                   "message.timestamp.type=LogAppendTime"])
        return topics

    @staticmethod
    def arrived(topic, netns):
        """What a plain consumer finds of a namespace: EVENT_KIND_CLOSED, DUPLICATES, DELAY_P50 in ms, …"""
        lines = output_of([f"{BUILD}/tests/kafka/plain_consumer", BROKERS, topic, "0", str(netns)]).splitlines()
        return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2 and words[1].isdigit()}


@contextlib.contextmanager
def broker(options, report):
    """The broker; or None, when it is not wanted or cannot be started: then the report says why."""
    with contextlib.ExitStack() as stack:
        found = None
        try:
            if options.no_broker:
                raise BenchError("--no-broker")
            found = stack.enter_context(Broker())
        except BenchError as error:
            report.write(f"No broker ({str(error).splitlines()[0]}): events go to the spool only.\n")
            if not options.no_broker:
                report.check(False, "a broker, without which the whole path is not measured")
        yield found
