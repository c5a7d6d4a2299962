"""Where Lambda functions run: the deployed zip's `bootstrap` as a process behind a Runtime API, as on AWS.

An environment is one unpacked zip, its process and its Runtime API. It takes one invocation at a time and is kept for
the next one, so that an execution sees cold and warm starts. What a function logs, and the START, END and REPORT
lines, go to CloudWatch Logs.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import contextlib
import io
import json
import math
import os
import platform
import queue
import shutil
import signal
import subprocess
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from moto.awslambda.models import LambdaFunction

from options import Options
from request_body import read_body

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100
# The tail that Invoke returns with LogType Tail:
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
LOG_TAIL = 4096
# Lambda's own limit on initialization before the first invocation:
# https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase
INIT_SECONDS = 10.0
# The ELF header's e_machine, and the name that Lambda and that Linux have for it.
MACHINES = {62: ("x86_64", "x86_64"), 183: ("arm64", "aarch64")}
# How often the memory of a running function is looked at.
WATCH_SECONDS = 0.02
# Passed on to qemu, which runs what is built for another processor.
QEMU_VARIABLES = ("QEMU_LD_PREFIX", "QEMU_SET_ENV")


@dataclass
class Outcome:
    """How an invocation ended."""

    payload: bytes
    failed: bool
    log_tail: bytes


@dataclass
class Invocation:
    """An event on its way through an environment."""

    request_id: str
    event: bytes
    deadline: float
    arn: str


@dataclass
class Answer:
    """What the process answered to an invocation, or the error that Lambda would report in its place."""

    payload: bytes
    error_type: str | None = None
    timed_out: bool = False


def error(kind: str, message: str) -> Answer:
    return Answer(json.dumps({"errorType": kind, "errorMessage": message}).encode(), kind)


class RuntimeServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_) -> None:
        """A process that was killed leaves its connection as it is."""


class Environment:
    """One process of a function."""

    def __init__(self, function: LambdaFunction, folder: Path, variables: dict[str, str], options: Options):
        self.id = uuid.uuid4().hex
        self.function = function
        self.options = options
        self.folder = folder / f"{function.function_name}-{self.id[:8]}"
        self.events: queue.Queue[Invocation] = queue.Queue()
        # None means that the process has ended.
        self.answers: queue.Queue[Answer | None] = queue.Queue()
        self.current: Invocation | None = None
        self.initialized = threading.Event()
        self.invoked = False
        self.init_ms = 0.0
        self.init_error: Answer | None = None
        self.used_mb = 0
        self.tail = b""
        self.stream = f"{datetime.now(timezone.utc):%Y/%m/%d}/[{function.version}]{self.id}"
        self.log_lock = threading.Lock()
        function.logs_backend.ensure_log_group(function.logs_group_name)
        function.logs_backend.create_log_stream(function.logs_group_name, self.stream)

        unpack(function.code_bytes, self.folder)
        self.api = RuntimeServer(("127.0.0.1", 0), runtime_api(self))
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                entrypoint(self.folder / "bootstrap", function.architectures),
                cwd=self.folder,
                env={**self.variables(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as failure:
            # A process that ends at once stands for the one that could not be started.
            self.process = subprocess.Popen(["false"], stdout=subprocess.PIPE, start_new_session=True)
            self.init_error = error("Runtime.InvalidEntrypoint", f"RequestId: {self.id} Error: {failure}")
        threading.Thread(target=self.follow, daemon=True).start()

    def variables(self) -> dict[str, str]:
        """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
        function = self.function
        return {
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.server_port}",
            "LAMBDA_TASK_ROOT": str(self.folder),
            "LANG": "en_US.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath),
            "TZ": ":UTC",
            "_HANDLER": function.handler or "",
            **{name: os.environ[name] for name in QEMU_VARIABLES if name in os.environ},
            **{key: str(value) for key, value in (function.environment_vars or {}).items()},
        }

    def follow(self) -> None:
        """Passes the process's output on, and notes its end."""
        for line in self.process.stdout:
            self.log(line.decode(errors="replace").rstrip("\n"))
        self.process.wait()
        self.initialized.set()
        self.answers.put(None)

    def log(self, line: str) -> None:
        if not line:
            return
        with self.log_lock:
            self.tail = (self.tail + line.encode() + b"\n")[-LOG_TAIL:]
            self.function.logs_backend.put_log_events(
                self.function.logs_group_name, self.stream, [{"timestamp": int(time.time() * 1000), "message": line}]
            )

    def invoke(self, event: bytes, kill_after: float | None = None) -> Outcome:
        """Runs one event, and kills the process after `kill_after` seconds. An environment that is `broken` afterwards
        must not be given another.
        """
        # The first one is cold, also where the process was ready before the event came.
        cold, self.invoked = not self.invoked, True
        self.initialized.wait(INIT_SECONDS)
        function, timeout = self.function, float(self.function.timeout)
        request_id = str(uuid.uuid4())
        self.tail = b""
        self.log(f"START RequestId: {request_id} Version: {function.version}")
        started = time.monotonic()
        answer = self.init_error or self.ask(
            Invocation(request_id, event, time.time() + timeout, function.function_arn), timeout, kill_after
        )
        duration = (time.monotonic() - started) * 1000
        self.used_mb = max(self.used_mb, peak_memory_mb(self.process.pid))
        if self.above_memory(self.used_mb):
            # The peak was too short to be seen while it lasted.
            answer = self.out_of_memory(request_id)
        if answer.timed_out:
            self.kill()
        if len(answer.payload) > RESPONSE_LIMIT:
            answer = error(
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).",
            )
        self.log(f"END RequestId: {request_id}")
        # Initialization is billed, for zips too:
        # https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase
        billed = math.ceil(duration + (self.init_ms if cold else 0.0))
        report = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {duration:.2f} ms",
            f"Billed Duration: {billed} ms",
            f"Memory Size: {function.memory_size} MB",
            f"Max Memory Used: {self.used_mb} MB",
        ]
        if cold:
            report.append(f"Init Duration: {self.init_ms:.2f} ms")
        if answer.timed_out:
            report.append("Status: timeout")
        elif answer.error_type and self.broken:
            report.append(f"Status: error\tError Type: {answer.error_type}")
        self.log("\t".join(report) + "\t")
        return Outcome(answer.payload, answer.error_type is not None, self.tail)

    def ask(self, invocation: Invocation, timeout: float, kill_after: float | None) -> Answer:
        """Hands the event to the process and waits for its answer, its end, or the end of its time or memory."""
        if self.broken:
            return self.exited(invocation)
        self.current = invocation
        self.events.put(invocation)
        started = time.monotonic()
        while True:
            passed = time.monotonic() - started
            ends = min(timeout, kill_after or timeout)
            left = max(ends - passed, 0)
            try:
                answer = self.answers.get(timeout=min(left, WATCH_SECONDS) if self.options.limit_memory else left)
                break
            except queue.Empty:
                pass
            used = memory_of_tree_mb(self.process.pid) if self.options.limit_memory else 0
            if self.above_memory(used):
                self.used_mb = max(self.used_mb, used)
                answer = self.out_of_memory(invocation.request_id)
                break
            if kill_after is not None and time.monotonic() - started >= kill_after:
                self.options.count("kill")
                self.kill()
                # Its end comes as an answer.
                kill_after = None
            elif time.monotonic() - started >= timeout:
                answer = error(
                    "Sandbox.Timedout",
                    f"RequestId: {invocation.request_id} Error: Task timed out after {timeout:.2f} seconds",
                )
                answer.timed_out = True
                break
        self.current = None
        return answer or self.init_error or self.exited(invocation)

    def above_memory(self, used_mb: int) -> bool:
        return self.options.limit_memory and used_mb > int(self.function.memory_size)

    def out_of_memory(self, request_id: str) -> Answer:
        """Kills the process, as the kernel does on Lambda."""
        self.options.count("Runtime.OutOfMemory")
        self.kill()
        return error("Runtime.OutOfMemory", f"RequestId: {request_id} Error: Runtime exited with error: signal: killed")

    def exited(self, invocation: Invocation) -> Answer:
        code = self.process.wait()
        how = (
            "without providing a reason"
            if code == 0
            else "with error: " + (f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")
        )
        return error("Runtime.ExitError", f"RequestId: {invocation.request_id} Error: Runtime exited {how}")

    @property
    def broken(self) -> bool:
        return self.init_error is not None or self.process.poll() is not None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.api.shutdown()
        self.api.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)


