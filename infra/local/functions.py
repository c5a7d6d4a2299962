"""Lambda functions: the deployed zip's `bootstrap` as a process behind a Runtime API, as on AWS.

An environment is one unpacked zip, its process and its Runtime API. It takes one invocation at a time and is kept for
the next one, so that an execution sees cold and warm starts. What a function logs, and the START, END and REPORT
lines, go to CloudWatch Logs.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import base64
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

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100
# The tail that Invoke returns with LogType Tail.
LOG_TAIL = 4096
# Lambda's own limit on initialization before the first invocation.
INIT_SECONDS = 10.0
# The ELF header's e_machine, and the name that Lambda and that Linux have for it.
MACHINES = {62: ("x86_64", "x86_64"), 183: ("arm64", "aarch64")}
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


class Environment:
    """One process of a function."""

    def __init__(self, function: LambdaFunction, folder: Path, temporary: Path, endpoint: str):
        self.id = uuid.uuid4().hex
        self.function = function
        self.folder = folder / f"{function.function_name}-{self.id[:8]}"
        self.events: queue.Queue[Invocation] = queue.Queue()
        # None means that the process has ended.
        self.answers: queue.Queue[Answer | None] = queue.Queue()
        self.current: Invocation | None = None
        self.initialized = threading.Event()
        self.init_ms = 0.0
        self.init_error: Answer | None = None
        self.used_mb = 0
        self.tail = b""
        self.stream = f"{datetime.now(timezone.utc):%Y/%m/%d}/[{function.version}]{self.id}"
        self.log_lock = threading.Lock()
        function.logs_backend.ensure_log_group(function.logs_group_name)
        function.logs_backend.create_log_stream(function.logs_group_name, self.stream)

        unpack(function.code_bytes, self.folder)
        self.api = ThreadingHTTPServer(("127.0.0.1", 0), runtime_api(self))
        self.api.daemon_threads = True
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                entrypoint(self.folder / "bootstrap", function.architectures),
                cwd=self.folder,
                env=self.variables(temporary, endpoint),
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

    def variables(self, temporary: Path, endpoint: str) -> dict[str, str]:
        """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
        function = self.function
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "AWS_ENDPOINT_URL": endpoint,
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
            "TMPDIR": str(temporary),
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

    def invoke(self, event: bytes) -> Outcome:
        """Runs one event. An environment that is `broken` afterwards must not be given another."""
        cold = not self.initialized.is_set()
        self.initialized.wait(INIT_SECONDS)
        function, timeout = self.function, float(self.function.timeout)
        request_id = str(uuid.uuid4())
        self.tail = b""
        self.log(f"START RequestId: {request_id} Version: {function.version}")
        started = time.monotonic()
        answer = self.init_error or self.ask(
            Invocation(request_id, event, time.time() + timeout, function.function_arn), timeout
        )
        duration = (time.monotonic() - started) * 1000
        self.used_mb = max(self.used_mb, peak_memory_mb(self.process.pid))
        if answer.timed_out:
            self.kill()
        if len(answer.payload) > RESPONSE_LIMIT:
            answer = error(
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).",
            )
        self.log(f"END RequestId: {request_id}")
        # Initialization is billed, for zips too: https://aws.amazon.com/blogs/compute/ of 29 April 2025.
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

    def ask(self, invocation: Invocation, timeout: float) -> Answer:
        """Hands the event to the process and waits for its answer, its end, or the end of its time."""
        if self.broken:
            return self.exited(invocation)
        self.current = invocation
        self.events.put(invocation)
        try:
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            answer = error(
                "Sandbox.Timedout",
                f"RequestId: {invocation.request_id} Error: Task timed out after {timeout:.2f} seconds",
            )
            answer.timed_out = True
        self.current = None
        return answer or self.init_error or self.exited(invocation)

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
            body = self.body()
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

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)

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


class Pool:
    """All environments. At most `concurrency` invocations run at once; the others wait their turn."""

    def __init__(self, folder: Path, endpoint: str, concurrency: int):
        self.folder = folder
        # Shared by all environments, unlike on Lambda: what one unpacks there, the others find.
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.endpoint = endpoint
        self.turns = threading.Semaphore(concurrency)
        self.lock = threading.Lock()
        self.idle: dict[str, list[tuple[str, Environment]]] = {}
        self.all: set[Environment] = set()
        self.closed = False

    def invoke(self, function: LambdaFunction, event: bytes) -> Outcome:
        with self.turns:
            version = json.dumps([function.code_sha_256, function.memory_size, function.environment_vars])
            environment = self.take(function, version)
            outcome = environment.invoke(event)
            if environment.broken:
                self.discard(environment)
            else:
                with self.lock:
                    self.idle.setdefault(function.function_arn, []).append((version, environment))
            return outcome

    def take(self, function: LambdaFunction, version: str) -> Environment:
        """An idle environment of the function as it is deployed now, or a new one."""
        found, outdated = None, []
        with self.lock:
            idle = self.idle.setdefault(function.function_arn, [])
            while idle and found is None:
                deployed, environment = idle.pop()
                if deployed == version and not environment.broken:
                    found = environment
                else:
                    outdated.append(environment)
        for environment in outdated:
            self.discard(environment)
        if found:
            return found
        environment = Environment(function, self.folder, self.temporary, self.endpoint)
        with self.lock:
            self.all.add(environment)
            closed = self.closed
        if closed:
            environment.close()
        return environment

    def discard(self, environment: Environment) -> None:
        with self.lock:
            self.all.discard(environment)
        environment.close()

    def close(self) -> None:
        with self.lock:
            self.closed = True
            environments = list(self.all)
        for environment in environments:
            environment.close()


def install(pool: Pool) -> None:
    """Makes moto's functions run in the pool."""

    def invoke(function: LambdaFunction, body, request_headers, response_headers) -> bytes:
        event = body.encode() if isinstance(body, str) else body
        event = event or b"{}"
        kind = request_headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return b""
        if kind == "Event":
            threading.Thread(target=pool.invoke, args=(function, event), daemon=True).start()
            return b""
        outcome = pool.invoke(function, event)
        if outcome.failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        response_headers["x-amz-log-result"] = base64.b64encode(outcome.log_tail).decode()
        return outcome.payload

    LambdaFunction.invoke = invoke
