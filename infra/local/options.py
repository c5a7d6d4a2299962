"""What the local stack is told to do as AWS does under load or on a bad day. `stack.py` sets the options at the start.
`PUT /local-stack/options` with a JSON object changes those that it names while the stack runs, and GET shows all of
them and how often each misfortune has happened.
"""

import hashlib
import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from random import Random

PATH = "/local-stack/options"

# What the fault proxy can do to a request, see faults.py.
FAULTS = ("500", "503", "409", "reset", "hang", "lost", "delay", "cut", "short", "flip")


@dataclass
class Options:
    """The settings, as JSON names them."""

    # The number of functions that run at once.
    concurrency: int = 2
    # Refuse what is above it with TooManyRequestsException, as Lambda does, rather than let it wait: it is then the
    # account's quota.
    throttle: bool = False
    # Kill a function above its memory size.
    limit_memory: bool = False
    # The most MB that the account lets a function have: 3008 in many new ones.
    memory_quota: int = 10240
    # Let functions, state machines and IAM users do only what their policies allow.
    enforce_roles: bool = False
    # The share of invocations that are killed, each at a time of at most kill_seconds after its start.
    kill: float = 0.0
    kill_seconds: float = 1.0
    # The share of the functions' S3 requests that each fault strikes, by the fault's name.
    faults: dict[str, float] = field(default_factory=dict)
    # How long a delayed request waits, and how long a request without an answer holds its connection.
    delay_seconds: float = 0.5
    hang_seconds: float = 60.0
    # Multiplies the waiting times of a state machine's retries.
    retry_pace: float = 1.0
    # Calls of FilterLogEvents that are answered in any second, 0 for all. AWS answers 5.
    log_calls: int = 0
    # How long a log line takes to arrive.
    log_delay_seconds: float = 0.0
    # Resources of stacks that fail, by logical name: in which of CREATE, UPDATE, DELETE and ROLLBACK (of an update).
    fail_resources: dict[str, list[str]] = field(default_factory=dict)
    # Let OnStackFailure=DELETE keep what has RetainExceptOnCreate. AWS's documentation does not say that it does not.
    retain_on_stack_failure: bool = False
    # How long CloudFormation takes until it makes, changes or deletes anything.
    stack_seconds: float = 0.0
    # Of all that is drawn by chance.
    seed: int = 1

    def __post_init__(self):
        self.lock = threading.Lock()
        self.happened: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.validate()

    def validate(self) -> None:
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if unknown := self.faults.keys() - set(FAULTS):
            raise ValueError(f"there is no fault {', '.join(sorted(unknown))}: there are {', '.join(FAULTS)}")
        operations = {operation for failing in self.fail_resources.values() for operation in failing}
        if unknown := operations - {"CREATE", "UPDATE", "DELETE", "ROLLBACK"}:
            raise ValueError(f"no resource fails in {', '.join(sorted(unknown))}")
        for name, share in {**self.faults, "kill": self.kill, "all faults": sum(self.faults.values())}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"the share of {name} must be between 0 and 1, not {share}")

    @property
    def quota(self) -> int:
        """The functions that the account runs at once before any is refused, by default as many as AWS gives.
        https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        """
        return self.concurrency if self.throttle else 1000

    def change(self, changes: dict) -> None:
        """Sets the named options, all or none, and starts the counts and the draws anew."""
        given = asdict(self)
        if unknown := changes.keys() - given.keys():
            raise ValueError(f"there is no option {', '.join(sorted(unknown))}")
        changed = Options(**{**given, **changes})
        with self.lock:
            for option in fields(self):
                setattr(self, option.name, getattr(changed, option.name))
            self.happened.clear()
            self.asked.clear()

    def draw(self, subject: str) -> Random:
        """A source of chance that depends on the seed, the subject and how often it was asked for the subject, and not
        on the order in which threads ask.
        """
        with self.lock:
            self.asked[subject] += 1
            text = f"{self.seed} {self.asked[subject]} {subject}"
        return Random(hashlib.sha256(text.encode()).digest())

    def count(self, name: str) -> None:
        with self.lock:
            self.happened[name] += 1

    def answer(self, environ: dict, start_response) -> list[bytes]:
        """The WSGI application behind PATH."""
        status = "200 OK"
        if environ["REQUEST_METHOD"] == "PUT":
            try:
                self.change(json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))))
            except (ValueError, TypeError, AttributeError) as error:
                status = "400 Bad Request"
                body = {"error": str(error)}
        if status == "200 OK":
            with self.lock:
                body = {**asdict(self), "happened": dict(self.happened)}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]
