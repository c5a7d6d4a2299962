"""A process that is measured: it waits for a line on its standard input and answers it with one line of JSON."""

import json
import re
import subprocess
import sys
from pathlib import Path


class Process:
    def __init__(self, *command: object):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> object:
        line = self.process.stdout.readline()
        if not line:
            command = " ".join(self.process.args)
            sys.exit(f"{command} ended with exit code {self.process.wait()}; what it said is above")
        return json.loads(line)

    def ask(self, line: object) -> object:
        print(line, file=self.process.stdin, flush=True)
        return self.answer()

    def peak_memory_mb(self) -> float:
        """The largest resident memory so far, in units of 2²⁰ bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
