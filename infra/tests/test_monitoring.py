"""What a deployed stack is watched with: what ranks write for CloudWatch, and the dashboard, alarms, messages and saved
queries that stand on it.
"""

import json
import math
import re
import time

import jsonschema
import pytest

import policies
import small_sky
from conftest import Stack

EVERYTHING = {
    "Metrics": "on",
    "Dashboard": "on",
    "Alarms": "on",
    "Tracing": "on",
    "NotificationEmail": "astronomer@example.org",
    "InferenceTimeout": "300",
    "InferenceMemory": "1500",
}
OFF = {"Metrics": "off", "Dashboard": "off", "Alarms": "off", "Tracing": "off", "NotificationEmail": ""}
FUNCTIONS = ("initializer", "inference", "summarizer")

# What AWS has of itself, and the dimension that all of them have.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
AWS_METRICS = {
    "AWS/Lambda": ("FunctionName", {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}),
    "AWS/States": (
        "StateMachineArn",
        {f"Executions{how}" for how in ("Started", "Succeeded", "Failed", "TimedOut", "Aborted")},
    ),
}

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
NAME = {"type": "string", "minLength": 1, "maxLength": 255}
# Of CloudWatch's units, those that a rank's metrics have.
UNIT = {"enum": ["Bytes", "Count", "Count/Second", "Seconds"]}
METRIC = {
    "type": "object",
    "required": ["Name", "Unit"],
    "properties": {"Name": NAME, "Unit": UNIT},
    "additionalProperties": False,
}
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": NAME,
        "Dimensions": {"type": "array", "minItems": 1, "items": {"type": "array", "maxItems": 9, "items": NAME}},
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": METRIC},
    },
    "additionalProperties": False,
}
EMBEDDED = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
            },
            "additionalProperties": False,
        }
    },
}


def set_parameters(sky, parameters: dict[str, str]) -> dict:
    arguments = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    return json.loads(sky.stack.run(*sky.cosmic.deploy, *arguments).stdout)["outputs"]


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A deployed stack with everything on, after a run that succeeded, and one of two ranks: one cannot read one of its
    two files, the other cannot read its only one.
    """
    options = json.dumps({"retry_pace": small_sky.RETRY_PACE})
    with Stack("--enforce-roles", "--options", options) as stack:
        sky = small_sky.deployed(stack, tmp_path_factory.mktemp("small-sky"))
        sky.outputs = set_parameters(sky, EVERYTHING)
        sqs = stack.client("sqs")
        sky.queue = sqs.create_queue(QueueName="mail")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=sky.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        stack.client("sns").subscribe(TopicArn=sky.outputs["NotificationTopicArn"], Protocol="sqs", Endpoint=arn)
        sky.succeeded = small_sky.run(sky.cosmic, "watched")
        assert sky.succeeded["status"] == "SUCCEEDED", sky.succeeded
        good, spoiled = sky.cosmic.read(f"{small_sky.PREFIX}/3.pt"), b"no data set"
        prefix = sky.cosmic.upload("spoiled", {"1.pt": spoiled, "2.pt": good, "3.pt": spoiled})
        sky.failed = small_sky.run(sky.cosmic, "spoiled-results", prefix=prefix, world_size=2)
        assert sky.failed["status"] == "FAILED", sky.failed
        yield sky


def lines(sky, function: str) -> list[str]:
    pages = (
        sky.stack.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=f"/aws/lambda/cosmic-{function}")
    )
    return [event["message"] for page in pages for event in page["events"]]


def own_lines(sky, function: str) -> list[dict]:
    return [json.loads(line) for line in lines(sky, function) if line.startswith("{")]


def metric_lines(sky, execution: dict) -> list[dict]:
    """The lines of metrics of an execution's ranks."""
    found = [line for line in own_lines(sky, "inference") if line["message"] == "rank metrics"]
    return [line for line in found if line["span"]["execution"] == execution["name"]]


def metrics_of(line: dict) -> dict[str, float]:
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}


# --- What ranks write ------------------------------------------------------------------------------------------------


