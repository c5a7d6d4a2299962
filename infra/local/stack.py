"""AWS on this machine, for Cosmic: S3, Step Functions, Lambda, CloudFormation, CloudWatch Logs and IAM at one address.

    .tools/venv/bin/python infra/local/stack.py --port 4566

moto answers the APIs; the modules beside this one make it run what is deployed: real zips as real processes. What is
as on AWS, and what is not, stands in README.md. Everything lives in memory and in one temporary folder, and is gone
when the stack stops.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# moto has clients of its own services, such as the interpreter's of Lambda: they must not use the user's account.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

import change_sets
import concurrency
import distributed_map
import executions
import functions
import limits
import log_groups
import run_events
import stack_operations
import stacks
import uploads
from buckets import Buckets
from options import PATH as OPTIONS_PATH
from options import Options
from permissions import Permissions

HOST = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(prog="stack.py", description="AWS on this machine, for Cosmic")
    parser.add_argument("--port", type=int, default=4566, help="0 takes any free one (default: 4566)")
    parser.add_argument(
        "--concurrency",
        type=int,
        default=max(2, os.cpu_count() or 1),
        metavar="N",
        help="functions that run at once; more wait (default: the number of cores)",
    )
    parser.add_argument(
        "--throttle", action="store_true", help="refuse functions above --concurrency, as Lambda does, rather than wait"
    )
    parser.add_argument("--limit-memory", action="store_true", help="kill functions above their memory size")
    parser.add_argument(
        "--enforce-roles",
        action="store_true",
        help="let functions, state machines and IAM users do only what their policies allow",
    )
    parser.add_argument(
        "--options",
        type=json.loads,
        default={},
        metavar="JSON",
        help='more of what can go wrong, such as {"faults": {"503": 0.1}, "kill": 0.1}: see infra/local/README.md',
    )
    parser.add_argument("--verbose", action="store_true", help="log each request on standard error")
    arguments = parser.parse_args()
    try:
        options = Options(
            **{
                "concurrency": arguments.concurrency,
                "throttle": arguments.throttle,
                "limit_memory": arguments.limit_memory,
                "enforce_roles": arguments.enforce_roles,
                **arguments.options,
            }
        )
    except (TypeError, ValueError) as error:
        parser.error(str(error))

    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.ERROR, format="%(name)s: %(message)s")
    if not arguments.verbose:
        # They log each request, and each Fail state as an error of their own.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
    # No interpreter runs without this: moto would invent an outcome for each execution.
    default_user_config["stepfunctions"] = {"execute_state_machine": True}

    folder = Path(tempfile.mkdtemp(prefix="cosmic-stack-"))
    signal.signal(signal.SIGTERM, stop)
    permissions = Permissions(DomainDispatcherApplication(create_backend_app), options)
    services = Buckets(permissions)

    def application(environ: dict, start_response):
        answers = options.answer if environ["PATH_INFO"] == OPTIONS_PATH else services
        return answers(environ, start_response)

    try:
        server = make_server(
            HOST,
            arguments.port,
            application,
            threaded=True,
            request_handler=MotoRequestHandler,
        )
    except SystemExit:
        # werkzeug has said why on standard error.
        shutil.rmtree(folder)
        sys.exit(f"failed to start the local stack: port {arguments.port} is taken; choose another with --port")
    address = f"http://{HOST}:{server.port}"
    os.environ["MOTO_PORT"] = str(server.port)
    pool = functions.Pool(folder, address, options, permissions)
    try:
        functions.install(pool)
        concurrency.install(options)
        permissions.install(address)
        distributed_map.install(options)
        executions.install()
        limits.install()
        run_events.install(options)
        log_groups.install(options)
        stacks.install()
        change_sets.install()
        stack_operations.install(options)
        uploads.install()
        print(f"ready {address}", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        # A second signal must not interrupt the cleaning.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pool.close()
        shutil.rmtree(folder, ignore_errors=True)


def stop(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
