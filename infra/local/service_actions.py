"""Which action on which resource a request to a service other than S3 is, as the Service Authorization Reference has
them:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import json
import re
from urllib.parse import parse_qs, unquote, urlparse

from moto.cloudformation.models import cloudformation_backends
from moto.s3.models import s3_backends

SAM = "AWS::Serverless-2016-10-31"
Needs = list[tuple[str, str]]

# The paths of Lambda's requests and their actions.
LAMBDA = [
    ("POST", r"/2015-03-31/functions/([^/]+)/invocations", "InvokeFunction"),
    ("GET", r"/2015-03-31/functions/([^/]+)/configuration", "GetFunctionConfiguration"),
    ("PUT", r"/2015-03-31/functions/([^/]+)/configuration", "UpdateFunctionConfiguration"),
    ("PUT", r"/2015-03-31/functions/([^/]+)/code", "UpdateFunctionCode"),
    ("GET", r"/2015-03-31/functions/([^/]+)/?", "GetFunction"),
    ("GET", r"/2017-03-31/tags/([^/]+)", "ListTags"),
    ("POST", r"/2017-03-31/tags/([^/]+)", "TagResource"),
    ("DELETE", r"/2017-03-31/tags/([^/]+)", "UntagResource"),
    ("GET", r"/2016-08-19/account-settings/?()", "GetAccountSettings"),
    ("GET", r"/2019-09-30/functions/([^/]+)/concurrency", "GetFunctionConcurrency"),
    ("PUT", r"/2017-10-31/functions/([^/]+)/concurrency", "PutFunctionConcurrency"),
    ("DELETE", r"/2017-10-31/functions/([^/]+)/concurrency", "DeleteFunctionConcurrency"),
]


def lambda_needs(account: str, region: str, environ: dict) -> Needs:
    path = unquote(environ["PATH_INFO"])
    for method, pattern, action in LAMBDA:
        if environ["REQUEST_METHOD"] == method and (found := re.fullmatch(pattern, path)):
            name = found[1]
            arn = name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{account}:function:{name}"
            return [(f"lambda:{action}", arn if name else "*")]
    return []


def states_needs(environ: dict, body: bytes) -> Needs:
    request = json.loads(body)
    arn = next((value for name, value in request.items() if name.lower().endswith("arn")), "*")
    return [(f"states:{target(environ)}", arn)]


def logs_needs(account: str, region: str, environ: dict, body: bytes) -> Needs:
    request = json.loads(body)
    groups = [request[key] for key in ("logGroupName", "logGroupIdentifier") if key in request]
    groups += [*request.get("logGroupNames", []), *request.get("logGroupIdentifiers", [])]
    arns = [
        group if group.startswith("arn:") else f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:"
        for group in groups
    ]
    return [(f"logs:{target(environ)}", arn) for arn in arns or ["*"]]


def cloudformation_needs(account: str, region: str, body: bytes) -> Needs:
    request = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    action, name = f"cloudformation:{request.get('Action')}", request.get("StackName")
    backend = cloudformation_backends[account][region]
    change_set = backend.change_sets.get(request.get("ChangeSetName", ""))
    if name is None and change_set is not None:
        name = change_set.stack_id
    if name is None:
        return [(action, "*")]
    if not name.startswith("arn:"):
        there = next((stack.stack_id for stack in backend.stacks.values() if stack.name == name), None)
        name = there or f"arn:aws:cloudformation:{region}:{account}:stack/{name}/new"
    needs, template = [(action, name)], request.get("TemplateBody", "")
    if url := request.get("TemplateURL"):
        # CloudFormation reads it in the name of whoever asks.
        bucket, _, key = urlparse(url).path.lstrip("/").partition("/")
        needs.append(("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"))
        stored = s3_backends[account]["aws"].get_object(bucket, key)
        template = stored.value.decode() if stored else ""
    if SAM in template:
        # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-permissions-cloudformation.html
        needs.append((action, f"arn:aws:cloudformation:{region}:aws:transform/{SAM.removeprefix('AWS::')}"))
    return needs


def target(environ: dict) -> str:
    return environ.get("HTTP_X_AMZ_TARGET", "").rsplit(".", 1)[-1]