def test_each_rank_writes_one_line_in_the_embedded_metric_format(sky):
    found = metric_lines(sky, sky.succeeded)
    assert sorted(line["span"]["rank"] for line in found) == list(range(len(small_sky.PARTITIONS)))
    for line in found:
        jsonschema.validate(line, EMBEDDED)
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Cosmic", [["FunctionName"]])
        assert line["FunctionName"] == "cosmic-inference"
        # Targets are members of the root: numbers for metrics, and CloudWatch takes finite ones only.
        assert all(math.isfinite(value) and value >= 0 for value in metrics_of(line).values()), line
        assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 600
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html has a megabyte for a line.
        assert len(json.dumps(line)) < 2000
    assert sum(line["Galaxies"] for line in found) == small_sky.GALAXIES
    assert {line["Failed"] for line in found} == {line["Incomplete"] for line in found} == {0}
    assert all(line["GalaxiesPerSecond"] > 0 and line["BytesRead"] > 0 for line in found)


def test_ranks_that_fail_or_lack_a_file_say_so(sky):
    incomplete, failed = sorted(metric_lines(sky, sky.failed), key=lambda line: line["Failed"])
    jsonschema.validate(incomplete, EMBEDDED)
    jsonschema.validate(failed, EMBEDDED)
    assert metrics_of(incomplete).items() >= {"Failed": 0, "Incomplete": 1, "Galaxies": 1}.items()
    assert metrics_of(failed).items() >= {"Failed": 1, "Incomplete": 0}.items()
    assert failed["error_type"] == "BadPartition" and "Galaxies" not in metrics_of(failed)


def test_a_process_starts_cold_once(sky):
    cold = [line["span"]["requestId"] for line in metric_lines(sky, sky.succeeded) if line["ColdStart"]]
    reports = [line for line in lines(sky, "inference") if line.startswith("REPORT") and "Init Duration" in line]
    assert cold and all(any(identifier in report for report in reports) for identifier in cold)


def test_lines_of_metrics_are_lines_of_their_ranks_for_cosmic_logs(sky):
    shown = sky.stack.cosmic("logs", "--execution", sky.succeeded["name"], "--grep", "rank metrics").stdout
    assert len(shown.splitlines()) == len(small_sky.PARTITIONS)
    assert "GalaxiesPerSecond=" in shown and "_aws" not in shown


# --- What stands on it -----------------------------------------------------------------------------------------------


def known_metrics(sky) -> set[tuple]:
    """Namespace, name and dimension of every metric that there is."""
    machine = sky.outputs["StateMachineArn"]
    functions = [f"cosmic-{name}" for name in FUNCTIONS]
    known = set()
    for namespace, (dimension, names) in AWS_METRICS.items():
        values = functions if dimension == "FunctionName" else [machine]
        known |= {(namespace, name, (dimension, value)) for name in names for value in values}
    for line in metric_lines(sky, sky.succeeded):
        known |= {("Cosmic", name, ("FunctionName", line["FunctionName"])) for name in metrics_of(line)}
    for entry in sky.stack.client("logs").describe_metric_filters()["metricFilters"]:
        [metric] = entry["metricTransformations"]
        known.add((metric["metricNamespace"], metric["metricName"], ()))
    return known


def test_the_stack_has_ten_metrics_of_its_own(sky):
    known = known_metrics(sky)
    assert len([metric for metric in known if metric[0] == "Cosmic"]) == 10


def test_the_dashboard_shows_metrics_that_there_are(sky):
    cloudwatch = sky.stack.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName="cosmic")["DashboardBody"])
    known, shown = known_metrics(sky), set()
    widgets = body["widgets"]
    for widget in (widget for widget in widgets if widget["type"] == "metric"):
        properties = widget["properties"]
        assert properties["region"] == "us-east-1" and properties["title"]
        names = set()
        for entry in properties["metrics"]:
            options = entry[-1] if isinstance(entry[-1], dict) else {}
            names.add(options.get("id"))
            path = [part for part in entry if isinstance(part, str)]
            if path:
                assert (path[0], path[1], tuple(path[2:])) in known, path
                assert options.get("stat") or properties.get("stat"), entry
                shown.add(path[1])
        for entry in properties["metrics"]:
            if "expression" in entry[-1]:
                assert set(re.findall(r"\b[a-z]\w*", entry[-1]["expression"])) <= names, entry
    of_cosmic = {metric[1] for metric in known if metric[0] == "Cosmic"}
    assert of_cosmic <= shown, "a metric is paid for and not shown"
    # The limits are those that were deployed.
    text = json.dumps(body)
    assert '"label": "InferenceTimeout", "value": 300,' in text and "100 * inference / 1500" in text
    # Widgets do not overlap.
    cells = [
        (column, row)
        for widget in widgets
        for column in range(widget["x"], widget["x"] + widget["width"])
        for row in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))


