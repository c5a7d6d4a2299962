"""Random schedules of everything that goes wrong at once: faults before S3, functions killed and throttled, executions
stopped, started twice, resumed and overwritten. `scripts/soak.sh` runs it.

After each execution that came to a result, the catalogue is complete and that of an undisturbed run bit for bit, or the
result names exactly what is missing. At the end of each schedule the misfortunes cease, and the same payload
again completes the catalogue.
"""

import json
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import small_sky
from conftest import Stack
from options import FAULTS

# What an execution may end with under misfortunes, beside SUCCEEDED, IncompleteCatalogue and being stopped.
PASSING = {
    "StoreUnavailable",
    "Internal",
    "ResultPathTaken",
    "ResultPathBusy",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "Lambda.TooManyRequestsException",
    "States.DataLimitExceeded",
    "States.Runtime",
}
# A run without misfortunes may still meet what an earlier one left running, but not for ever.
RESUMES = 10
QUIET = {"faults": {}, "kill": 0.0, "throttle": False, "concurrency": 2}


class Failed(Exception):
    """What a schedule must not lead to."""


def main() -> None:
    schedules, seed = (int(argument) for argument in sys.argv[1:])
    with start() as stack, tempfile.TemporaryDirectory() as folder:
        soak(small_sky.deployed(stack, Path(folder)), schedules, seed)


def start() -> Stack:
    options = {"retry_pace": small_sky.RETRY_PACE, "hang_seconds": 20}
    return Stack("--enforce-roles", "--limit-memory", "--options", json.dumps(options))


def soak(sky: SimpleNamespace, schedules: int, seed: int) -> None:
    """Runs the schedules of the seeds from `seed` on, and says what each did; exits at the first that fails."""
    totals: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(seed, seed + schedules):
        said: list[str] = []
        began = time.monotonic()
        try:
            totals += run_schedule(sky, number, said)
        except (Failed, AssertionError) as failure:
            print(f"seed {number}: {'; '.join(said)}")
            sys.exit(f"failed: {failure}\nfailed with seed {number}: scripts/soak.sh 1 {number} repeats it")
        print(f"seed {number}: {'; '.join(said)} ({time.monotonic() - began:.1f} s)", flush=True)
    happened = ", ".join(f"{count} {name}" for name, count in sorted(totals.items()))
    print(f"{schedules} schedules from seed {seed} on in {time.monotonic() - started:.0f} s: {happened}")
    print("each catalogue was complete and equal to the undisturbed one, or its result named exactly what was missing")


def run_schedule(sky: SimpleNamespace, seed: int, said: list[str]) -> Counter[str]:
    """Runs one schedule; what it did goes to `said`, and how often what happened is the result."""
    chance = Random(seed)
    totals: Counter[str] = Counter()
    payload = {"result_path": f"soak/{seed}-{uuid.uuid4().hex[:8]}", "world_size": chance.choice([None, None, 2, 12])}
    for step in range(chance.randint(1, 3)):
        options = misfortunes(chance, seed * 10 + step)
        if payload["world_size"] == 12:
            # Ranks that share files read no whole that a checksum is of: RELIABILITY.md.
            options["faults"].pop("flip", None)
        sky.stack.options(**options)
        action = chance.choice(["run", "run", "stop", "twice", "overwrite"])
        if action == "overwrite":
            payload |= {"batch_size": chance.choice([16, 32, 64]), "overwrite": True}
        arns = [begin(sky, payload) for _ in range(2 if action == "twice" else 1)]
        payload.pop("overwrite", None)
        if action == "stop":
            # The local stack cannot stop an execution that has not entered its first state.
            time.sleep(0.5 + chance.random() * 2)
            sky.stack.client("stepfunctions").stop_execution(executionArn=arns[0])
        ended = [sky.cosmic.wait(arn) for arn in arns]
        totals += Counter(sky.stack.options()["happened"]) + Counter({action: 1})
        said.append(f"{action} with {described(options)}: {' and '.join(judged(sky, payload, one) for one in ended)}")

    sky.stack.options(**QUIET)
    for attempt in range(1, RESUMES + 1):
        ended = sky.cosmic.wait(begin(sky, payload))
        totals["resume"] += 1
        outcome = judged(sky, payload, ended)
        # The last payload may have been refused, so that the folder still belongs to the one before.
        payload["overwrite"] = ended.get("error") == "ResultPathTaken"
        if outcome == "complete":
            said.append(f"complete after {attempt} more")
            return totals
        time.sleep(0.5)
    raise Failed(f"not complete after {RESUMES} undisturbed executions: {outcome} {ended.get('cause', '')}")


def misfortunes(chance: Random, seed: int) -> dict:
    """Options under which an execution still has a chance to succeed."""
    kinds = chance.sample([kind for kind in FAULTS if kind != "hang"], chance.randint(0, 3))
    faults = {kind: round(chance.uniform(0.01, 0.12), 3) for kind in kinds}
    # A request without an answer costs seconds.
    if chance.random() < 0.1:
        faults["hang"] = 0.01
    return {
        "faults": faults,
        "kill": chance.choice([0.0, 0.0, 0.2, 0.4]),
        "kill_seconds": chance.choice([0.1, 0.5]),
        "throttle": chance.random() < 0.3,
        "concurrency": chance.choice([2, 2, 3]),
        "seed": seed,
    }


def described(options: dict) -> str:
    parts = [f"{share:.0%} {kind}" for kind, share in options["faults"].items()]
    parts += [f"{options['kill']:.0%} killed"] * (options["kill"] > 0)
    parts += ["throttling"] * options["throttle"]
    return ", ".join(parts) or "nothing"


def begin(sky: SimpleNamespace, payload: dict) -> str:
    fields = {name: value for name, value in payload.items() if value is not None}
    # More than a throttled account has, so that ranks are turned away.
    return sky.cosmic.start({**small_sky.PAYLOAD, "max_concurrency": 100, **fields})


def judged(sky: SimpleNamespace, payload: dict, ended: dict) -> str:
    """How the execution ended, in words; raises where its result is not what it says."""
    if ended["status"] == "SUCCEEDED":
        small_sky.check_complete(sky, payload["result_path"])
        return "complete"
    if ended["status"] == "ABORTED":
        return "stopped"
    if ended["error"] == "IncompleteCatalogue":
        return f"without {', '.join(small_sky.check_incomplete(sky, payload['result_path']))}"
    if ended["error"] not in PASSING:
        raise Failed(f"an execution ended with {ended['error']}: {ended['cause']}")
    return ended["error"]


if __name__ == "__main__":
    main()
