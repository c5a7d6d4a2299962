"""Step Functions' answers on executions, where moto's are less than AWS's: a map run's children are executions that can
be listed, described and read, histories come in pages, and an execution that is stopped ends at once, and its children
with it, while functions that run go on.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-examine-map-run.html
"""

import threading
import time
import uuid
from datetime import datetime, timezone

from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ExecutionDoesNotExist, InvalidToken
from moto.stepfunctions.models import StepFunctionBackend
from moto.stepfunctions.parser.api import ExecutionStatus, MapRunStatus
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.map_run_record import (
    MapRunRecord,
)
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramRunning, ProgramStopped
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.responses import StepFunctionResponse

# The sizes of pages, where a request names none and at most.
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
PAGE, LARGEST_PAGE = 100, 1000


class Child:
    """A child execution of a map run, from its start on."""

    def __init__(self, run: MapRunRecord, given: str):
        self.run = run
        self.name = str(uuid.uuid4())
        self.arn = run.map_state_machine_arn.replace(":stateMachine:", ":execution:") + f":{self.name}"
        self.given = given
        self.status = "RUNNING"
        self.started, self.stopped = now(), None
        # Output, or Error and Cause.
        self.details: dict = {}
        self.events = EventManager()
        self.aborted_history: list[dict] | None = None
        self.context = EventHistoryContext.of_program_start()
        self.add_event("ExecutionStarted", executionStartedEventDetails={"input": given})
        self.lock = threading.Lock()
        for counter in self.counters():
            counter.pending.offset(-1)
            counter.running.count()

    def counters(self) -> tuple:
        return self.run.item_counter, self.run.execution_counter

    def add_event(self, kind: str, **details) -> None:
        self.events.add_event(self.context, kind, details)

    def end(self, status: str, **details) -> None:
        """Notes how it ended. What a child does after it was aborted counts for nothing."""
        with self.lock:
            if self.status != "RUNNING":
                return
            if status == "ABORTED":
                self.aborted_history = aborted(self.events.get_event_history(), details)
            else:
                name = f"execution{status.capitalize()}EventDetails"
                self.add_event(
                    f"Execution{status.capitalize()}",
                    **{name: {key.lower(): value for key, value in details.items() if isinstance(value, str)}},
                )
            self.stopped, self.details, self.status = now(), details, status
        for counter in self.counters():
            counter.running.offset(-1)
            {"SUCCEEDED": counter.succeeded, "FAILED": counter.failed, "ABORTED": counter.aborted}[status].count()

    def history(self) -> list[dict]:
        return self.aborted_history or self.events.get_event_history()

    def listed(self) -> dict:
        """As ListExecutions names it."""
        stopped = {"stopDate": self.stopped} if self.stopped else {}
        return {
            "executionArn": self.arn,
            "mapRunArn": self.run.map_run_arn,
            "name": self.name,
            "startDate": self.started,
            "stateMachineArn": self.run.map_state_machine_arn,
            "status": self.status,
            **stopped,
        }

    def described(self) -> dict:
        """As DescribeExecution describes it."""
        details = {key.lower(): value for key, value in self.details.items() if isinstance(value, str)}
        return {**self.listed(), "input": self.given, **details}

    def result(self) -> dict:
        """As the ResultWriter writes it."""
        return {
            "ExecutionArn": self.arn,
            "Input": self.given,
            "InputDetails": {"Included": True},
            "Name": self.name,
            "RedriveCount": 0,
            "RedriveStatus": "NOT_REDRIVABLE",
            "StartDate": text(self.started),
            "StateMachineArn": self.run.map_state_machine_arn,
            "Status": self.status,
            "StopDate": text(self.stopped),
            **self.details,
        }