def test_the_dashboard_links_to_the_stacks_own_pages(sky):
    body = json.loads(sky.stack.client("cloudwatch").get_dashboard(DashboardName="cosmic")["DashboardBody"])
    text = body["widgets"][0]["properties"]["markdown"]
    links = re.findall(r"\]\((https://[^)]*)\)", text)
    assert f"#/statemachines/view/{sky.outputs['StateMachineArn']}" in links[0]
    assert all(link.startswith("https://console.aws.amazon.com/") and not re.search(r"[\s%$]", link) for link in links)
    assert sky.outputs["DashboardAddress"].endswith("region=us-east-1#dashboards/dashboard/cosmic")
    [alarms] = [widget for widget in body["widgets"] if widget["type"] == "alarm"]
    there = {alarm["AlarmArn"] for alarm in all_alarms(sky)}
    assert set(alarms["properties"]["alarms"]) == there


def all_alarms(sky) -> list[dict]:
    return sky.stack.client("cloudwatch").describe_alarms()["MetricAlarms"]


def test_alarms_watch_metrics_that_there_are_and_tell_the_topic(sky):
    known = known_metrics(sky)
    alarms = {alarm["AlarmName"]: alarm for alarm in all_alarms(sky)}
    assert alarms.keys() == {
        f"cosmic-{name}"
        for name in (
            "failed-runs",
            "failing-ranks",
            "throttled",
            "slow-ranks",
            "slow-summarizer",
            "inference-memory",
            "summarizer-memory",
        )
    }
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [sky.outputs["NotificationTopicArn"]]
        assert alarm["TreatMissingData"] == "notBreaching" and alarm["AlarmDescription"]
        watched = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", []) if "MetricStat" in entry]
        for metric in watched or [alarm]:
            dimension = tuple(
                part for entry in metric.get("Dimensions", []) for part in (entry["Name"], entry["Value"])
            )
            assert (metric["Namespace"], metric["MetricName"], dimension) in known, alarm["AlarmName"]


@pytest.mark.parametrize(
    "alarm, value, breaches",
    [
        ("slow-ranks", {"duration": 271_000}, True),
        ("slow-ranks", {"duration": 269_000}, False),
        ("slow-summarizer", {"duration": 811_000}, True),
        ("inference-memory", {"used": 1351}, True),
        ("inference-memory", {"used": 1349}, False),
        ("failing-ranks", {"errors": 51, "invocations": 1000}, True),
        ("failing-ranks", {"errors": 50, "invocations": 1000}, False),
    ],
)
def test_thresholds_follow_the_parameters(sky, alarm, value, breaches):
    [found] = [entry for entry in all_alarms(sky) if entry["AlarmName"] == f"cosmic-{alarm}"]
    [share] = [entry["Expression"] for entry in found["Metrics"] if entry["ReturnData"]]
    assert found["ComparisonOperator"] == "GreaterThanThreshold"
    assert (eval(share, {"__builtins__": {}}, value) > found["Threshold"]) == breaches


