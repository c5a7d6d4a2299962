"""Where the benchmark finds what it measures, and puts what it writes."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "payloads/demo/model.safetensors"
OUT = ROOT / "out/bench"
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
EXAMPLES = RELEASE / "examples"
# The folders of each engine's `throughput` and `rank`. scripts/bench.sh keeps those of the native one apart, built
# without libtorch: loading that library takes time and memory even where it is not used.
PROGRAMS = {"native": OUT / "native", "tch": EXAMPLES}
