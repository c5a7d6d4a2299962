"""The stack: which state it is in and what can be done with it then, change sets, waiting for the end of what
CloudFormation does, and what a failed creation leaves.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html lists the states.
"""

import time

from botocore.exceptions import ClientError

from deployment.account import Account, Refused, code

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
TAGS = [{"Key": "project", "Value": "cosmic"}]

UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "IMPORT_COMPLETE"}
DEPLOYED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
# What is left of a creation or a deletion that failed. It can only be deleted.
REMAINS = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
# A creation that fails passes through CREATE_FAILED before CloudFormation deletes the stack.
PASSING = frozenset({"CREATE_FAILED"})
PASSING_SECONDS = 60
# The reason in the first event of an operation that somebody asked for.
USER_INITIATED = "User Initiated"


class Interrupted(Exception):
    """Ctrl-C, while CloudFormation goes on; the text says how to follow it."""


def find(account: Account, name: str) -> dict | None:
    """The stack in any state. A name that only a deleted one had is none's."""
    try:
        stack = account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    # A stack that has only a change set has nothing of anybody's yet, a description neither.
    ours = stack["StackStatus"] == "REVIEW_IN_PROGRESS" or {"Key": "project", "Value": "cosmic"} in stack.get(
        "Tags", []
    )
    if not ours and not stack.get("Description", "").startswith("Cosmic"):
        raise Refused(
            f"there is a stack {name} in {account.region} that is not Cosmic's (it lacks the tag project=cosmic): "
            "choose another --stack-name"
        )
    return stack


def stack_to_update(account: Account, name: str, dry_run: bool, log) -> dict | None:
    """The stack that is to be updated, or None where one is to be created: what is left of a creation that failed is
    deleted first.
    """
    stack = find(account, name)
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        # An attempt that was interrupted before anything was made leaves a change set alone.
        return None
    state = stack["StackStatus"]
    if state in UPDATABLE:
        return stack
    if state.endswith("_IN_PROGRESS"):
        raise Refused(
            f"the stack {name} is being changed by another deployment ({state}): wait for its end, which "
            f"`{command(account, name)} --follow` shows, then run this again"
        )
    if state in REMAINS and dry_run:
        raise Refused(f"the stack {name} is in {state}, which a deployment would delete first: a dry run cannot")
    if state in REMAINS:
        log(f"deleting what is left of the stack {name}, which is in {state}")
        remove(account, stack, log)
        delete_bucket_of_failed_creation(account, stack, log)
        return None
    if state == "UPDATE_ROLLBACK_FAILED":
        raise Refused(
            f"the stack {name} could not go back after an update that failed ({state}), and takes no other update "
            f"before it has:\n{reasons(account, stack)}\nmend that, go back with `aws cloudformation "
            f"continue-update-rollback --stack-name {name} --region {account.region}`, then run this again"
        )
    raise Refused(f"the stack {name} is in {state}, from which it cannot be updated")


def command(account: Account, name: str) -> str:
    return f"./scripts/deploy.sh --stack-name {name} --region {account.region}"


# --- Change sets -----------------------------------------------------------------------------------------------------


def make_change_set(
    account: Account,
    name: str,
    stack: dict | None,
    template: dict,
    template_url: str,
    parameters: dict,
    *,
    validates: bool = True,
) -> str | None:
    """The change set's ARN; None where it would change nothing. CloudFormation validates it against what is there, by
    which a name that is taken fails it, unless `validates` is false.
    """
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    kept = parameters_of(stack).keys() if stack else set()
    given += [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in template["Parameters"]
        if key in kept and key not in parameters
    ]
    # A stack whose creation fails is deleted, so that the next attempt finds nothing.
    kind = {"ChangeSetType": "UPDATE"} if stack else {"ChangeSetType": "CREATE", "OnStackFailure": "DELETE"}
    made = account.cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"deploy-{time.time_ns()}",
        TemplateURL=template_url,
        Parameters=given,
        Capabilities=CAPABILITIES,
        Tags=TAGS,
        **kind,
        **({} if validates else {"DisableValidation": True}),
    )
    while True:
        described = account.cloudformation.describe_change_set(ChangeSetName=made["Id"], StackName=name)
        if described["Status"] == "CREATE_COMPLETE":
            return made["Id"]
        if described["Status"] == "FAILED":
            reason = described.get("StatusReason", "")
            # CloudFormation reports it in no other way than by this text.
            changes_nothing = "didn't contain changes" in reason or "No updates are to be performed" in reason
            # The events go with the change set.
            said = "" if changes_nothing else validation_errors(account, made["Id"])
            discard(account, name, stack, made["Id"])
            if changes_nothing:
                return None
            raise Refused(f"CloudFormation does not take the template: {reason}{said}")
        time.sleep(account.poll_seconds)


