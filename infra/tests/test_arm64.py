"""The functions built for Arm, run under qemu: scripts/test_arm64.sh packages them first."""

import io
import json

import pandas
import pytest

from conftest import MODEL, ROOT

PACKAGED = ROOT / "target/packages/package.json"


@pytest.mark.skipif(
    not PACKAGED.is_file() or json.loads(PACKAGED.read_text())["architecture"] != "arm64",
    reason="the zips are not for Arm: scripts/test_arm64.sh makes such ones and runs this",
)
def test_an_execution_on_arm_gives_the_same_redshifts_and_says_what_made_them(cosmic, demo_sky, tmp_path):
    files = ["3.pt", "10.pt"]
    prefix = cosmic.upload("few", {name: (demo_sky / name).read_bytes() for name in files})
    run = cosmic.run(prefix=prefix, result_path="on-arm")
    assert run.code == 0 and run.report["results"]["made_by"]["engine"].endswith("threads)"), run.report
    assert "NEON" in run.report["results"]["made_by"]["engine"]
    logs = json.loads(cosmic.stack.cosmic("logs", "--json", "--execution", run.report["execution_arn"]).stdout)
    assert {invocation["architecture"] for invocation in logs["invocations"]} == {"arm64"}

    cosmic.stack.cosmic("infer", "--data", f"s3://{cosmic.bucket}/{prefix}", "--model", MODEL, "--out", tmp_path)
    here = pandas.read_parquet(tmp_path / "predictions.parquet")
    on_arm = pandas.read_parquet(io.BytesIO(cosmic.read("on-arm/predictions.parquet")))
    assert len(on_arm) == len(here) == 26
    assert on_arm[["source_file", "row_index"]].equals(here[["source_file", "row_index"]])
    assert (on_arm["z_phot"] - here["z_phot"]).abs().max() < 2e-5
