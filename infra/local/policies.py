"""IAM policies, evaluated as
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html tells, without boundaries,
service control policies and policy variables. What is not known here raises ValueError, lest it pass unseen.
"""

import functools
import re
from collections.abc import Iterable


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern of IAM, where * stands for any characters and ? for one."""
    if "${" in pattern:
        raise ValueError(f"the local stack knows no policy variables, as in {pattern}")
    return compiled(pattern).fullmatch(text) is not None


@functools.cache
def compiled(pattern: str) -> re.Pattern:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def listed(value) -> list:
    return value if isinstance(value, list) else [value]


def equal(wanted: str, found: str) -> bool:
    return wanted == found


def equal_ignoring_case(wanted: str, found: str) -> bool:
    return wanted.lower() == found.lower()


CONDITIONS = {
    "StringEquals": equal,
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": equal_ignoring_case,
}


def conditions_hold(statement: dict, context: dict[str, str]) -> bool:
    for operator, keys in statement.get("Condition", {}).items():
        if operator not in CONDITIONS:
            raise ValueError(f"the local stack does not know the condition operator {operator}")
        for key, wanted in keys.items():
            # A key that the request does not have fulfils no condition.
            if key not in context or not any(
                CONDITIONS[operator](str(value), context[key]) for value in listed(wanted)
            ):
                return False
    return True


def concerns(statement: dict, action: str, resource: str | None) -> bool:
    if unknown := statement.keys() & {"NotAction", "NotResource", "NotPrincipal"}:
        raise ValueError(f"the local stack does not know {', '.join(unknown)}")
    if not any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"])):
        return False
    return resource is None or any(matches(pattern, resource) for pattern in listed(statement["Resource"]))


def decision(policies: Iterable[dict], action: str, resource: str | None, context: dict[str, str]) -> str | None:
    """`Allow`, `Deny`, or None where no statement speaks of the action. A resource of None asks a policy without
    resources, as trust policies are.
    """
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in listed(policy.get("Statement", []))
        if concerns(statement, action, resource) and conditions_hold(statement, context)
    }
    return "Deny" if "Deny" in effects else "Allow" if effects else None
