"""What was changed in the functions behind the stack's back: their code, by `cargo lambda deploy`, their memory, by a
`cosmic sweep` that was killed, or, in the console for example, their architecture, timeout, temporary storage,
environment, tracing or reserved concurrency (0 of which, by the button Throttle, lets no rank run). Nothing else is
compared.

An ordinary change set does not notice, because it compares a template with the last one, not with what runs. A
drift-aware one goes by CloudFormation's drift detection, which does not look at a function's code:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
"""

import base64
import json
from dataclasses import dataclass

from botocore.exceptions import ClientError

from deployment.account import Account, Refused, code
from deployment.artifacts import HASH_DIGITS
from deployment.stack import parameters_of

# The tag of a function whose memory a sweep has changed: crates/cosmic/src/sweep/memory.rs.
SWEEP_TAG = "cosmic:sweep-memory"


@dataclass
class Difference:
    """What a function has, and what its stack gave it. Values are as Lambda's requests take them."""

    function: str
    field: str
    found: object
    deployed: object
    # The sweep that changed it, if one says so.
    sweep: str | None = None
    # The fields of UpdateFunctionCode that put back the code and the architecture, which it changes together.
    code: dict | None = None

    def __str__(self) -> str:
        if self.field == "Code":
            return (
                f"{self.function} runs other code than this stack deployed: somebody put it there, for example with "
                "`cargo lambda deploy`"
            )
        by = f" (by the sweep {self.sweep}, which did not put it back)" if self.sweep else ""
        return (
            f"{self.function} has {self.field} {shown(self.found)}, and this stack gave it {shown(self.deployed)}{by}"
        )


def shown(value) -> str:
    if value is None:
        return "none"
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else str(value)


def differences(account: Account, stack: dict) -> list[Difference]:
    """How the stack's functions differ from what it deployed last."""
    name = stack["StackName"]
    template = account.cloudformation.get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    resources = account.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    physical = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in resources}
    values = Values(template, parameters_of(stack) | physical)
    found = []
    for logical, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function" and logical in physical:
            found += differences_of(account, name, physical[logical], values.of(resource["Properties"]))
    return found


def differences_of(account: Account, stack: str, function: str, properties: dict) -> list[Difference]:
    try:
        there = account.functions.get_function_configuration(FunctionName=function)
        reserved = account.functions.get_function_concurrency(FunctionName=function)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        raise Refused(
            f"the function {function} of the stack {stack} is not there any more, and CloudFormation does not make it "
            "anew: run this with --delete, then deploy again with --parameter CreateDataBucket=false"
        ) from None
    found = []
    architectures = properties.get("Architectures", ["x86_64"])
    deployed_code = properties.get("Code", {}) | {"Architectures": architectures}
    # A key of another deployer tells nothing of the contents.
    key_hash = str(properties.get("Code", {}).get("S3Key", "")).rpartition("-")[2].partition(".")[0]
    code_hash = base64.b64decode(there["CodeSha256"]).hex()
    if len(key_hash) == HASH_DIGITS and not code_hash.startswith(key_hash):
        found.append(Difference(function, "Code", code_hash, properties["Code"], code=deployed_code))
    variables = properties.get("Environment", {}).get("Variables", {})
    pairs = {
        "Architectures": (there.get("Architectures", ["x86_64"]), architectures),
        "MemorySize": (there["MemorySize"], number(properties.get("MemorySize", 128))),
        "Timeout": (there["Timeout"], number(properties.get("Timeout", 3))),
        "EphemeralStorage": (
            there.get("EphemeralStorage", {"Size": 512}),
            {"Size": number(properties.get("EphemeralStorage", {}).get("Size", 512))},
        ),
        "Environment": (
            {"Variables": there.get("Environment", {}).get("Variables", {})},
            {"Variables": {name: str(value) for name, value in variables.items()}},
        ),
        "TracingConfig": (
            {"Mode": there.get("TracingConfig", {}).get("Mode", "PassThrough")},
            {"Mode": properties.get("TracingConfig", {}).get("Mode", "PassThrough")},
        ),
        "ReservedConcurrentExecutions": (
            reserved.get("ReservedConcurrentExecutions"),
            number(properties.get("ReservedConcurrentExecutions")),
        ),
    }
    for field, (has, deployed) in pairs.items():
        if has != deployed and UNKNOWN not in (deployed, *deployed_parts(deployed)):
            sweep = sweep_of(account, there["FunctionArn"]) if field == "MemorySize" else None
            put_back_with = deployed_code if field == "Architectures" else None
            found.append(Difference(function, field, has, deployed, sweep, put_back_with))
    return found


def number(value):
    return int(value) if str(value).isdigit() else value


def deployed_parts(value):
    """All values inside a value."""
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield part
            yield from deployed_parts(part)


def sweep_of(account: Account, arn: str) -> str | None:
    """The sweep that says that it has changed a function's memory."""
    tag = account.functions.list_tags(Resource=arn)["Tags"].get(SWEEP_TAG)
    return tag and tag.rpartition(" ")[0]


def put_back(account: Account, difference: Difference) -> None:
    """Gives a function what its stack gave it."""
    function = difference.function
    if difference.code is not None:
        account.functions.update_function_code(FunctionName=function, **difference.code)
    elif difference.field == "ReservedConcurrentExecutions":
        if difference.deployed is None:
            account.functions.delete_function_concurrency(FunctionName=function)
        else:
            account.functions.put_function_concurrency(
                FunctionName=function, ReservedConcurrentExecutions=difference.deployed
            )
    else:
        account.functions.update_function_configuration(
            FunctionName=function, **{difference.field: difference.deployed}
        )
    # Lambda refuses an update while another is under way.
    account.functions.get_waiter("function_updated_v2").wait(FunctionName=function)
    if difference.sweep:
        arn = account.functions.get_function_configuration(FunctionName=function)["FunctionArn"]
        account.functions.untag_resource(Resource=arn, TagKeys=[SWEEP_TAG])


# --- The values of a template ----------------------------------------------------------------------------------------

# The value of what only CloudFormation knows, such as the ARN of a role.
UNKNOWN = "(known to CloudFormation only)"


class Values:
    """Values of a template's properties, where they are known: `references` are those of parameters, and the physical
    names of resources, by what the template calls them.
    """

    def __init__(self, template: dict, references: dict[str, str]):
        self.conditions = template.get("Conditions", {})
        self.references = references

    def of(self, value):
        if isinstance(value, list):
            return [self.of(part) for part in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Ref"}:
            return None if value["Ref"] == "AWS::NoValue" else self.references.get(value["Ref"], UNKNOWN)
        if value.keys() == {"Fn::If"}:
            condition, yes, no = value["Fn::If"]
            return self.of(yes if self.holds({"Condition": condition}) else no)
        if len(value) == 1 and next(iter(value)).startswith("Fn::"):
            return UNKNOWN
        found = {key: self.of(part) for key, part in value.items()}
        return {key: part for key, part in found.items() if part is not None}

    def holds(self, condition: dict) -> bool:
        [(operator, given)] = condition.items()
        if operator == "Condition":
            return self.holds(self.conditions[given])
        if operator == "Fn::Equals":
            return str(self.of(given[0])) == str(self.of(given[1]))
        if operator == "Fn::Not":
            return not self.holds(given[0])
        return (all if operator == "Fn::And" else any)(self.holds(part) for part in given)
