"""What CloudFormation does with the resources of a stack: one after another, with an event for each, by the permissions
of whoever asked for it, and back again where one fails. moto makes and deletes them without any of this.

A creation that fails is rolled back, or deleted where its change set says OnStackFailure=DELETE. Then
RetainExceptOnCreate keeps nothing, because the operation that created the resource is undone; in any other deletion it
is as Retain. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
"""

import contextvars
import threading
import time
from collections.abc import Callable

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Event, Stack, cloudformation_backends
from moto.cloudformation.parsing import OutputMap, ResourceMap
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends

from options import Options
from permissions import CALLER
from resource_permissions import needed

# What a resource is called that is made, changed or deleted now, in the options' `fail_resources` and in events.
CREATE, UPDATE, DELETE, ROLLBACK = "CREATE", "UPDATE", "DELETE", "ROLLBACK"
# The deletion policies that keep a resource.
KEPT, KEPT_BY_ROLLBACKS = {"Retain", "RetainExceptOnCreate"}, {"Retain"}

# Which deletion policies keep a resource in the operation under way, and whether it is an update that goes back.
KEPT_NOW: contextvars.ContextVar[set[str]] = contextvars.ContextVar("KEPT_NOW", default=KEPT)
GOES_BACK: contextvars.ContextVar[bool] = contextvars.ContextVar("GOES_BACK", default=False)


class ResourceFailed(Exception):
    """A resource that could not be made, changed or deleted."""


class InvalidChangeSetStatus(CloudFormationError):
    code = "InvalidChangeSetStatus"


