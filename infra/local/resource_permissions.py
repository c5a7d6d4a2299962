"""What CloudFormation asks of the services for each resource, in the name of whoever deploys: the actions of the
resource types' handlers, as their published schemas list them (`aws cloudformation describe-type --type RESOURCE
--type-name AWS::IAM::Role`, under `handlers`), without those for properties that Cosmic's template does not use.
"""

from moto.cloudformation.models import Stack

CREATE, UPDATE, DELETE, ROLLBACK = "CREATE", "UPDATE", "DELETE", "ROLLBACK"

# (service, form of the resource's ARN, actions by operation). What only reads is needed in every operation.
HANDLERS: dict[str, tuple[str, str, dict[str, list[str]]]] = {
    "AWS::IAM::Role": (
        "iam",
        "arn:aws:iam::{account}:role/{name}",
        {
            CREATE: ["CreateRole", "PutRolePolicy", "GetRole", "GetRolePolicy", "TagRole"],
            UPDATE: ["UpdateAssumeRolePolicy", "PutRolePolicy", "DeleteRolePolicy", "GetRole", "GetRolePolicy"],
            DELETE: ["DeleteRole", "DeleteRolePolicy", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies"],
        },
    ),
    "AWS::IAM::Policy": (
        "iam",
        "arn:aws:iam::{account}:role/{role}",
        {
            CREATE: ["PutRolePolicy", "GetRolePolicy"],
            UPDATE: ["PutRolePolicy", "GetRolePolicy"],
            DELETE: ["DeleteRolePolicy", "GetRolePolicy"],
        },
    ),
    "AWS::Lambda::Function": (
        "lambda",
        "arn:aws:lambda:{region}:{account}:function:{name}",
        {
            CREATE: ["CreateFunction", "GetFunction", "TagResource"],
            UPDATE: ["UpdateFunctionCode", "UpdateFunctionConfiguration", "GetFunction", "GetFunctionConfiguration"],
            DELETE: ["DeleteFunction", "GetFunction"],
        },
    ),
    "AWS::StepFunctions::StateMachine": (
        "states",
        "arn:aws:states:{region}:{account}:stateMachine:{name}",
        {
            CREATE: ["CreateStateMachine", "DescribeStateMachine", "TagResource"],
            UPDATE: ["UpdateStateMachine", "DescribeStateMachine", "ListTagsForResource"],
            DELETE: ["DeleteStateMachine", "DescribeStateMachine"],
        },
    ),
    "AWS::S3::Bucket": (
        "s3",
        "arn:aws:s3:::{name}",
        {
            CREATE: [
                "CreateBucket",
                "PutBucketOwnershipControls",
                "PutBucketPublicAccessBlock",
                "PutBucketTagging",
                "PutEncryptionConfiguration",
                "PutLifecycleConfiguration",
            ],
            UPDATE: [
                "PutBucketOwnershipControls",
                "PutBucketPublicAccessBlock",
                "PutBucketTagging",
                "PutEncryptionConfiguration",
                "PutLifecycleConfiguration",
            ],
            DELETE: ["DeleteBucket"],
        },
    ),
    "AWS::S3::BucketPolicy": (
        "s3",
        "arn:aws:s3:::{name}",
        {
            CREATE: ["GetBucketPolicy", "PutBucketPolicy"],
            UPDATE: ["GetBucketPolicy", "PutBucketPolicy"],
            DELETE: ["GetBucketPolicy", "DeleteBucketPolicy"],
        },
    ),
    "AWS::Logs::LogGroup": (
        "logs",
        "arn:aws:logs:{region}:{account}:log-group:{name}:log-stream:",
        {
            CREATE: ["CreateLogGroup", "DescribeLogGroups", "PutRetentionPolicy", "TagResource"],
            UPDATE: ["DescribeLogGroups", "PutRetentionPolicy"],
            DELETE: ["DeleteLogGroup", "DescribeLogGroups"],
        },
    ),
    "AWS::Logs::MetricFilter": (
        "logs",
        "arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:",
        {
            CREATE: ["PutMetricFilter", "DescribeMetricFilters"],
            UPDATE: ["PutMetricFilter", "DescribeMetricFilters"],
            DELETE: ["DeleteMetricFilter", "DescribeMetricFilters"],
        },
    ),
    "AWS::Logs::QueryDefinition": (
        "logs",
        "*",
        {
            CREATE: ["PutQueryDefinition", "DescribeQueryDefinitions"],
            UPDATE: ["PutQueryDefinition", "DescribeQueryDefinitions"],
            DELETE: ["DeleteQueryDefinition", "DescribeQueryDefinitions"],
        },
    ),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch",
        "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
        {
            CREATE: ["PutMetricAlarm", "DescribeAlarms", "TagResource"],
            UPDATE: ["PutMetricAlarm", "DescribeAlarms"],
            DELETE: ["DeleteAlarms", "DescribeAlarms"],
        },
    ),
    "AWS::CloudWatch::Dashboard": (
        "cloudwatch",
        "arn:aws:cloudwatch::{account}:dashboard/{name}",
        {
            CREATE: ["PutDashboard", "GetDashboard"],
            UPDATE: ["PutDashboard", "GetDashboard"],
            DELETE: ["DeleteDashboards", "GetDashboard"],
        },
    ),
    "AWS::SNS::Topic": (
        "sns",
        "arn:aws:sns:{region}:{account}:{name}",
        {
            CREATE: ["CreateTopic", "GetTopicAttributes", "SetTopicAttributes", "Subscribe", "TagResource"],
            UPDATE: [
                "GetTopicAttributes",
                "SetTopicAttributes",
                "Subscribe",
                "Unsubscribe",
                "ListSubscriptionsByTopic",
            ],
            DELETE: ["DeleteTopic", "GetTopicAttributes", "ListSubscriptionsByTopic", "Unsubscribe"],
        },
    ),
    "AWS::SNS::TopicPolicy": (
        "sns",
        "arn:aws:sns:{region}:{account}:{topic}",
        {CREATE: ["SetTopicAttributes"], UPDATE: ["SetTopicAttributes"], DELETE: ["SetTopicAttributes"]},
    ),
    "AWS::SNS::Subscription": (
        "sns",
        "arn:aws:sns:{region}:{account}:{topic}",
        {
            CREATE: ["Subscribe", "GetSubscriptionAttributes"],
            UPDATE: ["Subscribe", "Unsubscribe", "GetSubscriptionAttributes", "SetSubscriptionAttributes"],
            DELETE: ["Unsubscribe", "GetSubscriptionAttributes"],
        },
    ),
    "AWS::Events::Rule": (
        "events",
        "arn:aws:events:{region}:{account}:rule/{name}",
        {
            CREATE: ["DescribeRule", "PutRule", "PutTargets"],
            UPDATE: ["DescribeRule", "PutRule", "PutTargets", "RemoveTargets"],
            DELETE: ["DeleteRule", "DescribeRule", "ListTargetsByRule", "RemoveTargets"],
        },
    ),
}

