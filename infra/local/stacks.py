"""CloudFormation stacks of SAM templates: moto skips what it does not know, AWS::Serverless resources among it, and
loses a new stack's parameters and outputs on the way through a change set. Here the template is expanded first, as
AWS does, unknown types are refused, and state machines go where executions run.
"""

import copy
import functools
import json
from urllib.parse import urlparse

import moto.stepfunctions.models as stepfunctions
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import ChangeSet, Stack
from moto.cloudformation.parsing import resource_class_from_type
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.iam.models import Role
from moto.logs.models import LogGroup
from moto.s3.models import s3_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

import monitoring

SAM = "AWS::Serverless-2016-10-31"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BODY_LIMIT = 51_200


class NoManagedPolicies:
    """Stands for the loader that asks IAM for the ARNs of managed policies, with the one that SAM needs here."""

    def load(self) -> dict[str, str]:
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def install() -> None:
    """Puts this module's parts into moto."""
    parse_plain = Stack.parse_template

    # Change sets parse their template several times, and an expansion takes a second.
    @functools.lru_cache(maxsize=8)
    def expanded(template: str) -> str:
        return json.dumps(expand(parse_plain(template)))

    def parse(template: str) -> dict:
        return json.loads(expanded(template))

    def parse_change_set(change_set: ChangeSet) -> None:
        change_set.template_dict = parse(change_set.template)
        defaults = {name: slot.get("Default") for name, slot in change_set.template_dict.get("Parameters", {}).items()}
        given = {**{name: value for name, value in defaults.items() if value is not None}, **change_set.parameters}
        # Values are text, as they are on AWS: moto passes previous values on as numbers.
        change_set.parameters = {name: str(value) for name, value in given.items()}

    Stack.parse_template = staticmethod(parse)
    Stack.has_parameters = lambda stack, given: all(
        str(stack.stack_parameters.get(name)) == str(value) for name, value in given.items()
    )
    ChangeSet._parse_template = parse_change_set
    # On AWS a change set without changes is created and then fails; moto refuses the request.
    CloudFormationResponse._validate_different_update = lambda *_: None
    install_templates()
    install_state_machines()
    install_functions()
    install_roles()
    install_log_groups()
    monitoring.install()


def install_templates() -> None:
    """Limits a template in a request to what AWS takes, and reads one from S3 by a path whatever the host's name is."""
    create_change_set = CloudFormationResponse.create_change_set

    def create_limited(response: CloudFormationResponse):
        if len((response._get_param("TemplateBody") or "").encode()) > TEMPLATE_BODY_LIMIT:
            raise ValidationError(
                message="1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
                f"Member must have length less than or equal to {TEMPLATE_BODY_LIMIT}"
            )
        return create_change_set(response)

    def read(response: CloudFormationResponse, url: str) -> str:
        bucket, _, key = urlparse(url).path.lstrip("/").partition("/")
        stored = s3_backends[response.current_account][response.partition].get_object(bucket, key)
        if stored is None:
            raise ValidationError(message=f"S3 error: there is no s3://{bucket}/{key}")
        return stored.value.decode()

    CloudFormationResponse.create_change_set = create_limited
    CloudFormationResponse._get_stack_from_s3_url = read


def expand(template: dict) -> dict:
    """The template with SAM's resources replaced by the ones they stand for."""
    named = template.get("Transform", [])
    if SAM in (named if isinstance(named, list) else [named]):
        try:
            template = transform(copy.deepcopy(template), {}, NoManagedPolicies())
        except InvalidDocumentException as error:
            causes = "; ".join(cause.message for cause in error.causes)
            raise ValidationError(message=f"Transform {SAM} failed with: {causes}") from None
    for name, resource in template.get("Resources", {}).items():
        if resource_class_from_type(resource["Type"]) is None:
            raise ValidationError(message=f"The local stack has no {resource['Type']}, which {name} is")
    return template


def install_functions() -> None:
    """Lets CloudFormation tell functions what moto leaves out: their architecture, tracing, and reserved concurrency
    also at an update, and their variables as text.
    """

    def completed(method):
        def wrapped(cls, *args, **kwargs):
            # moto passes them by position at creation and by name at an update.
            properties = next(value for value in (*args, *kwargs.values()) if isinstance(value, dict))["Properties"]
            variables = properties.get("Environment", {}).get("Variables", {})
            variables.update({name: str(value) for name, value in variables.items()})
            reserved = properties.pop("ReservedConcurrentExecutions", None)
            function = method.__func__(cls, *args, **kwargs)
            backend = lambda_backends[function.account_id][function.region]
            if reserved is None:
                backend.delete_function_concurrency(function.function_name)
            else:
                backend.put_function_concurrency(function.function_name, reserved)
            function.architectures = properties.get("Architectures", ["x86_64"])
            function.tracing_config = properties.get("TracingConfig", {"Mode": "PassThrough"})
            return function

        return classmethod(wrapped)

    LambdaFunction.create_from_cloudformation_json = completed(LambdaFunction.create_from_cloudformation_json)
    LambdaFunction.update_from_cloudformation_json = completed(LambdaFunction.update_from_cloudformation_json)


