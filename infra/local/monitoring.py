"""What a stack is watched with, where moto has no CloudFormation resource for it: alarms, subscriptions and policies of
topics, metric filters and saved queries. Dashboards are checked, which moto takes as they are. Metrics are not kept, so
that no alarm goes off and no query finds anything.
"""

import json
import re
import uuid
from typing import ClassVar

from moto.cloudformation.exceptions import ValidationError
from moto.cloudwatch.models import Dashboard, Dimension, Metric, MetricDataQuery, MetricStat, cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.core.utils import unix_time
from moto.logs.models import logs_backends
from moto.logs.responses import LogsResponse
from moto.sns.models import sns_backends

WIDGETS = ("alarm", "explorer", "log", "metric", "text")
COLUMNS = 24

# Saved queries by account and region, then by identifier.
QUERIES: dict[tuple[str, str], dict[str, dict]] = {}


class Resource:
    """A resource whose making replaces what is there under its name."""

    type: ClassVar[str]
    # The property that names it, if CloudFormation makes up a name where there is none.
    name_property: ClassVar[str] = ""

    def __init__(self, identifier: str, attributes: dict[str, str] | None = None):
        self.physical_resource_id = identifier
        self.attributes = attributes or {}

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.type

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, _: str) -> bool:
        return True

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        return cls.make(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        old = original_resource.physical_resource_id
        made = cls.make(new_resource_name, cloudformation_json["Properties"], account_id, region_name)
        if made.physical_resource_id != old:
            cls.remove(old, cloudformation_json["Properties"], account_id, region_name)
        return made

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        cls.remove(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def make(cls, name: str, properties: dict, account: str, region: str) -> "Resource":
        raise NotImplementedError

    @classmethod
    def remove(cls, identifier: str, properties: dict, account: str, region: str) -> None:
        raise NotImplementedError


# moto takes a resource's service from its module's name.


class Alarm(Resource, CloudFormationModel):
    __module__ = "moto.cloudwatch.models"
    type = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"

    @classmethod
    def make(cls, name, properties, account, region):
        check_alarm(name, properties)
        alarm = cloudwatch_backends[account][region].put_metric_alarm(
            name=name,
            namespace=properties.get("Namespace"),
            metric_name=properties.get("MetricName"),
            metric_data_queries=[query(entry) for entry in properties.get("Metrics", [])] or None,
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=int(properties["EvaluationPeriods"]),
            period=properties.get("Period"),
            threshold=float(properties["Threshold"]),
            statistic=properties.get("Statistic"),
            description=properties.get("AlarmDescription"),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            ok_actions=[],
            insufficient_data_actions=[],
            treat_missing_data=properties.get("TreatMissingData"),
        )
        return cls(name, {"Arn": alarm.alarm_arn})

    @classmethod
    def remove(cls, identifier, properties, account, region):
        cloudwatch_backends[account][region].delete_alarms([identifier])


def query(entry: dict) -> MetricDataQuery:
    stat = entry.get("MetricStat")
    if stat is not None:
        metric = stat["Metric"]
        metric = Metric(metric["MetricName"], metric["Namespace"], dimensions(metric))
        stat = MetricStat(metric, stat["Period"], stat["Stat"], stat.get("Unit"))
    returned = str(entry.get("ReturnData", True)).lower() == "true"
    return MetricDataQuery(
        entry["Id"], entry.get("Label"), entry.get("Period"), returned, entry.get("Expression"), stat
    )


def dimensions(properties: dict) -> list[Dimension]:
    return [Dimension(entry["Name"], entry["Value"]) for entry in properties.get("Dimensions", [])]


def check_alarm(name: str, properties: dict) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
    metrics = properties.get("Metrics", [])
    if bool(metrics) == ("MetricName" in properties):
        raise ValidationError(message=f"{name} needs either MetricName or Metrics")
    names = [entry["Id"] for entry in metrics]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[a-z]\w*", identifier) for identifier in names):
        raise ValidationError(message=f"{name}: identifiers are unique and begin with a lower-case letter: {names}")
    if metrics and sum(query(entry).return_data for entry in metrics) != 1:
        raise ValidationError(message=f"{name}: exactly one of Metrics has ReturnData")
    for entry in metrics:
        # Functions are in capitals.
        used = set(re.findall(r"\b[a-z]\w*", entry.get("Expression", "")))
        if unknown := used - set(names):
            raise ValidationError(message=f"{name}: {entry['Id']} speaks of {', '.join(unknown)}, which is not there")


class MetricFilter(Resource, CloudFormationModel):
    __module__ = "moto.logs.models"
    type = "AWS::Logs::MetricFilter"
    name_property = "FilterName"

    @classmethod
    def make(cls, name, properties, account, region):
        cls.remove(name, properties, account, region)
        transformations = [
            {key[0].lower() + key[1:]: value for key, value in transformation.items()}
            for transformation in properties["MetricTransformations"]
        ]
        logs_backends[account][region].put_metric_filter(
            name, properties["FilterPattern"], properties["LogGroupName"], transformations
        )
        return cls(name)

    @classmethod
    def remove(cls, identifier, properties, account, region):
        filters = logs_backends[account][region].filters
        filters.metric_filters = [entry for entry in filters.metric_filters if entry["filterName"] != identifier]


class QueryDefinition(Resource, CloudFormationModel):
    __module__ = "moto.logs.models"
    type = "AWS::Logs::QueryDefinition"

    @classmethod
    def make(cls, name, properties, account, region):
        groups = properties.get("LogGroupNames", [])
        if unknown := [group for group in groups if group not in logs_backends[account][region].groups]:
            raise ValidationError(message=f"The specified log group does not exist: {', '.join(unknown)}")
        saved = {
            "queryDefinitionId": str(uuid.uuid4()),
            "name": properties["Name"],
            "queryString": properties["QueryString"],
            "logGroupNames": groups,
            "lastModified": int(unix_time() * 1000),
            "parameters": [
                {key[0].lower() + key[1:]: value for key, value in parameter.items()}
                for parameter in properties.get("Parameters", [])
            ],
        }
        QUERIES.setdefault((account, region), {})[saved["queryDefinitionId"]] = saved
        return cls(saved["queryDefinitionId"])

    @classmethod
    def remove(cls, identifier, properties, account, region):
        QUERIES.get((account, region), {}).pop(identifier, None)


class Subscription(Resource, CloudFormationModel):
    __module__ = "moto.sns.models"
    type = "AWS::SNS::Subscription"

    @classmethod
    def make(cls, name, properties, account, region):
        topics = sns_backends[account][region]
        return cls(topics.subscribe(properties["TopicArn"], properties["Endpoint"], properties["Protocol"]).arn)

    @classmethod
    def remove(cls, identifier, properties, account, region):
        sns_backends[account][region].unsubscribe(identifier)


class TopicPolicy(Resource, CloudFormationModel):
    __module__ = "moto.sns.models"
    type = "AWS::SNS::TopicPolicy"

    @classmethod
    def make(cls, name, properties, account, region):
        for arn in properties["Topics"]:
            sns_backends[account][region].get_topic(arn).policy = json.dumps(properties["PolicyDocument"])
        return cls(name)

    @classmethod
    def remove(cls, identifier, properties, account, region):
        """The topic's own default stays away: the topics of a stack go with their policies."""


# --- What moto has ---------------------------------------------------------------------------------------------------


def install() -> None:
    """Puts this module's parts into moto. CloudFormation knows the resources once this module is there."""
    create = Dashboard.create_from_cloudformation_json.__func__

    def create_dashboard(cls, resource_name, cloudformation_json, *account, **kwargs):
        check_dashboard(resource_name, cloudformation_json["Properties"]["DashboardBody"])
        return create(cls, resource_name, cloudformation_json, *account, **kwargs)

    def describe_query_definitions(response: LogsResponse) -> str:
        prefix = response._get_param("queryDefinitionNamePrefix") or ""
        saved = QUERIES.get((response.current_account, response.region), {}).values()
        return json.dumps({"queryDefinitions": [entry for entry in saved if entry["name"].startswith(prefix)]})

    Dashboard.create_from_cloudformation_json = classmethod(create_dashboard)
    LogsResponse.describe_query_definitions = describe_query_definitions


def check_dashboard(name: str, body: str) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    try:
        widgets = json.loads(body)["widgets"]
    except (ValueError, KeyError) as error:
        raise ValidationError(message=f"The dashboard {name} is invalid: {error}") from None
    for widget in widgets:
        if widget["type"] not in WIDGETS or "properties" not in widget or widget["x"] + widget["width"] > COLUMNS:
            raise ValidationError(message=f"The dashboard {name} has an invalid widget: {widget}")
