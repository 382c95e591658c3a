# SPDX-License-Identifier: Apache-2.0
"""A Prometheus of our own, with the rules and the configuration of deploy/prometheus. Its data go with the folder."""
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml


class Prometheus:
    """A context manager. targets: {address of an agent: what its label instance is}."""

    def __init__(self, folder, port, targets, interval="2s"):
        self.folder, self.targets, self.interval = os.path.abspath(folder), targets, interval
        self.address = f"127.0.0.1:{port}"

    def configuration(self):
        with open("deploy/prometheus/prometheus.example.yaml", encoding="utf-8") as file:
            config = yaml.safe_load(file)
        config["global"].update(scrape_interval=self.interval, evaluation_interval=self.interval, scrape_timeout=self.interval)
        config["rule_files"] = [os.path.abspath(f"deploy/prometheus/{name}") for name in config["rule_files"]]
        job = config["scrape_configs"][0]
        del job["authorization"]
        job["static_configs"] = [{"targets": [address], "labels": {"instance": name}} for address, name in self.targets.items()]
        return config

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        with open(f"{self.folder}/prometheus.yml", "w", encoding="utf-8") as file:
            yaml.safe_dump(self.configuration(), file)
        command = ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
                   f"--web.listen-address={self.address}", "--log.level=warn"]
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"Prometheus does not start: see {self.folder}/log")
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, path, **parameters):
        """The data of an answer of its API. An error is a ValueError, with what it says."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            raise ValueError(json.load(problem)["error"]) from problem

    def samples(self, expression, **when):
        """[(labels, value)] of one moment: now, or time=."""
        return [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=expression, **when)["result"]]

    def value(self, expression, **when):
        """Of an expression without labels; None: there is nothing."""
        found = self.samples(expression, **when)
        return found[0][1] if found else None

    def lines(self, expression, begin, end, step):
        """[(labels, [(time, value)])]"""
        answer = self.ask("query_range", query=expression, start=begin, end=end, step=step)
        return [(each["metric"], [(at, float(value)) for at, value in each["values"]]) for each in answer["result"]]
