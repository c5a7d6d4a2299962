"""Which names of stacks and buckets infra/deploy.py refuses, and what it says to write in their place."""

import os
import subprocess

import pytest

import deploy
from deployment import artifacts, names
from deployment.account import Refused
from test_deploying import ACCOUNT, DEPLOY


@pytest.mark.parametrize(
    "name, parameters, said",
    [
        (
            "my stack",
            [],
            "letters, digits and hyphens, of which the first is a letter: write --stack-name",
        ),
        ("my stack", [], "write --stack-name my-stack"),
        ("1st", [], "write --stack-name st"),
        ("under_score", [], "write --stack-name under-score"),
        ("", [], "write --stack-name cosmic"),
        ("a" * 31, [], "CloudFormation shortens: write a --stack-name of at most 30 characters"),
        ("Cosmic", [], "S3 takes no upper-case letters: write --stack-name cosmic"),
        ("cosmic", [f"DataBucketName={'a' * 68}"], "S3 takes 3 to 63 characters, and these are 68"),
        ("xn--sky", [], "S3 keeps names that begin with xn--"),
        ("cosmic", ["DataBucketName=Sky_Data"], "DataBucketName=Sky_Data cannot be a bucket"),
        ("cosmic", ["DataBucketName=10.0.0.1"], "S3 takes no IP address"),
        ("cosmic", ["SourceBucketName=a..b"], "single dots"),
        ("cosmic", ["DataBucketName=sky--x-s3"], "end in"),
        ("cosmic", ["Unknown=1"], "no parameter Unknown (known: "),
        ("cosmic", ["InferenceMemory"], "wants KEY=VALUE"),
    ],
)
def test_a_name_that_something_would_not_take_is_refused_with_what_to_write(name, parameters, said):
    with pytest.raises(Refused) as refused:
        names.check_stack_name(name)
        deploy.checked_parameters(artifacts.load_template(deploy.TEMPLATE), parameters)
        names.data_bucket_of(name, ACCOUNT, "us-east-1")
    assert said in str(refused.value)


def test_a_bad_stack_name_is_refused_before_aws_is_asked():
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
    done = subprocess.run([*DEPLOY, "--stack-name", "no good"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "a stack cannot be called 'no good'" in done.stderr


def test_a_suggested_name_is_one_that_everything_takes():
    for bad in ("my stack", "1st", "", "A" * 200, "xn--x", "---", "Ä", "a_b--c"):
        name = names.suggestion(bad)
        names.check_stack_name(name)
        assert names.data_bucket_of(name, ACCOUNT, "ap-southeast-2")


def test_the_longest_stack_name_fits_all_names_that_the_template_makes():
    limits = {
        "AWS::CloudWatch::Alarm": ("AlarmName", 255),
        "AWS::Events::Rule": ("Name", 64),
        "AWS::Logs::LogGroup": ("LogGroupName", 512),
        "AWS::Logs::QueryDefinition": ("Name", 255),
        "AWS::SNS::Topic": ("TopicName", 256),
        "AWS::Serverless::Function": ("FunctionName", 64),
        "AWS::Serverless::StateMachine": ("Name", 80),
    }
    longest = "a" * names.LONGEST_STACK
    names.check_stack_name(longest)
    for logical_name, resource in artifacts.load_template(deploy.TEMPLATE)["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            made_up = f"{longest}-{logical_name}-{'A' * names.RANDOM_CHARACTERS}"
            assert "RoleName" not in resource["Properties"] and len(made_up) <= names.ROLE_LIMIT, made_up
        if resource["Type"] in limits:
            field, limit = limits[resource["Type"]]
            name = resource["Properties"][field]["Fn::Sub"].replace("${AWS::StackName}", longest)
            assert name.count(longest) == 1 and len(name) <= limit, name
