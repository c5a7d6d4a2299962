"""infra/template.yaml and statemachine/redshift.asl.json: they pass the linters, their roles have the least
permissions. test_state_machine.py says which errors the machine tries again.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import package
import policies
import stacks
from conftest import ROOT
from deployment import artifacts

TEMPLATE = ROOT / "infra/template.yaml"
DEFINITION = ROOT / "statemachine/redshift.asl.json"


@pytest.fixture(scope="module")
def expanded() -> dict:
    """The template as SAM expands it, with the definition of the state machine inside."""
    template = artifacts.load_template(TEMPLATE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "artifacts", "Key": "zip"}
        if resource["Type"] == "AWS::Serverless::StateMachine":
            del resource["Properties"]["DefinitionUri"]
            resource["Properties"]["Definition"] = json.loads(DEFINITION.read_text())
    template = stacks.expand(template)
    # SAM makes a string of it, which no linter looks into.
    properties = template["Resources"]["RedshiftMachine"]["Properties"]
    del properties["DefinitionString"]
    properties["Definition"] = json.loads(DEFINITION.read_text().replace("${Partition}", "aws"))
    return template


@pytest.fixture(scope="module")
def machine() -> dict:
    return json.loads(DEFINITION.read_text())


def lint(path: Path) -> str:
    """What cfn-lint finds."""
    linted = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--template", path, "--include-checks", "I"],
        capture_output=True,
        text=True,
    )
    return linted.stdout + linted.stderr


def test_the_template_passes_cfn_lint():
    assert lint(TEMPLATE) == ""


def test_the_expanded_template_and_its_state_machine_pass_cfn_lint(expanded, tmp_path):
    path = tmp_path / "expanded.json"
    text = json.dumps(expanded)
    path.write_text(text)
    assert lint(path) == ""
    path.write_text(text.replace('"Type": "Choice"', '"Type": "Choose"', 1))
    assert "E3601" in lint(path), "it did not look into the definition"


def test_the_dockerfile_passes_hadolint():
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    hadolint = shutil.which("hadolint", path=tools)
    assert hadolint, "run scripts/setup.sh, which installs hadolint"
    linted = subprocess.run([hadolint, "--no-color", ROOT / "infra/Dockerfile"], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_images_hold_what_the_zips_hold():
    text = (ROOT / "infra/Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+/provided:al2023 AS (\w+)\n((?:\w.*\n)+)", text, re.M))
    assert stages.keys() == set(package.FUNCTIONS)
    for name, stage in stages.items():
        assert f"/cosmic/target/release/{name} /var/runtime/bootstrap" in stage
        assert ("model.json" in stage) == (name != "summarizer")
        assert ("model.safetensors" in stage) == (name == "inference")
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert f"ARG RUST={wanted}" in text
    # Of all that the build copies, nothing is left out of what Docker is given.
    given = (ROOT / "infra/Dockerfile.dockerignore").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:(.+) )\S+$", text, re.M)
    for path in " ".join(copied).replace("${MODEL}", re.search(r"ARG MODEL=(\S+)", text)[1]).split():
        assert f"!{path}\n" in given and (ROOT / path).exists(), path


def test_the_local_interpreter_takes_the_definition_and_no_other(stack, machine):
    text = re.sub(
        r"\$\{(\w+)FunctionArn\}",
        r"arn:aws:lambda:us-east-1:123456789012:function:\1",
        json.dumps(machine).replace("${Partition}", "aws"),
    )
    created = stack.client("stepfunctions").create_state_machine(
        name="validated", definition=text, roleArn="arn:aws:iam::123456789012:role/any"
    )
    assert created["stateMachineArn"]
    with pytest.raises(ClientError):
        stack.client("stepfunctions").create_state_machine(
            name="refused",
            definition=text.replace('"Type": "Choice"', '"Type": "Choose"'),
            roleArn="arn:aws:iam::123456789012:role/any",
        )


def test_every_state_leads_to_one_that_is_there_and_all_are_reached(machine):
    for name, scope in [("machine", machine), ("children", machine["States"]["Ranks"]["ItemProcessor"])]:
        reached, queue = set(), [scope["StartAt"]]
        while queue:
            current = queue.pop()
            if current in reached:
                continue
            reached.add(current)
            state = scope["States"][current]
            queue += [choice["Next"] for choice in state.get("Choices", []) + state.get("Catch", [])]
            queue += [state[key] for key in ("Next", "Default") if key in state]
            ends = state.get("End") or state["Type"] in ("Succeed", "Fail")
            assert ends or any(key in state for key in ("Next", "Default")), (name, current)
        assert reached == scope["States"].keys()


def statements(expanded: dict):
    """(resource, statement) of all permissions."""
    for name, resource in expanded["Resources"].items():
        documents = [policy["PolicyDocument"] for policy in resource["Properties"].get("Policies", [])]
        if resource["Type"] == "AWS::IAM::Policy":
            documents.append(resource["Properties"]["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield name, statement


# Actions that know no resources.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
TRACING = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
WITHOUT_RESOURCES = {"lambda:GetAccountSettings", *TRACING}


def test_permissions_name_their_actions_and_resources(expanded):
    found = list(statements(expanded))
    assert len(found) > 10
    for name, statement in found:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert statement["Effect"] == "Allow" and "NotAction" not in statement and "NotResource" not in statement
        assert not [action for action in actions if "*" in action], (name, statement)
        if resources == ["*"]:
            assert set(actions) <= WITHOUT_RESOURCES, (name, statement)
            continue
        for resource in resources:
            text = resource if isinstance(resource, str) else resource.get("Fn::Sub", "")
            assert text != "*" and not text.endswith(":::*"), (name, statement)
        if set(actions) & {"s3:PutObject", "s3:DeleteObject"}:
            for resource in resources:
                assert re.search(r"/\*/[\w/*.]*\.(jsonl?|parquet|png|html)$|/\*/map/\*$", resource["Fn::Sub"]), (
                    name,
                    resource,
                )


def test_each_role_may_send_traces_before_a_function_is_to(expanded):
    """Lambda refuses tracing to a function whose role may not send them. A function waits for its role, and not for a
    policy beside it.
    """
    for role in ROLES:
        documents = [policy["PolicyDocument"] for policy in expanded["Resources"][role]["Properties"]["Policies"]]
        for action in ("xray:PutTraceSegments", "xray:PutTelemetryRecords"):
            assert policies.decision(substituted(documents), action, "*", {}) == "Allow", (role, action)


# The values that the template's substitutions take in the questions below.
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "cosmic",
    "DataBucketName": "sky",
    "SourceBucketName": "others",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/data",
    "SourceKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/source",
}
RUN = "results/survey"
PLAN = (f"{RUN}/plan.json", f"{RUN}/files.jsonl", f"{RUN}/tasks.json")
RANK = f"{RUN}/ranks/{'0123456789abcdef' * 4}.parquet"
RESULTS = tuple(
    f"{RUN}/{name}"
    for name in ("predictions.parquet", "combined_data.json", "inference.png", "report.html", "Results.json")
)
MAP = f"{RUN}/map/0b1c/FAILED_0.json"
EVERYTHING = (*PLAN, RANK, *RESULTS, MAP)
# What no run may change: data, models, notes, and what lies at the bucket's root.
DATA = ("1.pt", "partitions/10.pt", "survey/model.safetensors", f"{RUN}/notes.json", "plan.json")


def substituted(value):
    """A part of the template with its substitutions made. A reference to a resource becomes its name."""
    if isinstance(value, list):
        return [substituted(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: VALUES[found[1]], value["Fn::Sub"])
    if value.keys() == {"Ref"}:
        return VALUES.get(value["Ref"], value["Ref"])
    if value.keys() == {"Fn::GetAtt"}:
        return value["Fn::GetAtt"][0]
    return {key: substituted(part) for key, part in value.items()}


def allowed(expanded: dict, role: str, action: str, resource: str, context: dict | None = None) -> bool:
    documents = [policy["PolicyDocument"] for policy in expanded["Resources"][role]["Properties"]["Policies"]]
    documents += [
        other["Properties"]["PolicyDocument"]
        for other in expanded["Resources"].values()
        if other["Type"] == "AWS::IAM::Policy" and {"Ref": role} in other["Properties"]["Roles"]
    ]
    return policies.decision(substituted(documents), action, resource, context or {}) == "Allow"


@pytest.mark.parametrize(
    "role, action, keys",
    [
        ("InitializerRole", "s3:GetObject", (*EVERYTHING, *DATA)),
        ("InitializerRole", "s3:GetObjectVersion", (*EVERYTHING, *DATA)),
        ("InitializerRole", "s3:PutObject", PLAN),
        ("InitializerRole", "s3:DeleteObject", (RANK, MAP)),
        ("InferenceRole", "s3:GetObject", (*EVERYTHING, *DATA)),
        ("InferenceRole", "s3:GetObjectVersion", (*EVERYTHING, *DATA)),
        ("InferenceRole", "s3:PutObject", (RANK,)),
        ("InferenceRole", "s3:DeleteObject", ()),
        ("SummarizerRole", "s3:GetObject", (*PLAN[:2], RANK, *RESULTS, MAP)),
        ("SummarizerRole", "s3:PutObject", (PLAN[0], RANK, *RESULTS)),
        ("SummarizerRole", "s3:DeleteObject", ()),
        ("SummarizerRole", "s3:AbortMultipartUpload", tuple(key for key in RESULTS if key.endswith(".parquet"))),
        ("RedshiftMachineRole", "s3:GetObject", (PLAN[2], MAP)),
        ("RedshiftMachineRole", "s3:PutObject", (MAP,)),
        ("RedshiftMachineRole", "s3:DeleteObject", ()),
    ],
)
def test_each_role_may_do_its_own_work_and_no_other(expanded, role, action, keys):
    there = {key for key in (*EVERYTHING, *DATA) if allowed(expanded, role, action, f"arn:aws:s3:::sky/{key}")}
    assert there == set(keys)
    # Partitions in another bucket are only read, and by those who read partitions.
    source = any(allowed(expanded, role, action, f"arn:aws:s3:::others/{key}") for key in (*EVERYTHING, *DATA))
    reads = action in ("s3:GetObject", "s3:GetObjectVersion")
    assert source == (reads and role in ("InitializerRole", "InferenceRole"))


ROLES = ("InitializerRole", "InferenceRole", "SummarizerRole", "RedshiftMachineRole")


def test_roles_use_keys_through_s3_and_for_what_they_do_there(expanded):
    through_s3 = {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}
    data, source = VALUES["KmsKeyArn"], VALUES["SourceKmsKeyArn"]
    for role in ROLES:
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert allowed(expanded, role, action, data, through_s3)
            for elsewhere in ({}, {"kms:ViaService": "lambda.eu-west-1.amazonaws.com"}):
                assert not allowed(expanded, role, action, data, elsewhere)
        reads = role in ("InitializerRole", "InferenceRole")
        assert allowed(expanded, role, "kms:Decrypt", source, through_s3) == reads
        assert not allowed(expanded, role, "kms:GenerateDataKey", source, through_s3)
        assert not allowed(expanded, role, "kms:DescribeKey", data, through_s3)


def test_the_initializer_asks_for_the_concurrency_of_inference_alone(expanded):
    for role in ROLES:
        asks = role == "InitializerRole"
        assert allowed(expanded, role, "lambda:GetAccountSettings", "*") == asks
        # The reference to the function stands for its ARN.
        assert allowed(expanded, role, "lambda:GetFunctionConcurrency", "Inference") == asks
        assert not allowed(expanded, role, "lambda:GetFunctionConcurrency", "Summarizer")
        assert not allowed(expanded, role, "lambda:PutFunctionConcurrency", "Inference")


def test_the_initializer_asks_after_the_machines_own_executions_only(expanded):
    for name, expected in {"cosmic-redshift:run-1": True, "cosmic-other:run-1": False}.items():
        arn = f"arn:aws:states:eu-west-1:123456789012:execution:{name}"
        assert allowed(expanded, "InitializerRole", "states:DescribeExecution", arn) == expected
        assert not allowed(expanded, "InitializerRole", "states:StopExecution", arn)


def test_services_assume_roles_for_this_account_only(expanded):
    for resource in expanded["Resources"].values():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        trust = [substituted(resource["Properties"]["AssumeRolePolicyDocument"])]
        assert policies.decision(trust, "sts:AssumeRole", None, {"aws:SourceAccount": "123456789012"}) == "Allow"
        assert policies.decision(trust, "sts:AssumeRole", None, {"aws:SourceAccount": "210987654321"}) is None
        assert policies.decision(trust, "sts:AssumeRole", None, {}) is None


def test_both_buckets_refuse_requests_without_tls(expanded):
    data = substituted(expanded["Resources"]["DataBucketPolicy"]["Properties"]["PolicyDocument"])
    for bucket, policy in {"sky": data, "zips": artifacts.tls_only("aws", "zips")}.items():
        for action, resource in {
            "s3:ListBucket": f"arn:aws:s3:::{bucket}",
            "s3:GetObject": f"arn:aws:s3:::{bucket}/a/b",
        }.items():
            assert policies.decision([policy], action, resource, {"aws:SecureTransport": "false"}) == "Deny"
            assert policies.decision([policy], action, resource, {"aws:SecureTransport": "true"}) is None


def test_the_deployed_buckets_have_their_policies(cosmic):
    artifacts = next(name for name in bucket_names(cosmic) if name.startswith("cosmic-artifacts-"))
    for bucket in (cosmic.bucket, artifacts):
        assert "aws:SecureTransport" in cosmic.s3.get_bucket_policy(Bucket=bucket)["Policy"]


def bucket_names(cosmic) -> list[str]:
    return [bucket["Name"] for bucket in cosmic.s3.list_buckets()["Buckets"]]


def test_no_role_brings_a_managed_policy_and_each_function_has_its_own(expanded):
    resources = expanded["Resources"].values()
    roles = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 4 and not [role for role in roles if role.get("ManagedPolicyArns")]
    functions = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::Lambda::Function"]
    assert len({json.dumps(function["Role"]) for function in functions}) == 3


def test_functions_run_on_al2023_and_log_to_groups_with_a_retention(expanded):
    resources = expanded["Resources"]
    groups = [name for name, resource in resources.items() if resource["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 3 and all(resources[name]["Properties"]["RetentionInDays"] for name in groups)
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::Function":
            properties = resource["Properties"]
            assert properties["Runtime"] == "provided.al2023"
            assert properties["LoggingConfig"]["LogGroup"]["Ref"] in groups


def test_what_costs_while_nothing_runs_is_off_unless_asked_for(expanded):
    parameters = expanded["Parameters"]
    assert {name: parameters[name]["Default"] for name in ("Dashboard", "Alarms", "Tracing", "NotificationEmail")} == {
        "Dashboard": "off",
        "Alarms": "off",
        "Tracing": "off",
        "NotificationEmail": "",
    }
    for name, resource in expanded["Resources"].items():
        if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"):
            assert resource["Condition"] in ("HasAlarms", "HasMemoryAlarms", "HasDashboard"), name


def test_alarms_look_at_as_many_metrics_as_the_parameter_says(expanded):
    alarms = [
        value["Properties"] for value in expanded["Resources"].values() if value["Type"] == "AWS::CloudWatch::Alarm"
    ]
    looked_at = sum(
        1 if "MetricName" in alarm else sum("MetricStat" in metric for metric in alarm["Metrics"]) for alarm in alarms
    )
    assert looked_at == 9 and "They look at nine metrics" in expanded["Parameters"]["Alarms"]["Description"]


def test_alarms_look_back_for_as_long_as_a_data_point_can_be_late(expanded):
    """A metric of Lambda's on how an invocation ended bears the time at which it began, at most 900 s earlier."""
    for name, resource in expanded["Resources"].items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = resource["Properties"]
        watched = [metric["MetricStat"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
        period = watched[0]["Period"] if watched else alarm["Period"]
        late = any(metric["Metric"]["MetricName"] in ("Duration", "Errors") for metric in watched)
        longest = 900 if late else 0
        assert period * alarm["EvaluationPeriods"] >= longest + 300, name
        assert alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) == 1, name


@pytest.mark.parametrize(
    "address, taken",
    [("", True), ("a@b.org", True), ("a@b", False), ("a@b.org, c@d.org", False), ("nobody", False)],
)
def test_an_address_for_mail_is_one_or_none(expanded, address, taken):
    pattern = expanded["Parameters"]["NotificationEmail"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, address)) == taken