def install_roles() -> None:
    """Keeps roles' policies as text; moto keeps those of a template as objects, and then answers what is not JSON. Lets
    an update reach a role's policies and boundary, which moto leaves as they are.
    """
    put_plain = Role.put_policy

    def put(role: Role, name: str, document: str | dict) -> None:
        put_plain(role, name, document if isinstance(document, str) else json.dumps(document))

    def update(cls, original_resource: Role, new_resource_name, cloudformation_json, account_id, region_name) -> Role:
        properties = cloudformation_json["Properties"]
        original_resource.assume_role_policy_document = json.dumps(properties["AssumeRolePolicyDocument"])
        original_resource.permissions_boundary_arn = properties.get("PermissionsBoundary") or None
        original_resource.policies.clear()
        for policy in properties.get("Policies", []):
            original_resource.put_policy(policy["PolicyName"], policy["PolicyDocument"])
        return original_resource

    Role.put_policy = put
    Role.update_from_cloudformation_json = classmethod(update)


def install_log_groups() -> None:
    """Lets an update reach a log group's retention, which moto leaves as it is."""

    def update(cls, original_resource: LogGroup, new_resource_name, cloudformation_json, account_id, region_name):
        original_resource.set_retention_policy(cloudformation_json["Properties"].get("RetentionInDays"))
        return original_resource

    LogGroup.update_from_cloudformation_json = classmethod(update)


class BucketPolicy(CloudFormationModel):
    """AWS::S3::BucketPolicy, which moto leaves out."""

    # moto takes the service from it.
    __module__ = "moto.s3.models"

    def __init__(self, bucket: str):
        self.physical_resource_id = bucket

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Bucket"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @classmethod
    def has_cfn_attr(cls, _: str) -> bool:
        return False

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        properties = cloudformation_json["Properties"]
        policy = json.dumps(properties["PolicyDocument"]).encode()
        s3_backends[account_id]["aws"].put_bucket_policy(properties["Bucket"], policy)
        return cls(properties["Bucket"])

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, *account):
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, *account)

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        s3_backends[account_id]["aws"].delete_bucket_policy(resource_name)


def install_state_machines() -> None:
    """Lets CloudFormation make its state machines where executions run, with definitions from S3."""
    # moto has two sets of state machines, and executes only those of the second.
    stepfunctions.stepfunctions_backends = stepfunctions_parser_backends

    def with_definition(method):
        def wrapped(cls, *args, cloudformation_json=None, account_id=None, **kwargs):
            # moto passes them by position at creation and by name at an update.
            args = list(args)
            if cloudformation_json is None:
                cloudformation_json, account_id = args[1], args[2]
            place_definition(cloudformation_json["Properties"], account_id)
            if len(args) < 2:
                kwargs.update(cloudformation_json=cloudformation_json, account_id=account_id)
            machine = method.__func__(cls, *args, **kwargs)
            # moto leaves it out.
            tracing = cloudformation_json["Properties"].get("TracingConfiguration", {})
            machine.tracingConfiguration = {"enabled": tracing.get("Enabled", False)}
            return machine

        return classmethod(wrapped)

    machine = stepfunctions.StateMachine
    machine.create_from_cloudformation_json = with_definition(machine.create_from_cloudformation_json)
    machine.update_from_cloudformation_json = with_definition(machine.update_from_cloudformation_json)


def place_definition(properties: dict, account_id: str) -> None:
    """Puts the definition into DefinitionString, with its substitutions made."""
    if place := properties.pop("DefinitionS3Location", None):
        stored = s3_backends[account_id]["aws"].get_object(place["Bucket"], place["Key"])
        if stored is None:
            raise ValidationError(message=f"There is no s3://{place['Bucket']}/{place['Key']}")
        properties["DefinitionString"] = stored.value.decode()
    definition = properties.get("DefinitionString", "")
    for name, value in properties.pop("DefinitionSubstitutions", {}).items():
        definition = definition.replace(f"${{{name}}}", str(value))
    properties["DefinitionString"] = definition
