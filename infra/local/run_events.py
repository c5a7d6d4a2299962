"""The event that Step Functions sends to EventBridge when an execution ends, which moto does not send, and its way
through rules to topics, which moto does not know.
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

Only rules for ended executions are of use here. A target that cannot be served is counted, as EventBridge counts
FailedInvocations.
"""

import json
import re
import uuid

from moto.core.utils import iso_8601_datetime_without_milliseconds
from moto.events.models import Rule, events_backends
from moto.sns.models import sns_backends
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.responses import StepFunctionResponse

from options import Options
from permissions import SECURE
from policies import decision, listed


class Undeliverable(Exception):
    """A target that cannot be served; its text says why."""


def install(options: Options) -> None:
    """Puts this module's parts into moto, after those of `executions`."""
    reflect = BaseExecutionWorkerCommunication._reflect_execution_status
    stop_execution = StepFunctionResponse.stop_execution

    def reflect_and_tell(worker: BaseExecutionWorkerCommunication) -> None:
        reflect(worker)
        tell(worker.execution, options)

    def stop_and_tell(response: StepFunctionResponse):
        answer = stop_execution(response)
        tell(response.stepfunction_backend.describe_execution(response._get_param("executionArn")), options)
        return answer

    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_and_tell
    StepFunctionResponse.stop_execution = stop_and_tell


def tell(execution: Execution, options: Options) -> None:
    """Sends the event of an execution that has ended, once."""
    if execution.exec_status == "RUNNING" or getattr(execution, "has_told", False):
        return
    execution.has_told = True
    sent = event(execution)
    rules = events_backends[execution.account_id][execution.region_name].event_buses["default"].rules
    for rule in list(rules.values()):
        if rule.state == "ENABLED" and rule.event_pattern.matches_event(sent):
            for target in rule.targets:
                deliver(rule, target, sent, options)


def deliver(rule: Rule, target: dict, sent: dict, options: Options) -> None:
    try:
        publish(rule, target, sent)
    except Undeliverable as failure:
        options.count(f"FailedInvocations {rule.name}: {failure}")


def event(execution: Execution) -> dict:
    def milliseconds(moment) -> int | None:
        return moment and int(moment.timestamp() * 1000)

    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": execution.account_id,
        "time": iso_8601_datetime_without_milliseconds(execution.stop_date),
        "region": execution.region_name,
        "resources": [execution.exec_arn],
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": execution.exec_status.value,
            "startDate": milliseconds(execution.start_date),
            "stopDate": milliseconds(execution.stop_date),
            "input": json.dumps(execution.input_data),
            "output": None if execution.output is None else json.dumps(execution.output),
            "error": execution.error,
            "cause": execution.cause,
        },
    }


def publish(rule: Rule, target: dict, sent: dict) -> None:
    """Publishes to a topic what the target makes of the event."""
    *_, service, _, account, name = target["Arn"].split(":", 5)
    topic = sns_backends[account][rule.region_name].topics.get(target["Arn"])
    if service != "sns" or topic is None:
        raise Undeliverable(f"there is no topic {target['Arn']}")
    statements = [
        statement
        for statement in json.loads(topic.policy)["Statement"]
        if statement["Principal"] == "*" or "events.amazonaws.com" in listed(statement["Principal"].get("Service", []))
    ]
    # EventBridge has nothing that a condition on the source could look at:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    if decision([{"Statement": statements}], "sns:Publish", topic.arn, SECURE) != "Allow":
        raise Undeliverable(f"the policy of {name} does not let EventBridge publish")
    transformer = target.get("InputTransformer")
    topic.publish(json.dumps(sent) if transformer is None else transformed(transformer, sent))


def transformed(transformer: dict, sent: dict) -> str:
    """The text of a template of lines in quotation marks, with its variables replaced. Values are not escaped.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    values = {}
    for variable, path in transformer["InputPathsMap"].items():
        value = sent
        for part in path.removeprefix("$.").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values[variable] = "" if value is None else str(value)
    text = re.sub(r"<([\w-]+)>", lambda found: values.get(found[1], ""), transformer["InputTemplate"])
    for line in text.splitlines():
        try:
            valid = isinstance(json.loads(line), str)
        except ValueError:
            valid = False
        if not valid:
            raise Undeliverable(f"this line is no text in quotation marks: {line}")
    return text