def pattern_value(pattern: str, line: str, name: str) -> str | None:
    """The field of a space-delimited line that a metric filter's pattern calls by this name; None where it does not
    match. https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    *wanted, rest = [part.strip() for part in pattern.strip("[]").split(",")]
    fields = line.split()
    assert rest == "..."
    # Whether the dots may stand for nothing is not said, so that they must not need to.
    if len(fields) <= len(wanted):
        return None
    values = {}
    for part, field in zip(wanted, fields, strict=False):
        label, _, text = part.partition("=")
        if text and text.strip('"') != field:
            return None
        values[label] = field
    return values[name]


@pytest.mark.parametrize("function", ["inference", "summarizer"])
def test_the_memory_of_report_lines_is_found_by_the_metric_filter(sky, function):
    [entry] = sky.stack.client("logs").describe_metric_filters(
        filterNamePrefix=f"cosmic-{function}-memory", logGroupName=f"/aws/lambda/cosmic-{function}"
    )["metricFilters"]
    assert entry["metricTransformations"][0]["metricValue"] == "$used_megabytes"
    reports = [line for line in lines(sky, function) if line.startswith("REPORT")]
    # Those of cold and of warm starts, and one of a function that was killed.
    assert {"Init Duration" in report for report in reports} == {True, False}
    killed = (
        "REPORT RequestId: a\tDuration: 9.00 ms\tBilled Duration: 9 ms\tMemory Size: 512 MB\tMax Memory Used: 512 MB"
    )
    for report in [*reports, killed, f"{killed}\tStatus: error\tError Type: Runtime.OutOfMemory\t"]:
        used = re.search(r"Max Memory Used: (\d+) MB", report)[1]
        assert pattern_value(entry["filterPattern"], report, "used_megabytes") == used, report
    assert pattern_value(entry["filterPattern"], "START RequestId: a Version: $LATEST", "used_megabytes") is None


# --- Saved queries ---------------------------------------------------------------------------------------------------

# Fields with @ of any log, and of Lambda's REPORT lines, by the words of the line that they come from.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
SYSTEM_FIELDS = {"@timestamp", "@message", "@log"}
REPORT_FIELDS = {
    "@type": "REPORT",
    "@requestId": "RequestId:",
    "@billedDuration": "Billed Duration:",
    "@memorySize": "Memory Size:",
    "@maxMemoryUsed": "Max Memory Used:",
}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
COMMANDS = {"fields", "filter", "limit", "parse", "sort", "stats"}
WORDS = {"and", "as", "asc", "by", "desc", "in", "like", "or"}
CALLS = {"avg", "bin", "coalesce", "count", "ispresent", "max", "min", "pct", "sum"}


def saved_queries(sky) -> dict[str, dict]:
    saved = sky.stack.client("logs").describe_query_definitions(queryDefinitionNamePrefix="cosmic/")["queryDefinitions"]
    return {entry["name"].removeprefix("cosmic/"): entry for entry in saved}


def fields_of(query: str) -> set[str]:
    """The fields of log lines that a query names."""
    for command in re.split(r"^\s*\||\n\|", query, flags=re.MULTILINE):
        assert command.split()[0] in COMMANDS, command
    patterns = re.findall(r"(?:like|@message) (/.*?/)(?=\s)", query)
    named = {name for pattern in patterns for name in re.findall(r"\?<(\w+)>", pattern)}
    for pattern in patterns:
        re.compile(pattern.strip("/").replace("?<", "?P<"))
        query = query.replace(pattern, " ")
    query = re.sub(r'"[^"]*"', " ", query)
    named |= set(re.findall(r"\bas (\w+)", query))
    calls = set(re.findall(r"\b(\w+)\(", query))
    assert calls <= CALLS, calls
    query = re.sub(r"\bbin\(\w+\)", " ", query)
    return set(re.findall(r"@?\b[A-Za-z_][\w.]*", query)) - COMMANDS - WORDS - CALLS - named


def members(value: dict, prefix: str = "") -> set[str]:
    """The names of a line's members, as Logs Insights has them: `span.rank`."""
    return {
        name
        for key, inner in value.items()
        for name in (members(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {prefix + key})
    }


def test_each_saved_query_names_fields_that_its_lines_have(sky):
    queries = saved_queries(sky)
    assert len(queries) == 9 and all(name.endswith("?") for name in queries)
    for name, entry in queries.items():
        functions = [group.removeprefix("/aws/lambda/cosmic-") for group in entry["logGroupNames"]]
        assert functions, name
        there = set().union(*(members(line) for function in functions for line in own_lines(sky, function)))
        reports = [line for function in functions for line in lines(sky, function) if line.startswith("REPORT")]
        for field in fields_of(entry["queryString"]) - SYSTEM_FIELDS:
            if field.startswith("@"):
                assert all(REPORT_FIELDS[field] in report for report in reports), (name, field)
            else:
                assert field in there, f"{name}: no line has {field}"


def test_saved_queries_look_for_words_that_are_written(sky):
    written = own_lines(sky, "inference")
    queries = saved_queries(sky)
    for entry in queries.values():
        for field, text in re.findall(r'(?<!@)\b(\w+) = "([^"{]*)"', entry["queryString"]):
            assert any(line.get(field) == text for line in written), (field, text)
    failed = re.search(r"@message like /(.*)/", queries["Which ranks failed, and why?"]["queryString"])[1]
    assert re.search(failed, "2026-11-26T06:00:00.000Z a Task timed out after 300.00 seconds")
    assert re.search(failed, "REPORT RequestId: a\tStatus: error\tError Type: Runtime.ExitError")
    assert not any(re.search(failed, line) for line in lines(sky, "inference")), "nothing was killed"


def test_a_query_takes_an_executions_name(sky):
    entry = saved_queries(sky)["What did one execution log?"]
    assert [parameter["name"] for parameter in entry["parameters"]] == ["execution"]
    assert 'span.execution = "{{execution}}"' in entry["queryString"]


# --- Messages --------------------------------------------------------------------------------------------------------


def messages(sky) -> list[str]:
    sqs, found = sky.stack.client("sqs"), []
    while batch := sqs.receive_message(QueueUrl=sky.queue, MaxNumberOfMessages=10).get("Messages", []):
        for message in batch:
            found.append(json.loads(message["Body"])["Message"])
            sqs.delete_message(QueueUrl=sky.queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_the_end_of_a_run_is_told_and_those_of_its_ranks_are_not(sky):
    stopped = sky.cosmic.start({**small_sky.PAYLOAD, "result_path": "stopped"})
    sky.stack.client("stepfunctions").stop_execution(executionArn=stopped)
    succeeded, failed, aborted = messages(sky)
    name, arn = sky.succeeded["name"], sky.succeeded["executionArn"]
    assert succeeded.splitlines() == [
        f'"Cosmic (cosmic, us-east-1): the run {name} has ended: SUCCEEDED."',
        f'"Metrics, cost and results: cosmic run --attach {arn}"',
        f'"In the console: https://console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/{arn}"',
    ]
    assert f"the run {sky.failed['name']} has FAILED with IncompleteCatalogue." in failed
    assert "has ended: ABORTED." in aborted and stopped in aborted
    assert not [event for event in sky.stack.options()["happened"] if event.startswith("FailedInvocations")]


def test_the_topic_takes_messages_of_this_stacks_alarms_and_of_eventbridge(sky):
    topic = sky.outputs["NotificationTopicArn"]
    sns = sky.stack.client("sns")
    policy = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])

    def allowed(service: str, **context: str) -> str | None:
        statements = [
            entry
            for entry in policy["Statement"]
            if entry["Principal"] == "*" or entry["Principal"] == {"Service": f"{service}.amazonaws.com"}
        ]
        context = {"aws:SecureTransport": "true", **{f"aws:{key}": value for key, value in context.items()}}
        return policies.decision([{"Statement": statements}], "sns:Publish", topic, context)

    account = "123456789012"
    alarm = f"arn:aws:cloudwatch:us-east-1:{account}:alarm:"
    assert allowed("cloudwatch", SourceAccount=account, SourceArn=f"{alarm}cosmic-throttled") == "Allow"
    assert allowed("cloudwatch", SourceAccount=account, SourceArn=f"{alarm}other-throttled") is None
    assert allowed("cloudwatch", SourceAccount="210987654321", SourceArn=f"{alarm}cosmic-throttled") is None
    assert allowed("cloudwatch") is None
    assert allowed("events") == "Allow"
    assert allowed("events", SecureTransport="false") == "Deny"
    assert allowed("s3") is None
    addresses = {
        (entry["Protocol"], entry["Endpoint"])
        for entry in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    }
    assert ("email", EVERYTHING["NotificationEmail"]) in addresses


