"""Change sets: which requests for one are refused, as CloudFormation refuses them, and what each would do.

A resource whose condition does not hold is none: one that a parameter switches on is added. moto compares the
resources' texts alone.
"""

import json
import re

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Change, ChangeSet, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult


def made_resources(resources: ResourceMap) -> list:
    """The resources that there are. moto would make the others to list them."""
    return [resources._parsed_resources[name] for name in resources.resources if name in resources._parsed_resources]


def install() -> None:
    """Puts this module's parts into moto."""
    create_plain, template_plain = CloudFormationResponse.create_change_set, CloudFormationResponse.get_template

    def create_change_set(response: CloudFormationResponse) -> ActionResult:
        name, kind = response._get_param("StackName"), response._get_param("ChangeSetType", "UPDATE")
        on_failure = response._get_param("OnStackFailure")
        body, url = response._get_param("TemplateBody"), response._get_param("TemplateURL")
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]*|arn:.*", name):
            raise ValidationError(
                message=f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*"
            )
        if on_failure == "DELETE" and kind != "CREATE":
            raise ValidationError(message="OnStackFailure=DELETE is only valid for change sets of the type CREATE")
        check_parameters(
            Stack.parse_template(body or response._get_stack_from_s3_url(url)), response._get_param("Parameters", [])
        )
        backend = response.cloudformation_backend
        there = next((stack for stack in backend.stacks.values() if stack.name == name), None)
        if there is not None and there.status == "REVIEW_IN_PROGRESS":
            # A stack that has nothing yet takes another change set. moto would make a second stack.
            del backend.stacks[there.stack_id]
        elif there is not None and (kind == "CREATE" or not may_change(there.status)):
            raise ValidationError(message=f"Stack:{there.stack_id} is in {there.status} state and can not be updated.")
        result = create_plain(response)
        backend.change_sets[result.result["Id"]].on_stack_failure = on_failure
        return result

    def get_template(response: CloudFormationResponse) -> ActionResult:
        if response._get_param("TemplateStage") != "Processed":
            return template_plain(response)
        stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
        return ActionResult({"TemplateBody": json.dumps(stack.template_dict)})

    def update_termination_protection(response: CloudFormationResponse) -> ActionResult:
        stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
        stack.enable_termination_protection = response._get_bool_param("EnableTerminationProtection")
        return ActionResult({"StackId": stack.stack_id})

    ResourceMap.build_resource_diff = resource_diff
    ChangeSet.diff = diff
    Stack.stack_resources = property(lambda stack: made_resources(stack.resource_map))
    CloudFormationResponse.create_change_set = create_change_set
    CloudFormationResponse.get_template = get_template
    CloudFormationResponse.update_termination_protection = update_termination_protection


def may_change(status: str) -> bool:
    return status.endswith("_COMPLETE") and status not in ("ROLLBACK_COMPLETE", "DELETE_COMPLETE")


def check_parameters(template: dict, given: list[dict]) -> None:
    """Refuses values that the template does not allow."""
    for parameter in given:
        key, value = parameter["ParameterKey"], parameter.get("ParameterValue")
        allowed = template.get("Parameters", {}).get(key)
        if allowed is None:
            raise ValidationError(message=f"Parameters: [{key}] do not exist in the template")
        if value is None:
            continue
        if "AllowedValues" in allowed and value not in map(str, allowed["AllowedValues"]):
            raise ValidationError(message=f"Parameter '{key}' must be one of AllowedValues")
        if "AllowedPattern" in allowed and not re.fullmatch(allowed["AllowedPattern"], value):
            raise ValidationError(message=f"Parameter {key} failed to satisfy constraint: {allowed['AllowedPattern']}")
        if allowed["Type"] == "Number":
            low, high = allowed.get("MinValue", "-inf"), allowed.get("MaxValue", "inf")
            if not float(low) <= float(value) <= float(high):
                raise ValidationError(message=f"Parameter '{key}' must be a number from {low} to {high}")


def diff(change_set: ChangeSet) -> list[Change]:
    old, new = change_set.stack.template_dict.get("Resources", {}), change_set.template_dict["Resources"]
    actions = change_set.stack.resource_map.build_resource_diff(change_set.template_dict, change_set.parameters)
    return [Change(action, name, {**old, **new}[name]["Type"]) for action, names in actions.items() for name in names]


def resource_diff(resources: ResourceMap, template: dict, parameters: dict | None = None) -> dict[str, list[str]]:
    """What is to be added, modified and removed."""
    given = dict(parameters if parameters is not None else resources.input_parameters)
    new = ResourceMap(
        resources.stack_id,
        resources["AWS::StackName"],
        given,
        {},
        resources._region_name,
        resources._account_id,
        template,
        resources.cross_stack_resources,
    )
    new.load()
    wanted = {
        name: resource
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or new.lazy_condition_map[resource["Condition"]]
    }
    names = [made.logical_resource_id for made in made_resources(resources)]
    there = {name: resources._resource_json_map[name] for name in names}
    changed = {name for name, value in given.items() if str(resources.input_parameters.get(name)) != str(value)}
    # A condition depends on parameters, and on other conditions.
    conditions = template.get("Conditions", {})
    for _ in conditions:
        changed |= {name for name, condition in conditions.items() if mentions(condition, changed)}
    return {
        "Add": [name for name in wanted if name not in there],
        "Modify": [
            name
            for name in wanted
            if name in there and (wanted[name] != there[name] or mentions(wanted[name], changed))
        ],
        "Remove": [name for name in there if name not in wanted],
    }


def mentions(value, names: set[str]) -> bool:
    """Whether a part of a template depends on parameters or conditions of these names."""
    if isinstance(value, list):
        return any(mentions(part, names) for part in value)
    if isinstance(value, str):
        return any(f"${{{name}}}" in value for name in names)
    if not isinstance(value, dict):
        return False
    named = [value.get("Ref"), value.get("Condition"), *(value.get("Fn::If") or [None])[:1]]
    return any(name in names for name in named if isinstance(name, str)) or mentions(list(value.values()), names)
