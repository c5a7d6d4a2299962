"""Limits of Step Functions and Lambda that moto leaves out: names and inputs of executions, the size of what a task is
given, the errors that States.ALL does not match, and the size of an event. The sizes of what tasks and states give are
moto's own. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

import uuid

from moto.awslambda.exceptions import LambdaClientError
from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.parser.quotas import MAX_STATE_SIZE_UTF8_BYTES

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
EVENT_LIMIT = 6 * 1024 * 1024

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
TERMINAL = [
    StatesErrorName(StatesErrorNameType.StatesStatesDataLimitExceeded),
    StatesErrorName(StatesErrorNameType.StatesRuntime),
]


class EventTooLarge(LambdaClientError):
    """What Lambda answers, by the name that clients report; its API's model calls it RequestTooLargeException."""

    code = 413

    def __init__(self):
        super().__init__(
            "RequestEntityTooLargeException",
            f"Request must be smaller than {EVENT_LIMIT} bytes for the InvokeFunction operation",
        )


def install() -> None:
    """Puts this module's parts into moto."""
    start = StepFunctionsParserBackend.start_execution
    parameters, equals = StateTaskService._eval_parameters, ErrorEqualsDecl._eval_body

    def start_execution(backend: StepFunctionsParserBackend, state_machine_arn, name=None, execution_input=None, *rest):
        # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
        name = name or str(uuid.uuid4())
        backend._validate_name(name)
        if len((execution_input or "").encode()) > MAX_STATE_SIZE_UTF8_BYTES:
            raise ValidationException(
                "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length "
                f"less than or equal to {MAX_STATE_SIZE_UTF8_BYTES}"
            )
        return start(backend, state_machine_arn, name, execution_input, *rest)

    def evaluate_parameters(task: StateTaskService, env) -> dict:
        evaluated = parameters(task, env)
        task._verify_size_quota(env=env, value=evaluated)
        return evaluated

    def evaluate_equals(declared: ErrorEqualsDecl, env) -> None:
        if env.stack[-1] in TERMINAL and ErrorEqualsDecl._STATE_ALL_ERROR in declared.error_names:
            env.stack[-1] = False
        else:
            equals(declared, env)

    StepFunctionsParserBackend.start_execution = start_execution
    StateTaskService._eval_parameters = evaluate_parameters
    ErrorEqualsDecl._eval_body = evaluate_equals
