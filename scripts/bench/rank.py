"""Time and peak memory of one rank, from a local file of simulated galaxies, at sizes from one galaxy to 1 GB."""

import json
import os
import subprocess
import sys
import tempfile

from bench.engines import ENGINES
from bench.paths import MODEL, PROGRAMS, RELEASE

ROW_BYTES = 5 * 32 * 32 * 4
# In the units of the published partitions: 100 MB are 100 × 2²⁰ bytes. One galaxy shows what a cold start costs.
SIZES = {"1 galaxy": ROW_BYTES, "100 MB": 100 << 20, "1 GB": 1 << 30}
BATCH_SIZE = 512
# The function's environment in infra/template.yaml; crates/launcher removes it where libtorch is used.
ENVIRONMENT = {"native": {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "2"}, "tch": {}}


def measure(engine: str, threads: int) -> dict:
    label = ENGINES[engine].label
    print(f"{'one rank, ' + label:>20}{'galaxies':>10}{'seconds':>9}{'galaxies/s':>12}{'peak memory':>13}")
    ranks = {}
    for name, size in SIZES.items():
        rows = size // ROW_BYTES
        with tempfile.TemporaryDirectory() as folder:
            simulate = [RELEASE / "cosmic", "simulate", "--count", str(rows), "--out", f"{folder}/1.pt"]
            subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL)
            command = [PROGRAMS[engine] / "rank", folder, MODEL, engine, str(BATCH_SIZE), str(threads)]
            environment = os.environ | ENVIRONMENT[engine]
            finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        record = json.loads(finished.stdout)
        if record["work"]["rows"] != rows:
            sys.exit(f"the rank predicted {record['work']['rows']} of {rows} galaxies")
        seconds, memory = record["wall_seconds"], record["peak_memory_mb"]
        ranks[name] = {"galaxies": rows, "seconds": seconds, "peak_memory_mb": memory}
        print(f"{name:>20}{rows:10}{seconds:9.2f}{rows / seconds:12.0f}{memory:10.0f} MB", flush=True)
    print()
    return ranks