def entrypoint(bootstrap: Path, architectures: list[str]) -> list[Path | str]:
    """The command that runs a function; OSError where its architecture is neither its bootstrap's nor to be had."""
    with bootstrap.open("rb") as file:
        header = file.read(20)
    if not header.startswith(b"\x7fELF"):
        return [bootstrap]
    lambdas, linuxs = MACHINES.get(int.from_bytes(header[18:20], "little"), ("unknown", "unknown"))
    if lambdas not in architectures:
        raise OSError(f"exec format error: the bootstrap is for {lambdas}, the function for {' '.join(architectures)}")
    if linuxs == platform.machine():
        return [bootstrap]
    emulator = shutil.which(f"qemu-{linuxs}")
    if emulator is None:
        raise OSError(
            f"the bootstrap is for {lambdas}, this machine is {platform.machine()}, and there is no qemu-{linuxs}"
        )
    return [emulator, bootstrap]


def unpack(code: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            # zipfile does not restore the permissions.
            if mode := entry.external_attr >> 16 & 0o777:
                path.chmod(mode)


def peak_memory_mb(pid: int) -> int:
    """The largest resident memory of a process, in the MB that Lambda counts in (2²⁰ bytes); 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return math.ceil(int(lines.get("VmHWM", "0 kB").split()[0]) / 1024)


def memory_of_tree_mb(pid: int) -> int:
    """The resident memory of a process and its descendants, in MB of 2²⁰ bytes."""
    used, pids = 0, [str(pid)]
    while pids:
        process = Path("/proc") / pids.pop()
        # A process can end while it is looked at.
        with contextlib.suppress(OSError):
            used += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (process / "task").iterdir():
                pids += (thread / "children").read_text().split()
    return math.ceil(used / 2**20)


def runtime_api(environment: Environment) -> type[BaseHTTPRequestHandler]:
    """The handler of an environment's Runtime API."""

    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.path.endswith("/runtime/invocation/next"):
                return self.answer(404)
            if not environment.initialized.is_set():
                environment.init_ms = (time.monotonic() - environment.started) * 1000
                environment.initialized.set()
            invocation = environment.events.get()
            self.answer(
                200,
                invocation.event,
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
                    "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
                },
            )

        def do_POST(self) -> None:
            body = read_body(self)
            *_, identifier, verb = self.path.split("/")
            if (identifier, verb) == ("init", "error"):
                environment.init_ms = (time.monotonic() - environment.started) * 1000
                environment.init_error = self.reported(body)
                environment.initialized.set()
                return self.answer(202)
            current = environment.current
            if current is None or identifier != current.request_id or verb not in ("response", "error"):
                # The invocation has timed out, or there never was such a one.
                return self.answer(400)
            environment.answers.put(Answer(body) if verb == "response" else self.reported(body))
            self.answer(202)

        def reported(self, body: bytes) -> Answer:
            try:
                kind = json.loads(body)["errorType"]
            except (ValueError, KeyError, TypeError):
                kind = self.headers.get("Lambda-Runtime-Function-Error-Type", "Unhandled")
            return Answer(body, kind)

        def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    return RuntimeApi