def install(options: Options) -> None:
    """Puts this module's parts into moto."""

    def begin(operation: Callable[[], None]) -> None:
        """Does it now, or, if operations are to take a while, in the background."""
        if not options.stack_seconds:
            return operation()
        context = contextvars.copy_context()

        def later() -> None:
            time.sleep(options.stack_seconds)
            context.run(operation)

        threading.Thread(target=later, daemon=True).start()

    def check(stack: Stack, operation: str, logical_id: str, physical_id: str, resource: dict) -> None:
        """Raises ResourceFailed where the options or the caller's permissions do not let it be."""
        if operation in options.fail_resources.get(logical_id, ()):
            raise ResourceFailed(f"Resource handler returned message: the local stack was told to fail ({operation})")
        caller = CALLER.get()
        for action, arn, context in needed(stack, operation, physical_id, resource) if caller else ():
            if not caller.allows(action, arn, context):
                options.count(f"AccessDenied {action}")
                raise ResourceFailed(
                    f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn} because no policy "
                    f"allows the {action} action"
                )

    def create(logical_id: str, template: dict, resources: ResourceMap, account_id: str, region_name: str):
        if (condition := template.get("Condition")) and not resources.lazy_condition_map[condition]:
            return None
        # Those that it refers to are made on the way.
        kind, described, name = parsing.parse_resource_and_generate_name(logical_id, template, resources)
        stack = stack_of(resources)
        add_event(stack, logical_id, template["Type"], "CREATE_IN_PROGRESS")
        try:
            check(stack, CREATE, logical_id, name, described)
            refuse_existing(name, described, account_id, region_name)
            made = kind.create_from_cloudformation_json(
                name,
                described,
                account_id,
                region_name,
                LogicalId=logical_id,
                StackId=resources.stack_id,
                ResourceType=template["Type"],
            )
        except Exception as error:
            add_event(stack, logical_id, template["Type"], "CREATE_FAILED", reason(error))
            raise
        made.cf_resource_type, made.logical_resource_id = template["Type"], logical_id
        if template["Type"] == "AWS::S3::Bucket":
            tag_bucket(stack, logical_id, name, described)
        add_event(stack, logical_id, template["Type"], "CREATE_COMPLETE", physical_id=made.physical_resource_id)
        return made

    def update(logical_id: str, template: dict, resources: ResourceMap, account_id: str, region_name: str):
        stack, there = stack_of(resources), resources[logical_id]
        if stack.events[-1].resource_status != "UPDATE_FAILED":
            # moto tries an update several times.
            add_event(stack, logical_id, template["Type"], "UPDATE_IN_PROGRESS")
        try:
            _, described, _ = parsing.parse_resource_and_generate_name(logical_id, template, resources)
            check(stack, ROLLBACK if GOES_BACK.get() else UPDATE, logical_id, there.physical_resource_id, described)
            # moto gives nothing for kinds of resources that it cannot update.
            changed = update_plain(logical_id, template, resources, account_id, region_name) or there
        except Exception as error:
            add_event(stack, logical_id, template["Type"], "UPDATE_FAILED", reason(error))
            raise
        # moto makes some kinds of resources anew, without these.
        changed.cf_resource_type, changed.logical_resource_id = template["Type"], logical_id
        add_event(stack, logical_id, template["Type"], "UPDATE_COMPLETE")
        return changed

    def delete_resource(resources: ResourceMap, there, template: dict) -> None:
        stack, logical_id = stack_of(resources), there.logical_resource_id
        if template.get("DeletionPolicy") in KEPT_NOW.get():
            add_event(stack, logical_id, template["Type"], "DELETE_SKIPPED")
        else:
            add_event(stack, logical_id, template["Type"], "DELETE_IN_PROGRESS")
            try:
                check(stack, DELETE, logical_id, there.physical_resource_id, template)
                delete_plain(resources, there, template)
            except Exception as error:
                add_event(stack, logical_id, template["Type"], "DELETE_FAILED", reason(error))
                raise
            add_event(stack, logical_id, template["Type"], "DELETE_COMPLETE")
        resources._parsed_resources.pop(logical_id, None)

    def execute_change_set(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        change_set = backend.describe_change_set(change_set_name)
        if change_set.execution_status != "AVAILABLE":
            raise InvalidChangeSetStatus(f"ChangeSet [{change_set.change_set_id}] cannot be executed")
        stack = backend.stacks[change_set.stack_id]
        change_set.execution_status = "EXECUTE_COMPLETE"
        if change_set.change_set_type == "UPDATE":
            stack.status = "UPDATE_IN_PROGRESS"
            return begin(lambda: update_stack(stack, change_set))
        # Parameters and references are looked at here, before anything is made.
        made = Stack(
            stack_id=stack.stack_id,
            name=stack.name,
            template=change_set.template,
            parameters=change_set.parameters,
            account_id=stack.account_id,
            region_name=stack.region_name,
            tags=change_set.tags,
            role_arn=change_set.role_arn,
            notification_arns=change_set.notification_arns,
            cross_stack_resources=backend.exports,
        )
        made.events, made.status = stack.events, "CREATE_IN_PROGRESS"
        made._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
        hide_outputs(made)
        backend.stacks[stack.stack_id] = made
        begin(lambda: create_stack(backend, made, getattr(change_set, "on_stack_failure", None) or ROLLBACK))

    def create_stack(backend: CloudFormationBackend, stack: Stack, on_failure: str) -> None:
        try:
            stack.create_resources()
            stack.output_map = stack._create_output_map()
            return
        except Exception as error:  # Whatever a resource meets, the stack's events must tell it.
            said = f"The following resource(s) failed to create: {failed_resources(stack, error)}"
        hide_outputs(stack)
        if on_failure == "DO_NOTHING":
            set_status(stack, "CREATE_FAILED", said)
        elif on_failure == DELETE:
            set_status(stack, "CREATE_FAILED", said)
            set_status(stack, "DELETE_IN_PROGRESS", "Deletion requested by OnStackFailure")
            delete_all(backend, stack, KEPT if options.retain_on_stack_failure else KEPT_BY_ROLLBACKS, DELETE)
        else:
            set_status(stack, "ROLLBACK_IN_PROGRESS", f"{said}. Rollback requested by user.")
            delete_all(backend, stack, KEPT_BY_ROLLBACKS, ROLLBACK)

    def update_stack(stack: Stack, change_set) -> None:
        template, parameters = stack.template, stack.parameters
        try:
            stack.update(change_set.template, change_set.role_arn, change_set.parameters, change_set.tags)
            return
        except Exception as error:
            failed = failed_resources(stack, error)
            set_status(stack, "UPDATE_ROLLBACK_IN_PROGRESS", f"The following resource(s) failed to update: {failed}")
        going_back, kept = GOES_BACK.set(True), KEPT_NOW.set(KEPT_BY_ROLLBACKS)
        try:
            stack.template = template
            stack._parse_template()
            stack.resource_map.update(stack.template_dict, parameters)
            stack.output_map = stack._create_output_map()
            set_status(stack, "UPDATE_ROLLBACK_COMPLETE")
        except Exception as error:
            failed = failed_resources(stack, error)
            set_status(stack, "UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: {failed}")
        finally:
            GOES_BACK.reset(going_back)
            KEPT_NOW.reset(kept)

    def delete_stack(backend: CloudFormationBackend, name_or_id: str) -> None:
        stack = next((s for s in backend.stacks.values() if name_or_id in (s.name, s.stack_id)), None)
        if stack is None:
            return
        if stack.enable_termination_protection:
            raise ValidationError(
                message=f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status.startswith("UPDATE_") and stack.status.endswith("_IN_PROGRESS"):
            raise ValidationError(message=f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        set_status(stack, "DELETE_IN_PROGRESS", "User Initiated")
        begin(lambda: delete_all(backend, stack, KEPT, DELETE))

    def delete_all(backend: CloudFormationBackend, stack: Stack, kept: set[str], operation: str) -> None:
        """Deletes what there is of a stack's resources, the last one first, and the stack if all of it went."""
        resources, failed = stack.resource_map, []
        hide_outputs(stack)
        keeps = KEPT_NOW.set(kept)
        try:
            # In the order in which they were made: each after those that it refers to.
            for logical_id in reversed([name for name in resources._parsed_resources if name in resources.resources]):
                template = resources._resource_json_map[logical_id]
                try:
                    resources._delete_resource(resources._parsed_resources[logical_id], template)
                except Exception:
                    # The event says why. The others are deleted all the same.
                    failed.append(logical_id)
        finally:
            KEPT_NOW.reset(keeps)
        if failed:
            set_status(
                stack, f"{operation}_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]"
            )
            return
        set_status(stack, f"{operation}_COMPLETE")
        if operation == DELETE:
            backend.stacks.pop(stack.stack_id, None)
            backend.deleted_stacks[stack.stack_id] = stack

    update_plain, delete_plain = parsing.parse_and_update_resource, ResourceMap._delete_resource
    parsing.parse_and_create_resource = create
    parsing.parse_and_update_resource = update
    ResourceMap._delete_resource = delete_resource
    CloudFormationBackend.execute_change_set = execute_change_set
    CloudFormationBackend.delete_stack = delete_stack


# --- Resources -------------------------------------------------------------------------------------------------------


def stack_of(resources: ResourceMap) -> Stack:
    return cloudformation_backends[resources._account_id][resources._region_name].stacks[resources.stack_id]


def refuse_existing(name: str, resource: dict, account_id: str, region: str) -> None:
    """Refuses what is there already, where moto would take it over."""
    kind, properties = resource["Type"], resource["Properties"]
    there = (kind == "AWS::S3::Bucket" and name in s3_backends[account_id]["aws"].buckets) or (
        kind == "AWS::Logs::LogGroup" and properties["LogGroupName"] in logs_backends[account_id][region].groups
    )
    if there:
        raise ResourceFailed(f"Resource of type '{kind}' with identifier '{name}' already exists.")


def tag_bucket(stack: Stack, logical_id: str, bucket: str, resource: dict) -> None:
    """Gives a bucket the tags that CloudFormation gives to what it makes."""
    tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
    tags |= {
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.stack_id,
        "aws:cloudformation:logical-id": logical_id,
    }
    s3_backends[stack.account_id]["aws"].put_bucket_tagging(bucket, tags)


# --- Events ----------------------------------------------------------------------------------------------------------


def reason(error: Exception) -> str:
    return getattr(error, "message", None) or str(error) or type(error).__name__


def set_status(stack: Stack, status: str, why: str | None = None) -> None:
    stack.status = status
    stack._add_stack_event(status, resource_status_reason=why)


def add_event(
    stack: Stack, logical_id: str, kind: str, status: str, why: str | None = None, physical_id: str | None = None
) -> None:
    last = stack.events[-1] if stack.events else None
    if why and last and (last.logical_resource_id, last.resource_status_reason) == (logical_id, why):
        return
    stack.events.append(Event(stack.stack_id, stack.name, logical_id, physical_id or "", kind, status, why, None))


def failed_resources(stack: Stack, error: Exception) -> str:
    """The names of the resources that failed in the operation that ended with an error. An error that is no resource's
    is given in their place.
    """
    names = []
    for event in reversed(stack.events):
        if event.resource_type == "AWS::CloudFormation::Stack":
            break
        if event.resource_status.endswith("_FAILED"):
            names.append(event.logical_resource_id)
    return f"[{', '.join(dict.fromkeys(reversed(names)))}]" if names else reason(error)


def hide_outputs(stack: Stack) -> None:
    """Leaves the stack without outputs, as it is until it is made: moto would make resources to give their values."""
    stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)