# --- On and off ------------------------------------------------------------------------------------------------------


def test_tracing_is_on_for_functions_and_machine(sky):
    for name in FUNCTIONS:
        found = sky.stack.client("lambda").get_function_configuration(FunctionName=f"cosmic-{name}")
        assert found["TracingConfig"] == {"Mode": "Active"}, name
    machine = sky.stack.client("stepfunctions").describe_state_machine(stateMachineArn=sky.outputs["StateMachineArn"])
    assert machine["tracingConfiguration"] == {"enabled": True}


def test_everything_can_be_switched_off_again(sky):
    outputs = set_parameters(sky, OFF)
    assert not outputs.keys() & {"NotificationTopicArn", "DashboardAddress"}
    assert all_alarms(sky) == []
    client = sky.stack.client
    assert client("cloudwatch").list_dashboards()["DashboardEntries"] == []
    assert client("sns").list_topics()["Topics"] == []
    assert client("events").list_rules()["Rules"] == []
    assert client("logs").describe_metric_filters()["metricFilters"] == []
    assert len(saved_queries(sky)) == 9
    for name in FUNCTIONS:
        found = client("lambda").get_function_configuration(FunctionName=f"cosmic-{name}")
        assert found["TracingConfig"] == {"Mode": "PassThrough"}, name
    ended = small_sky.run(sky.cosmic, "unwatched")
    assert ended["status"] == "SUCCEEDED"
    for line in metric_lines(sky, ended):
        assert "_aws" not in line and line["Galaxies"] > 0
    assert messages(sky) == []
