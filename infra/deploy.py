"""Deploys Cosmic: `scripts/deploy.sh`, after scripts/package.sh. On AWS, or on the local stack with --endpoint-url.

Uploads what changed, makes or updates the stack by a change set, and puts back what was changed in the functions behind
the stack's back, as far as deployment/drift.py looks: afterwards they run what was packaged, as the template configures
it. The service expands the SAM template, as the local stack does, so that no SAM command line is needed here. Whatever
goes wrong ends it with a sentence and exit code 1.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from deployment import artifacts, drift, names
from deployment.account import Account, Refused, code, explained
from deployment.stack import (
    Interrupted,
    changes_of,
    command,
    discard,
    execute,
    find,
    make_change_set,
    parameters_of,
    remove,
    stack_to_update,
    wait_for_end,
)

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "infra/template.yaml"
PACKAGED = ROOT / "target/packages/package.json"
# An interrupted command's exit code: 128 and the number of the signal.
INTERRUPTED = 130

sys.path.insert(0, str(ROOT / "scripts/lib"))
from sources import sources_sha256


def main() -> None:
    arguments = parse_arguments()
    log = Log(quiet=arguments.json)
    verb = "delete" if arguments.delete else "follow" if arguments.follow else "deploy"
    try:
        names.check_stack_name(arguments.stack_name)
        account = Account(arguments.endpoint_url, arguments.region)
        if arguments.delete:
            report = delete(account, arguments.stack_name, log)
        elif arguments.follow:
            report = follow(account, arguments.stack_name, log)
        else:
            report = deploy(account, arguments, log)
    except (Refused, ClientError, BotoCoreError, OSError) as error:
        sys.exit(f"failed to {verb}: {explained(error)}")
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        print("interrupted: the same command again goes on where this one was", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if arguments.json:
        print(json.dumps(report))
    else:
        width = max(map(len, report["outputs"]), default=0)
        for name, value in report["outputs"].items():
            print(f"{name:{width}}  {value}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/deploy.sh", description="deploy Cosmic to AWS or to the local stack")
    parser.add_argument("--stack-name", default="cosmic", help="also the first part of all names (default: cosmic)")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of infra/template.yaml; may be repeated; what is not given keeps its value, or its default",
    )
    parser.add_argument("--region", help="default: the AWS environment's; us-east-1 on the local stack")
    parser.add_argument(
        "--endpoint-url",
        default=os.environ.get("AWS_ENDPOINT_URL"),
        metavar="URL",
        help="of the local stack (default: AWS_ENDPOINT_URL)",
    )
    parser.add_argument(
        "--artifacts-bucket",
        metavar="NAME",
        help="a bucket of yours for the zips (default: cosmic-artifacts-<account>-<region>, made if it is not there)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="upload, and only show what would change")
    instead.add_argument(
        "--follow", action="store_true", help="only wait for the end of a deployment or deletion under way"
    )
    instead.add_argument("--delete", action="store_true", help="delete the stack; its bucket stays")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args()


def parse_parameter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Refused(f"--parameter wants KEY=VALUE, found {text!r}")
    return key, value


class Log:
    """Prints progress, unless the output is for a program (--json). Warnings go to standard error in any case."""

    def __init__(self, quiet: bool):
        self.quiet = quiet

    def __call__(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)

    def warn(self, line: str) -> None:
        print(f"warning: {line}", file=sys.stderr, flush=True)


def deploy(account: Account, arguments: argparse.Namespace, log: Log) -> dict:
    name, dry_run = arguments.stack_name, arguments.dry_run
    template = artifacts.load_template(TEMPLATE)
    parameters = checked_parameters(template, arguments.parameter)
    check_zips(account, parameters, log)
    stack = stack_to_update(account, name, dry_run, log)
    check_bucket(account, name, stack, parameters)
    in_the_way = clear_log_groups(account, name, template, dry_run, log) if stack is None else []
    drifted = drift.differences(account, stack) if stack else []
    for difference in drifted:
        log.warn(str(difference))
    warn_of_executions(account, name, stack, drifted, log)
    bucket = arguments.artifacts_bucket or artifacts.artifacts_bucket_of(account)
    artifacts.upload(account, name, template, TEMPLATE.parent, bucket, log)

    template_url = artifacts.upload_template(account, name, template, bucket)
    # What only a dry run leaves in the way must not fail its change set.
    change_set = make_change_set(
        account, name, stack, template, template_url, parameters, validates=not (dry_run and in_the_way)
    )
    changes = [] if change_set is None else changes_of(account, name, change_set)
    for change in changes:
        log(f"{change['action'].lower()} {change['resource']} ({change['type']})")
    report = {"stack": name, "changes": changes, "drift": [vars(difference) for difference in drifted], "outputs": {}}
    if dry_run:
        discard(account, name, stack, change_set)
        for difference in drifted:
            log(f"put back {difference.function}: {difference.field}")
        log("a dry run: nothing was changed" if changes or drifted else "nothing to change")
        return report
    if change_set is not None:
        execute(account, name, stack is None, change_set, log)
    stack = find(account, name)
    if drifted:
        # An update puts back what it changes itself.
        for difference in drift.differences(account, stack):
            drift.put_back(account, difference)
            log(f"put back {difference.function}: {difference.field}")
    elif change_set is None:
        log("nothing to change")
    report["outputs"] = outputs_of(stack)
    return report


def outputs_of(stack: dict) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


# --- Checks ----------------------------------------------------------------------------------------------------------


def checked_parameters(template: dict, given: list[str]) -> dict[str, str]:
    parameters = dict(map(parse_parameter, given))
    unknown = parameters.keys() - template["Parameters"].keys()
    if unknown:
        raise Refused(
            f"the template has no parameter {', '.join(sorted(unknown))} (known: {', '.join(template['Parameters'])})"
        )
    for key in ("DataBucketName", "SourceBucketName"):
        if parameters.get(key):
            names.check_bucket_name(key, parameters[key])
    return parameters


def check_zips(account: Account, parameters: dict[str, str], log: Log) -> None:
    """Refuses zips that cannot run where they are deployed to, and gives the functions the processor of the zips."""
    if not PACKAGED.is_file():
        raise Refused(f"there is no {PACKAGED}: run ./scripts/package.sh first")
    packaged = json.loads(PACKAGED.read_text())
    architecture = packaged["architecture"]
    if parameters.setdefault("Architecture", architecture) != architecture:
        raise Refused(
            f"the zips are built for {architecture}, not for {parameters['Architecture']}: "
            "run ./scripts/package.sh again, with --arm64 or without"
        )
    if account.is_aws and packaged["local_only"]:
        raise Refused(f"these zips are for the local stack only: {packaged['local_only']}: see infra/README.md")
    if packaged["sources_sha256"] != sources_sha256():
        log.warn(
            "the zips were packaged from other sources than those that lie here: ./scripts/package.sh makes new ones"
        )


def check_bucket(account: Account, name: str, stack: dict | None, parameters: dict[str, str]) -> None:
    """Gives the bucket a name of this account, and refuses what would fail in the middle of a creation or an update."""
    before = parameters_of(stack) if stack else {}
    if stack is None and "DataBucketName" not in parameters:
        parameters["DataBucketName"] = names.data_bucket_of(name, account.id, account.region)
    after = {"CreateDataBucket": "true", **before, **parameters}
    bucket, creates = after["DataBucketName"], after["CreateDataBucket"] == "true"
    if bucket == before.get("DataBucketName") and creates == (before.get("CreateDataBucket") == "true"):
        return
    there = account.has_bucket(bucket, "--parameter DataBucketName=NAME")
    if there and creates:
        raise Refused(
            f"the bucket {bucket} is there already (deleting a stack leaves its bucket): "
            "add --parameter CreateDataBucket=false to use it"
        )
    if not there and not creates:
        raise Refused(f"there is no bucket {bucket}: leave out CreateDataBucket=false, or name another DataBucketName")


def clear_log_groups(account: Account, name: str, template: dict, dry_run: bool, log: Log) -> list[str]:
    """Deletes log groups that lie where a new stack makes its own, if nothing was logged to them, and gives their
    names; refuses others. A dry run deletes none.
    """
    empty = []
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Logs::LogGroup":
            continue
        group = resource["Properties"]["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", name)
        try:
            if account.logs.describe_log_streams(logGroupName=group, limit=1)["logStreams"]:
                raise Refused(
                    f"the log group {group} is there already, with logs of functions of this name: choose another "
                    f"--stack-name, or delete it with `aws logs delete-log-group --log-group-name {group} "
                    f"--region {account.region}`"
                )
            if dry_run:
                log(f"delete the log group {group}, which is empty")
            else:
                account.logs.delete_log_group(logGroupName=group)
                log(f"deleted the log group {group}, which was empty")
            empty.append(group)
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
    return empty


def warn_of_executions(account: Account, name: str, stack: dict | None, drifted: list, log: Log) -> None:
    """Says which executions an update will reach. Refuses to take the memory from under a sweep that runs."""
    running = account.running_executions(name) if stack else []
    if not running:
        return
    for difference in drifted:
        if difference.sweep:
            raise Refused(
                f"{difference}, and it runs ({', '.join(running)}): wait for its end, or stop it with "
                "`cosmic run --stop NAME`, then run this again"
            )
    log.warn(f"executions run ({', '.join(running)}): ranks that have not begun will run what is deployed now")


# --- Other commands --------------------------------------------------------------------------------------------------


def follow(account: Account, name: str, log: Log) -> dict:
    stack = find(account, name)
    if stack is None:
        raise Refused(f"there is no stack {name} in {account.region}")
    stack = wait_for_end(account, stack, log)
    outputs = {} if stack["StackStatus"] == "DELETE_COMPLETE" else outputs_of(stack)
    return {"stack": name, "changes": [], "drift": [], "outputs": outputs}


def delete(account: Account, name: str, log: Log) -> dict:
    stack = find(account, name)
    if stack is None:
        raise Refused(f"there is no stack {name} in {account.region}")
    state = stack["StackStatus"]
    if state.endswith("_IN_PROGRESS") and state != "REVIEW_IN_PROGRESS":
        raise Refused(
            f"the stack {name} is being changed ({state}): wait for its end, which `{command(account, name)} --follow` "
            "shows, then run this again"
        )
    if stack.get("EnableTerminationProtection"):
        raise Refused(
            f"the stack {name} is protected against deletion: if it is to go all the same, lift that with `aws "
            f"cloudformation update-termination-protection --no-enable-termination-protection --stack-name {name} "
            f"--region {account.region}`, then run this again"
        )
    running = account.running_executions(name)
    if running:
        raise Refused(
            f"executions of the stack {name} run ({', '.join(running)}), and would fail: wait for their end, or stop "
            "each with `cosmic run --stop NAME`, then run this again"
        )
    remove(account, stack, log)
    bucket = parameters_of(stack).get("DataBucketName")
    if bucket and account.has_bucket(bucket, "--parameter DataBucketName=NAME"):
        log(f"the bucket {bucket} stays, with all data and results")
    log(f"the bucket {artifacts.artifacts_bucket_of(account)} stays, with the zips")
    return {"stack": name, "changes": [], "drift": [], "outputs": {}}


if __name__ == "__main__":
    main()
