"""Lambda's Invoke: which environment runs an event."""

import base64
import json
import threading
from pathlib import Path

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaFunction

from concurrency import Concurrency
from environments import Environment, Outcome
from faults import FaultProxy
from limits import EVENT_LIMIT, EventTooLarge
from options import Options
from permissions import Permissions, Refused


class MemoryAboveQuota(LambdaClientError):
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

    def __init__(self, quota: int):
        super().__init__(
            "InvalidParameterValueException",
            f"'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to {quota}",
        )


class AccessDenied(LambdaClientError):
    code = 403

    def __init__(self, message: str):
        super().__init__("AccessDeniedException", message)


class Pool:
    """All environments."""

    def __init__(self, folder: Path, endpoint: str, options: Options, permissions: Permissions):
        self.folder = folder
        # Shared by all environments, unlike on Lambda: what one unpacks there, the others find.
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.endpoint = endpoint
        self.options = options
        self.permissions = permissions
        self.faults = FaultProxy(endpoint, options)
        self.concurrency = Concurrency(options)
        self.lock = threading.Lock()
        self.idle: dict[str, list[tuple[str, Environment]]] = {}
        self.all: set[Environment] = set()
        self.closed = False

    def invoke(self, function: LambdaFunction, event: bytes) -> Outcome:
        self.concurrency.begin(function)
        try:
            version = json.dumps(
                [
                    function.code_sha_256,
                    function.memory_size,
                    function.environment_vars,
                    self.options.enforce_roles,
                    bool(self.options.faults),
                ]
            )
            environment = self.take(function, version)
            outcome = environment.invoke(event, self.kill_after(function, event))
            if environment.broken:
                self.discard(environment)
            else:
                with self.lock:
                    self.idle.setdefault(function.function_arn, []).append((version, environment))
            return outcome
        finally:
            self.concurrency.end(function)

    def kill_after(self, function: LambdaFunction, event: bytes) -> float | None:
        """The seconds after which this invocation is to be killed, if it is."""
        if self.options.kill == 0:
            return None
        event = json.loads(event)
        # Names of executions differ from run to run.
        rank = event.get("rank") if isinstance(event, dict) else None
        chance = self.options.draw(f"kill {function.function_name} {rank}")
        return chance.random() * self.options.kill_seconds if chance.random() < self.options.kill else None

    def variables(self, function: LambdaFunction) -> dict[str, str]:
        """The credentials and addresses that a new environment gets."""
        given = {"AWS_ENDPOINT_URL": self.endpoint, "TMPDIR": str(self.temporary)}
        if self.options.faults:
            given["AWS_ENDPOINT_URL_S3"] = self.faults.address
        if not self.options.enforce_roles:
            return given | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        try:
            session = self.permissions.assume(function.role, "lambda.amazonaws.com", function.function_name)
        except Refused as refused:
            raise AccessDenied(str(refused)) from None
        return given | {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.token,
        }

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
        environment = Environment(function, self.folder, self.variables(function), self.options)
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
        self.faults.close()


def install(pool: Pool) -> None:
    """Makes moto's functions run in the pool, and have no more memory than the account's quota."""

    def invoke(function: LambdaFunction, body, request_headers, response_headers) -> bytes:
        event = body.encode() if isinstance(body, str) else body
        event = event or b"{}"
        if len(event) > EVENT_LIMIT:
            raise EventTooLarge
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

    init, update_configuration = LambdaFunction.__init__, LambdaFunction.update_configuration
    update_code = LambdaFunction.update_function_code

    def check_memory(properties: dict) -> None:
        if int(properties.get("MemorySize", 0)) > pool.options.memory_quota:
            raise MemoryAboveQuota(pool.options.memory_quota)

    def init_within_quota(function: LambdaFunction, account_id: str, spec: dict, *args, **kwargs) -> None:
        check_memory(spec)
        init(function, account_id, spec, *args, **kwargs)

    def update_within_quota(function: LambdaFunction, config_updates: dict) -> dict:
        check_memory(config_updates)
        return update_configuration(function, config_updates)

    def update_code_and_architecture(function: LambdaFunction, updated_spec: dict) -> dict:
        # moto leaves the architecture as it is.
        function.architectures = updated_spec.get("Architectures", function.architectures)
        return update_code(function, updated_spec)

    LambdaFunction.__init__ = init_within_quota
    LambdaFunction.update_configuration = update_within_quota
    LambdaFunction.update_function_code = update_code_and_architecture
