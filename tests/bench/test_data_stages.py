"""The benchmark of the stages `ingest` and `dataset` at a tiny size, in one process."""

from bench.data_stages import measure, write_archives, write_filtered


def test_both_stages_run(tmp_path):
    write_filtered(tmp_path / "filter", 20_000)
    write_archives(tmp_path, 50)
    assert measure("dataset", "process", tmp_path, 20_000, 100)["pairs_per_second"] > 0
    assert measure("ingest", "process", tmp_path, 200, 100)["pairs_per_second"] > 0
    assert (tmp_path / "InProcess.parquet").exists() and (tmp_path / "InProcess" / "ingest" / "es").exists()