def validation_errors(account: Account, change_set: str) -> str:
    """The resources for which a change set failed, and why, a line for each. The status of a change set that
    CloudFormation's validation fails names no resource:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html
    """
    try:
        pages = account.cloudformation.get_paginator("describe_events").paginate(
            ChangeSetName=change_set, Filters={"FailedEvents": True}
        )
        events = [event for page in pages for event in page["OperationEvents"]]
    except ClientError:
        # The change set's own reason is to be told in any case, also to somebody who may not read these.
        return ""
    reasons_of = ("ValidationStatusReason", "HookStatusReason", "ResourceStatusReason")
    said = [
        f"\n  {event.get('LogicalResourceId', event['EventType'])}: {event[field]}"
        for event in events
        for field in reasons_of
        if event.get(field) and event.get("ValidationFailureMode") != "WARN"
    ]
    return "".join(dict.fromkeys(said))


def parameters_of(stack: dict) -> dict[str, str]:
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack.get("Parameters", [])}


def changes_of(account: Account, name: str, change_set: str) -> list[dict]:
    pages = account.cloudformation.get_paginator("describe_change_set").paginate(
        ChangeSetName=change_set, StackName=name
    )
    changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    return [
        {"action": change["Action"], "resource": change["LogicalResourceId"], "type": change["ResourceType"]}
        for change in changes
    ]


def discard(account: Account, name: str, stack: dict | None, change_set: str | None) -> None:
    """Deletes a change set, and the empty stack that it made."""
    if change_set is not None:
        account.cloudformation.delete_change_set(ChangeSetName=change_set, StackName=name)
        if stack is None:
            account.cloudformation.delete_stack(StackName=name)


# --- What CloudFormation does ----------------------------------------------------------------------------------------


def execute(account: Account, name: str, creates: bool, change_set: str, log) -> None:
    """Executes a change set, and waits until the stack is deployed. Raises Refused, with the resources' reasons, if
    that fails.
    """
    # A stack whose creation failed may be gone at the first look, and can only be asked for by its id then.
    stack_id = account.cloudformation.describe_change_set(ChangeSetName=change_set, StackName=name)["StackId"]
    account.cloudformation.execute_change_set(ChangeSetName=change_set, StackName=name)
    check_deployed(account, wait(account, name, stack_id, PASSING if creates else frozenset()), creates, log)


def wait_for_end(account: Account, stack: dict, log) -> dict:
    """Waits for the end of what CloudFormation does with a stack, and gives the stack then. Raises Refused, with the
    resources' reasons, if it fails.
    """
    name, state = stack["StackName"], stack["StackStatus"]
    if state == "REVIEW_IN_PROGRESS":
        raise Refused(
            f"nothing is under way: the stack {name} has a change set that was not executed: run "
            f"`{command(account, name)}`"
        )
    deletes = state.startswith("DELETE_")
    if deletes and deletion_was_asked_for(account, stack):
        ended = wait(account, name, stack["StackId"])
        check_deleted(account, ended, log)
        return ended
    # A creation that failed is in one of these too, when CloudFormation rolls it back or deletes it.
    creates = deletes or state.startswith(("CREATE_", "ROLLBACK_"))
    ended = wait(account, name, stack["StackId"], PASSING if creates else frozenset())
    check_deployed(account, ended, creates, log)
    return ended


