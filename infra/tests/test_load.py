"""A small run of the load test, which `scripts/load_test.sh` makes of 10,000 ranks."""

import json

import load
from conftest import Stack


def test_what_step_functions_carries_does_not_grow_with_the_ranks():
    with Stack("--options", json.dumps(load.OPTIONS)) as stack:
        figures = {figure.name: figure.value for figure in load.load(stack, 100)}
    assert figures["events in the execution's history"] < 40
    assert figures["events in a rank's history, at most"] < 10
    for name in ("largest data of a state of the execution", "largest data of a state of a rank"):
        assert figures[name] < 4096, name
