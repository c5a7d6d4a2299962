"""The zip of `scripts/package.sh --libtorch`: both engines in one function, chosen by the payload."""

import io

import pandas


def test_both_engines_give_the_same_redshifts_and_the_results_say_which(cosmic):
    catalogues = {}
    for engine, description in (("tch", "tch (libtorch "), ("native", "native (")):
        run = cosmic.run(engine=engine, result_path=f"by-{engine}")
        assert run.code == 0 and run.report["results"]["made_by"]["engine"].startswith(description), run.report
        catalogues[engine] = pandas.read_parquet(io.BytesIO(cosmic.read(f"by-{engine}/predictions.parquet")))
    tch, native = catalogues["tch"], catalogues["native"]
    assert len(tch) == len(native) > 0
    assert tch[["source_file", "row_index"]].equals(native[["source_file", "row_index"]])
    assert (tch["z_phot"] - native["z_phot"]).abs().max() < 2e-5
