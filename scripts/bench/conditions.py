"""Under which conditions a run was measured: what a reader needs to judge whether it was fair."""

import os
import platform
import re
from pathlib import Path

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
# Variables that change how many threads a runtime has or which kernels it chooses. Each runtime has its own defaults.
VARIABLES = ("OMP_", "KMP_", "GOMP_", "MKL_", "DNNL_", "ONEDNN_", "ORT_", "OV_", "TORCH", "LD_PRELOAD", "MALLOC_")


def before() -> dict:
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        # A virtual machine does not show it.
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.exists() else "not shown",
        "mhz": [float(clock) for clock in re.findall(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())],
        "environment": {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)},
        "load_before": os.getloadavg()[0],
    }


def describe(report: dict) -> str:
    """The note below the table."""
    conditions, threads = report["conditions"], report["threads"]
    clock = ", ".join(f"{mhz:.0f}" for mhz in conditions["mhz"]) or "not shown"
    environment = ", ".join(f"{name}={value}" for name, value in conditions["environment"].items()) or "none"
    versions = sorted({one["version"] for one in report["engines"].values() if "version" in one})
    note = f"""\
How it was measured. Galaxies/s are medians of {report["rounds"]} rounds, in each of which every engine had a turn;
a turn begins with batches that are not timed. Each engine has {threads} threads, and all predict the same simulated
galaxies. Each ran in the fastest setting that was found for it: channels last in PyTorch, freezing and no broken
graph in torch.compile, all graph optimisations in ONNX Runtime, fixed shapes in OpenVINO and its hint for latency,
or for throughput with streams, which have as many batches in flight. Around each turn a process asks its runtime
for mode, threads and precision, and stops where they are not those that its row names. Accuracy is against PyTorch
in float64 on {report["accuracy_galaxies"]} galaxies, and σ_NMAD against their true redshifts (float64:
{report["sigma_nmad_f64"]:.5f}).
"""
    load = (
        f"load average {conditions['load_before']:.2f} before and {conditions['load_after']:.2f} after, its own in it"
    )
    return note + "\n".join(
        [
            f"versions: {'; '.join(versions)}; Python {conditions['python']}, Linux {conditions['kernel']}",
            f"variables: {environment}; governor: {conditions['governor']}; clock in MHz: {clock}",
            f"{load}; {report['minutes']:.0f} minutes",
        ]
    )