# Actions on a subscription, for which IAM knows no resource:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
WITHOUT_RESOURCE = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}

# The properties that hold a resource's name, or that of the bucket that it is about.
NAMES = (
    "BucketName",
    "Bucket",
    "FunctionName",
    "StateMachineName",
    "LogGroupName",
    "AlarmName",
    "DashboardName",
    "TopicName",
)

# Who is given a role, by the type of the resource that has it.
PASSED_TO = {
    "AWS::Lambda::Function": ("Role", "lambda.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": ("RoleArn", "states.amazonaws.com"),
}


def needed(stack: Stack, operation: str, physical_id: str, resource: dict) -> list[tuple[str, str, dict[str, str]]]:
    """The actions, resources and conditions' keys of an operation on a resource. What is not known here needs what
    nobody has.
    """
    kind, properties = resource["Type"], resource.get("Properties", {})
    operation = UPDATE if operation == ROLLBACK else operation
    if kind not in HANDLERS:
        return [(f"{kind}:{operation}", "*", {})]
    service, form, operations = HANDLERS[kind]
    # moto gives a new resource a name of its own where it does not know which property is the name.
    given = next((properties[field] for field in NAMES if isinstance(properties.get(field), str)), physical_id or "")
    names = {"name": given.rpartition(":")[2]}
    targets = [names]
    if "{role}" in form:
        targets = [{"role": physical(stack, role)} for role in properties["Roles"]]
    if "{group}" in form:
        targets = [{"group": physical(stack, properties["LogGroupName"])}]
    if "{topic}" in form:
        topics = properties.get("Topics") or [properties.get("TopicArn")]
        targets = [{"topic": physical(stack, topic).rpartition(":")[2]} for topic in topics]
    places = [form.format(account=stack.account_id, region=stack.region_name, **target) for target in targets]
    wanted = operations[operation]
    context = {}
    if kind == "AWS::IAM::Role" and (boundary := properties.get("PermissionsBoundary")):
        context["iam:PermissionsBoundary"] = boundary
        wanted = wanted + ["PutRolePermissionsBoundary"] * (operation == UPDATE)
    elif kind == "AWS::IAM::Role" and operation == UPDATE:
        wanted = [*wanted, "DeleteRolePermissionsBoundary"]
    actions = [f"{service}:{action}" for action in wanted]
    found = [(action, "*" if action in WITHOUT_RESOURCE else place, context) for place in places for action in actions]
    if kind == "AWS::Lambda::Function" and "ReservedConcurrentExecutions" in properties:
        found.append(("lambda:PutFunctionConcurrency", places[0], {}))
    if kind in PASSED_TO and operation != DELETE:
        field, given_to = PASSED_TO[kind]
        found.append(("iam:PassRole", properties[field], {"iam:PassedToService": given_to}))
    code = properties.get("Code") or properties.get("DefinitionS3Location")
    if code and operation != DELETE:
        bucket, key = code.get("S3Bucket") or code.get("Bucket"), code.get("S3Key") or code.get("Key")
        found.append(("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", {}))
    return found


def physical(stack: Stack, reference) -> str:
    """The physical name behind a reference of a template, or the name that is given."""
    if isinstance(reference, dict):
        return stack.resource_map._parsed_resources[reference["Ref"]].physical_resource_id
    return reference
