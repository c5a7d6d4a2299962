"""Which names a stack may have. CloudFormation refuses a bad one at once, but a name that only some resource cannot
take fails in the middle of a deployment. Here all are looked at before AWS sees any.
"""

import ipaddress
import re

from deployment.account import Refused

# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
STACK_LIMIT = 128
# The function with the longest name, and Lambda's limit. State machines take 80 characters, log groups 512.
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
LONGEST_SUFFIX, FUNCTION_LIMIT = "-initializer", 64

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_LIMIT = 63
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_stack_name(stack: str) -> None:
    """Refuses names that CloudFormation or Lambda does not take."""
    if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]*", stack) or len(stack) > STACK_LIMIT:
        raise Refused(
            f"a stack cannot be called {stack!r}: CloudFormation takes letters, digits and hyphens, at most "
            f"{STACK_LIMIT}, of which the first is a letter: write --stack-name {suggestion(stack)}"
        )
    longest = FUNCTION_LIMIT - len(LONGEST_SUFFIX)
    if len(stack) > longest:
        raise Refused(
            f"the function {stack}{LONGEST_SUFFIX} would have a name of {len(stack) + len(LONGEST_SUFFIX)} characters, "
            f"and Lambda takes {FUNCTION_LIMIT}: write a --stack-name of at most {longest} characters"
        )


def suggestion(stack: str) -> str:
    """A name like a bad one, that everything takes."""
    return re.sub(r"[^a-z0-9]+", "-", stack.lower()).lstrip("-0123456789")[:30].rstrip("-") or "cosmic"


def data_bucket_of(stack: str, account: str, region: str) -> str:
    """The bucket of a stack that names none; refuses a stack's name that cannot be part of a bucket's."""
    rest = f"-{account}-{region}"
    problem = bucket_problem(stack + rest)
    if problem:
        longest = BUCKET_LIMIT - len(rest)
        name = suggestion(stack)[:longest].rstrip("-")
        raise Refused(
            f"the data bucket would be called {stack}{rest}, and {problem}: write --stack-name {name} (at most "
            f"{longest} characters, in lower case), or name the bucket with --parameter DataBucketName=NAME"
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