def check_deployed(account: Account, stack: dict, creates: bool, log) -> None:
    """Raises Refused, with the resources' reasons, unless the creation or update that has ended deployed the stack."""
    name, state = stack["StackName"], stack["StackStatus"]
    if state in DEPLOYED:
        log(f"{name}: {state}")
        return
    said = reasons(account, stack)
    if state == "UPDATE_ROLLBACK_COMPLETE":
        raise Refused(f"the stack {name} could not be updated, and is as it was before:\n{said}")
    if not creates:
        raise Refused(f"the stack {name} could not be updated, and ended in {state}:\n{said}")
    if state == "DELETE_COMPLETE":
        delete_bucket_of_failed_creation(account, stack, log)
        # A deleted stack's name tells CloudFormation nothing.
        left = (
            "nothing of it is left: mend that, then run this again\nall events: `aws cloudformation "
            f"describe-stack-events --stack-name {stack['StackId']} --region {account.region}`"
        )
    else:
        left = f"its rest is in {state}: mend that, then run this again, which deletes the rest first"
    raise Refused(f"the stack {name} could not be created:\n{said}\n{left}")


def wait(account: Account, name: str, stack_id: str, passing: frozenset = frozenset()) -> dict:
    """The stack, once CloudFormation has ended what it does with it. States in `passing` are waited out for a while."""
    passing_since = None
    try:
        while True:
            stack = account.cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
            state = stack["StackStatus"]
            if state in passing:
                passing_since = passing_since or time.monotonic()
            if not state.endswith("_IN_PROGRESS") and (
                state not in passing or time.monotonic() - passing_since > PASSING_SECONDS
            ):
                return stack
            time.sleep(account.poll_seconds)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: CloudFormation goes on with the stack {name}; follow it with "
            f"`{command(account, name)} --follow`"
        ) from None


def reasons(account: Account, stack: dict) -> str:
    """Why the last operation on a stack failed: the resource and the reason of each failure, the first one first."""
    failures = []
    pages = account.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    for event in (event for page in pages for event in page["StackEvents"]):
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and reason:
            failures.append((event["LogicalResourceId"], reason))
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and reason == USER_INITIATED:
            # The first event of the operation.
            break
    failures.reverse()
    # Those that follow from others: cancellations, and the stack's own line that counts the failed resources.
    causes = [
        (resource, reason)
        for resource, reason in failures
        if "cancelled" not in reason and resource != stack["StackName"]
    ]
    said = [f"  {resource}: {reason}" for resource, reason in causes or failures]
    return "\n".join(said) or f"  {stack.get('StackStatusReason', 'CloudFormation gives no reason')}"


def delete_bucket_of_failed_creation(account: Account, stack: dict, log) -> None:
    """Deletes the data bucket that a failed creation made, if it is still there and empty. Its DeletionPolicy, by which
    a stack that is deleted leaves its bucket, would otherwise keep the next attempt from making it. AWS's documentation
    says that RetainExceptOnCreate deletes the bucket where a creation is rolled back, and does not speak of
    OnStackFailure=DELETE.
    """
    bucket = parameters_of(stack).get("DataBucketName")
    if not bucket:
        return
    try:
        tags = account.s3.get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=account.id)["TagSet"]
        if {"Key": "aws:cloudformation:stack-id", "Value": stack["StackId"]} in tags:
            account.s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)
            log(f"deleted the bucket {bucket}, which was made for it and is empty")
    except ClientError as error:
        if code(error) not in ("NoSuchBucket", "NoSuchTagSet", "BucketNotEmpty", "AccessDenied"):
            raise


def remove(account: Account, stack: dict, log) -> None:
    """Deletes a stack, and waits until it is gone."""
    account.cloudformation.delete_stack(StackName=stack["StackId"])
    check_deleted(account, wait(account, stack["StackName"], stack["StackId"]), log)


def check_deleted(account: Account, stack: dict, log) -> None:
    """Raises Refused, with the resources' reasons, unless the deletion that has ended left nothing of the stack."""
    name, state = stack["StackName"], stack["StackStatus"]
    if state != "DELETE_COMPLETE":
        raise Refused(
            f"the stack {name} could not be deleted ({state}):\n{reasons(account, stack)}\n"
            f"delete these by hand, then `{command(account, name)} --delete`"
        )
    log(f"{name}: DELETE_COMPLETE")


def deletion_was_asked_for(account: Account, stack: dict) -> bool:
    """Whether somebody deleted the stack, and not CloudFormation because its creation had failed."""
    pages = account.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    for event in (event for page in pages for event in page["StackEvents"]):
        if (
            event["ResourceType"] == "AWS::CloudFormation::Stack"
            and event.get("ResourceStatusReason") == USER_INITIATED
        ):
            return event["ResourceStatus"] == "DELETE_IN_PROGRESS"
    return True