def now() -> datetime:
    return datetime.now(timezone.utc)


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def install() -> None:
    """Puts this module's parts into moto."""
    describe, listed = StepFunctionResponse.describe_execution, StepFunctionResponse.list_executions
    set_stop = MapRunRecord.set_stop
    reflect = BaseExecutionWorkerCommunication._reflect_execution_status

    def describe_execution(response: StepFunctionResponse) -> ActionResult:
        arn = response._get_param("executionArn")
        if child := find_child(response.stepfunction_backend, arn):
            return ActionResult(child.described())
        described = describe(response)
        execution = response.stepfunction_backend.describe_execution(arn)
        if execution.status == "TIMED_OUT":
            described.result["stopDate"] = execution.stop_date
        return described

    def list_map_runs(response: StepFunctionResponse) -> ActionResult:
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        # It has a thread of its own, which may not have begun.
        runs = environment.map_run_record_pool_manager.get_all() if (environment := execution.exec_worker.env) else []
        return ActionResult({"mapRuns": [run.list_item() for run in runs]})

    def list_executions(response: StepFunctionResponse) -> ActionResult:
        arn = response._get_param("mapRunArn")
        if not arn:
            return listed(response)
        children = [
            child
            for run in map_runs(response.stepfunction_backend)
            if run.map_run_arn == arn
            for child in children_of(run)
        ]
        wanted = response._get_param("statusFilter")
        # The newest come first.
        shown = [child.listed() for child in reversed(children) if not wanted or child.status == wanted]
        return page(response, "executions", shown)

    def get_execution_history(response: StepFunctionResponse) -> ActionResult:
        arn, backend = response._get_param("executionArn"), response.stepfunction_backend
        if child := find_child(backend, arn):
            events = child.history()
        else:
            execution = backend.describe_execution(arn)
            events = getattr(execution, "aborted_history", None) or backend.get_execution_history(arn)["events"]
        if response._get_param("reverseOrder"):
            events = events[::-1]
        if response._get_param("includeExecutionData") is False:
            events = [without_data(event) for event in events]
        return page(response, "events", events)

    def stop_execution(response: StepFunctionResponse) -> ActionResult:
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        stop(execution, response._get_param("error"), response._get_param("cause"))
        return ActionResult({"stopDate": execution.stop_date})

    def set_stop_once(run: MapRunRecord, status: MapRunStatus) -> None:
        # moto calls a map run of a stopped execution succeeded.
        if run.status == MapRunStatus.RUNNING:
            set_stop(run, status)

    def reflect_once(worker: BaseExecutionWorkerCommunication) -> None:
        if worker.execution.exec_status == ExecutionStatus.RUNNING:
            reflect(worker)

    StepFunctionResponse.describe_execution = describe_execution
    StepFunctionResponse.list_executions = list_executions
    StepFunctionResponse.list_map_runs = list_map_runs
    StepFunctionResponse.get_execution_history = get_execution_history
    StepFunctionResponse.stop_execution = stop_execution
    MapRunRecord.set_stop = set_stop_once
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_once


def stop(execution: Execution, error: str | None, cause: str | None) -> None:
    """Ends an execution and its children, as StopExecution does. An execution that has ended stays as it is.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
    """
    # It has a thread of its own, which may not have begun.
    while execution.exec_status == ExecutionStatus.RUNNING and (
        execution.exec_worker.env is None or execution.exec_worker.env.program_state() is None
    ):
        time.sleep(0.01)
    env, stopped = execution.exec_worker.env, now()
    if not isinstance(env.program_state(), ProgramRunning):
        return
    execution.exec_worker.stop(stop_date=stopped, error=error, cause=cause)
    if not isinstance(env.program_state(), ProgramStopped):
        return
    details = {name: value for name, value in (("error", error), ("cause", cause)) if value}
    execution.aborted_history = aborted(env.event_manager.get_event_history(), details)
    execution.error, execution.cause, execution.stop_date = error, cause, stopped
    execution.exec_status = ExecutionStatus.ABORTED
    for run in env.map_run_record_pool_manager.get_all():
        run.set_stop(MapRunStatus.ABORTED)
        for child in children_of(run):
            child.end("ABORTED")


def aborted(events: list[dict], details: dict) -> list[dict]:
    """The history of what was stopped after these events."""
    end = {
        "id": len(events) + 1,
        "previousEventId": 0,
        "timestamp": text(now()),
        "type": "ExecutionAborted",
        "executionAbortedEventDetails": details,
    }
    return [*events, end]


def map_runs(backend: StepFunctionBackend) -> list[MapRunRecord]:
    environments = [execution.exec_worker.env for machine in backend.state_machines for execution in machine.executions]
    return [run for env in environments if env for run in env.map_run_record_pool_manager.get_all()]


def children_of(run: MapRunRecord) -> list[Child]:
    """The children that have started, in the order of their starts."""
    with run.children_lock:
        return sorted(run.children.values(), key=lambda child: child.started)


def find_child(backend: StepFunctionBackend, arn: str) -> Child | None:
    """The child with this ARN; None for an execution that a user has started."""
    if "/" not in arn:
        return None
    found = next((child for run in map_runs(backend) for child in children_of(run) if child.arn == arn), None)
    if found is None:
        raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{arn}'")
    return found


def without_data(event: dict) -> dict:
    """An event without inputs, outputs and parameters."""
    hidden = ("input", "output", "parameters")
    return {
        name: {key: value for key, value in value.items() if key not in hidden} if isinstance(value, dict) else value
        for name, value in event.items()
    }


def page(response: StepFunctionResponse, name: str, values: list[dict]) -> ActionResult:
    size = min(response._get_param("maxResults") or PAGE, LARGEST_PAGE)
    try:
        first = int(response._get_param("nextToken") or 0)
    except ValueError:
        raise InvalidToken from None
    rest = {"nextToken": str(first + size)} if first + size < len(values) else {}
    return ActionResult({name: values[first : first + size], **rest})
