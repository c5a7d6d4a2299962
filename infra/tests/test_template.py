"""infra/template.yaml and statemachine/redshift.asl.json: they pass the linters, their roles have the least
permissions. test_state_machine.py says which errors the machine tries again.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import deploy
import policies
import stacks
from conftest import ROOT

TEMPLATE = ROOT / "infra/template.yaml"
DEFINITION = ROOT / "statemachine/redshift.asl.json"


@pytest.fixture(scope="module")
def expanded() -> dict:
    """The template as SAM expands it, with the definition of the state machine inside."""
    template = deploy.load_template(TEMPLATE)
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


def test_permissions_name_their_actions_and_resources(expanded):
    found = list(statements(expanded))
    assert len(found) > 10
    for name, statement in found:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert statement["Effect"] == "Allow" and "NotAction" not in statement and "NotResource" not in statement
        assert not [action for action in actions if "*" in action], (name, statement)
        for resource in resources:
            text = resource if isinstance(resource, str) else resource.get("Fn::Sub", "")
            assert text != "*" and not text.endswith(":::*"), (name, statement)
        if set(actions) & {"s3:PutObject", "s3:DeleteObject"}:
            for resource in resources:
                assert re.search(r"/\*/[\w/*.]*\.(jsonl?|parquet|png|html)$|/\*/map/\*$", resource["Fn::Sub"]), (
                    name,
                    resource,
                )


# The values that the template's substitutions take in the questions below.
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "cosmic",
    "DataBucketName": "sky",
    "SourceBucketName": "others",
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


def allowed(expanded: dict, role: str, action: str, resource: str) -> bool:
    documents = [policy["PolicyDocument"] for policy in expanded["Resources"][role]["Properties"]["Policies"]]
    documents += [
        other["Properties"]["PolicyDocument"]
        for other in expanded["Resources"].values()
        if other["Type"] == "AWS::IAM::Policy" and {"Ref": role} in other["Properties"]["Roles"]
    ]
    return policies.decision(substituted(documents), action, resource, {}) == "Allow"


@pytest.mark.parametrize(
    "role, action, keys",
    [
        ("InitializerRole", "s3:GetObject", (*EVERYTHING, *DATA)),
        ("InitializerRole", "s3:PutObject", PLAN),
        ("InitializerRole", "s3:DeleteObject", (RANK, MAP)),
        ("InferenceRole", "s3:GetObject", (*EVERYTHING, *DATA)),
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
    assert source == (action == "s3:GetObject" and role in ("InitializerRole", "InferenceRole"))


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
    for bucket, policy in {"sky": data, "zips": deploy.tls_only("aws", "zips")}.items():
        for action, resource in {
            "s3:ListBucket": f"arn:aws:s3:::{bucket}",
            "s3:GetObject": f"arn:aws:s3:::{bucket}/a/b",
        }.items():
            assert policies.decision([policy], action, resource, {"aws:SecureTransport": "false"}) == "Deny"
            assert policies.decision([policy], action, resource, {"aws:SecureTransport": "true"}) is None
    assert expanded["Resources"]["DataBucketPolicy"]["DeletionPolicy"] == "Retain"


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


def test_results_outlive_the_stack(expanded):
    assert expanded["Resources"]["DataBucket"]["DeletionPolicy"] == "Retain"


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
