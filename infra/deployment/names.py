"""Which names a stack may have. CloudFormation refuses a bad one at once, but a name that only some resource cannot
take fails in the middle of a deployment. Here all are looked at before AWS sees any.
"""

import ipaddress
import re

from deployment.account import Refused

# IAM's limit, and what CloudFormation puts after the stack's name in that of the role with the longest: the role's
# logical name, and up to 13 random characters. All other names have more room, the stack's own with 128 too.
# CloudFormation shortens a longer name, which infra/policies/deploy.json may not cover any more: it names role/STACK-*.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_LIMIT, LONGEST_ROLE, RANDOM_CHARACTERS = 64, "RedshiftMachineRole", 13
LONGEST_STACK = ROLE_LIMIT - len(f"-{LONGEST_ROLE}-") - RANDOM_CHARACTERS

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_LIMIT = 63
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_stack_name(stack: str) -> None:
    """Refuses names that CloudFormation does not take, or would not keep whole in the names of the stack's roles."""
    if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]*", stack):
        raise Refused(
            f"a stack cannot be called {stack!r}: CloudFormation takes letters, digits and hyphens, of which "
            f"the first is a letter: write --stack-name {suggestion(stack)}"
        )
    if len(stack) > LONGEST_STACK:
        raise Refused(
            f"the role {stack}-{LONGEST_ROLE}-… would have a name of more than {ROLE_LIMIT} characters, which IAM does "
            f"not take and CloudFormation shortens: write a --stack-name of at most {LONGEST_STACK} characters"
        )


def suggestion(stack: str) -> str:
    """A name like a bad one, that everything takes."""
    return re.sub(r"[^a-z0-9]+", "-", stack.lower()).lstrip("-0123456789")[:LONGEST_STACK].rstrip("-") or "cosmic"


def data_bucket_of(stack: str, account: str, region: str) -> str:
    """The bucket of a stack that names none; refuses a stack's name that cannot be part of a bucket's."""
    rest = f"-{account}-{region}"
    problem = bucket_problem(stack + rest)
    if problem:
        raise Refused(
            f"the data bucket would be called {stack}{rest}, and {problem}: write --stack-name {suggestion(stack)}, or "
            "name the bucket with --parameter DataBucketName=NAME"
        )
    return stack + rest


def check_bucket_name(parameter: str, name: str) -> None:
    problem = bucket_problem(name)
    if problem:
        raise Refused(f"--parameter {parameter}={name} cannot be a bucket: {problem}")


def bucket_problem(name: str) -> str | None:
    """Which of S3's rules for names of buckets a name breaks."""
    if name != name.lower():
        return "S3 takes no upper-case letters"
    if not 3 <= len(name) <= BUCKET_LIMIT:
        return f"S3 takes 3 to {BUCKET_LIMIT} characters, and these are {len(name)}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", name) or ".." in name:
        return "S3 takes lower-case letters, digits, hyphens and single dots, with a letter or digit at both ends"
    if name.startswith(RESERVED_PREFIXES) or name.endswith(RESERVED_SUFFIXES):
        return f"S3 keeps names that begin with {', '.join(RESERVED_PREFIXES)} or end in {', '.join(RESERVED_SUFFIXES)}"
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return None
    return "S3 takes no IP address"
