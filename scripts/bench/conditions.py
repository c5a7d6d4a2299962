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
    return f"""\
How it was measured: galaxies/s are medians of {report["rounds"]} rounds, in each of which all engines had their turn, one
after the other, on {report["accuracy_galaxies"]} simulated galaxies; a turn begins with batches that are not timed. Each
engine has {threads} threads, gradients are off, and each ran in its fastest setting that was found: channels last in
PyTorch, freezing and no broken graph in torch.compile, all graph optimisations in ONNX Runtime, fixed shapes and the hint
for latency (with streams: for throughput, that many batches in flight) in OpenVINO. Before and after each turn the
process asks its runtime for mode, threads and precision, and stops where they are not as named. Accuracy is against
PyTorch in float64: |Δz|/(1+z), and σ_NMAD against the true redshifts (float64: {report["sigma_nmad_f64"]:.5f}).
versions: {"; ".join(versions)}; Python {conditions["python"]}, Linux {conditions["kernel"]}
variables: {environment}; governor: {conditions["governor"]}; clock in MHz: {clock}
load average: {conditions["load_before"]:.2f} before, {conditions["load_after"]:.2f} after (of which {threads} are the benchmark's own); \
{report["minutes"]:.0f} minutes"""