def test_the_query_for_costs_knows_the_list_price(expanded):
    _, values = expanded["Resources"]["CostQuery"]["Properties"]["QueryString"]["Fn::Sub"]
    prices = json.loads((ROOT / "crates/bill/data/prices.json").read_text())["regions"]["us-east-1"]
    _, arm64, x86_64 = values["Price"]["Fn::If"]
    assert {"arm64": float(arm64), "x86_64": float(x86_64)} == prices["lambda_million_gb_seconds"]


def test_results_outlive_the_stack(expanded):
    for name in ("DataBucket", "DataBucketPolicy"):
        assert expanded["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"


# The others in the folder are sweeps.
PAYLOADS = [path for path in sorted((ROOT / "payloads").glob("*.json")) if not path.stem.startswith("sweep")]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_ready_made_payloads_say_what_their_names_say(path):
    payload = json.loads(path.read_text())
    assert payload["bucket"] == "cosmic-demo"
    if path.stem != "demo":
        size, batch = re.fullmatch(r"(\d+MB)-batch-(\d+)", path.stem).groups()
        assert (payload["prefix"], payload["batch_size"]) == (size, int(batch))


def test_all_published_sizes_have_a_payload():
    names = {path.stem for path in PAYLOADS}
    assert names == {"demo"} | {f"{size}MB-batch-{batch}" for size in (10, 25, 75, 100) for batch in (32, 64, 128, 512)}
