"""How many functions run at once: the account's quota, what is reserved of it for functions, and who is turned away.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

import json
import threading
from collections import Counter

from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction, lambda_backends
from moto.awslambda.urls import url_paths
from moto.core import DEFAULT_ACCOUNT_ID

from options import Options

REGION = "us-east-1"
# https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html
LEAST_UNRESERVED = 100


class TooManyRequests(LambdaClientError):
    """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors"""

    code = 429

    def __init__(self):
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class Concurrency:
    """The invocations that run. What is above the quota, or above what is reserved for its function, waits, or is
    turned away where the options say so.
    """

    def __init__(self, options: Options):
        self.options = options
        self.running: Counter[str] = Counter()
        self.turns = threading.Condition()

    def begin(self, function: LambdaFunction) -> None:
        with self.turns:
            while not self.has_room(function):
                if self.options.throttle:
                    self.options.count("TooManyRequestsException")
                    raise TooManyRequests
                # Not for ever: the options may change meanwhile.
                self.turns.wait(1)
            self.running[function.function_arn] += 1

    def end(self, function: LambdaFunction) -> None:
        with self.turns:
            self.running[function.function_arn] -= 1
            self.turns.notify_all()

    def has_room(self, function: LambdaFunction) -> bool:
        # This machine has room for so many; without throttling the account's quota is larger, and they wait.
        if not self.options.throttle and self.running.total() >= self.options.concurrency:
            return False
        reserved = reservations()
        if function.function_arn in reserved:
            return self.running[function.function_arn] < reserved[function.function_arn]
        running = sum(number for arn, number in self.running.items() if arn not in reserved)
        return running < self.options.quota - sum(reserved.values())


def functions() -> list[LambdaFunction]:
    return list(lambda_backends[DEFAULT_ACCOUNT_ID][REGION].list_functions())


def reservations() -> dict[str, int]:
    """The reserved concurrency of each function that has one, by its ARN."""
    return {
        function.function_arn: int(function.reserved_concurrency)
        for function in functions()
        if function.reserved_concurrency is not None
    }


def install(options: Options) -> None:
    """Puts this module's parts into moto."""

    def reserve(backend: LambdaBackend, function_name: str, reserved: int | str) -> int:
        function = backend.get_function(function_name)
        others = sum(number for arn, number in reservations().items() if arn != function.function_arn)
        if options.quota - others - int(reserved) < LEAST_UNRESERVED:
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{LEAST_UNRESERVED}]."
            )
        function.reserved_concurrency = int(reserved)
        return function.reserved_concurrency

    def account_settings(*_) -> tuple[int, dict, str]:
        used = {"FunctionCount": len(functions()), "TotalCodeSize": sum(found.code_size for found in functions())}
        limit = {
            "ConcurrentExecutions": options.quota,
            "UnreservedConcurrentExecutions": options.quota - sum(reservations().values()),
        }
        return 200, {"Content-Type": "application/json"}, json.dumps({"AccountLimit": limit, "AccountUsage": used})

    LambdaBackend.put_function_concurrency = reserve
    # https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html, which moto lacks.
    url_paths["{0}/2016-08-19/account-settings/?$"] = account_settings
