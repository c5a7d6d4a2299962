"""Names the processor so that a reader knows which it is.

A cloud machine calls itself no more than "AMD EPYC"; family, model and stepping tell Zen 3 from Zen 4, and the vector
extensions say which of the engines' kernels and precisions it can run.
"""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

# The extensions that decide how fast a network runs: f32 vectors, products of int8 and of bfloat16.
EXTENSIONS = (
    # x86-64
    "fma", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
    # 64-bit Arm
    "asimd", "asimdhp", "asimddp", "sve", "i8mm", "bf16",
)  # fmt: skip


@dataclass
class Processor:
    name: str
    # As /proc/cpuinfo has them: family, model and stepping on x86-64; implementer, part, variant and revision on Arm.
    identity: dict[str, str]
    extensions: list[str]
    cores: int

    def __str__(self) -> str:
        identity = ", ".join(f"{key} {value}" for key, value in self.identity.items())
        return f"{self.name} ({identity}; {' '.join(self.extensions)}; {self.cores} cores)"

    def as_dict(self) -> dict:
        return asdict(self)


def this_processor() -> Processor:
    """The processor that this runs on."""
    fields = _first_processor(Path("/proc/cpuinfo").read_text())
    names = {
        "cpu family": "family", "model": "model", "stepping": "stepping",
        "CPU implementer": "implementer", "CPU part": "part", "CPU variant": "variant", "CPU revision": "revision",
    }  # fmt: skip
    flags = fields.get("flags", fields.get("Features", "")).split()
    return Processor(
        name=fields.get("model name", platform.machine()),
        identity={short: fields[long] for long, short in names.items() if long in fields},
        extensions=[extension for extension in EXTENSIONS if extension in flags],
        cores=os.cpu_count() or 1,
    )


def _first_processor(cpuinfo: str) -> dict[str, str]:
    """The fields of the first processor in the contents of /proc/cpuinfo."""
    pairs = (line.partition(":") for line in cpuinfo.strip().split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
