"""The table: its rows for the result of a cell, and equal content of Parquet and CSV."""

import pytest

from tests.harness.study_tables import table, tiny
from xner_ray.errors import UserError
from xner_ray.workflows.study.grid import ALL, ZERO_TRANSFER
from xner_ray.workflows.study.table import cell_rows, means, read_table, table_of, write_table


def test_each_set_and_type_has_a_row():
    rows = table("ablation", "languages=[de]").to_pylist()
    assert len(rows) == 18 * 2 * 4
    row = next(r for r in rows if r["setting"] == "mixed, reweighted" and r["seed"] == 3 and r["type"] == "ORG")
    assert (row["schedule"], row["loss"], row["gamma"], row["frozen_layers"]) == ("mixed", "reweighted", 4.0, 0)
    assert (row["train_sentences"], row["train_without_entity"], row["train_entities"]) == (40_000, 200, 0)
    assert (row["corpora"], row["eval_set"], row["eval_sentences"]) == ("SampleNews SampleTalks", "de news", 20)
    assert row["support"] == 11 and row["f1"] == row["precision"] - 0.5
    all_types = next(r for r in rows if r["setting"] == "mixed, reweighted" and r["type"] == ALL)
    assert all_types["train_entities"] == 1000


def test_zero_transfer_has_no_values_of_a_training():
    zero = [r for r in table("ablation").to_pylist() if r["setting"] == ZERO_TRANSFER]
    assert zero and {r["schedule"] for r in zero} == {"source_only"}
    for key in ("loss", "gamma", "frozen_layers", "corpora", "train_sentences", "train_entities"):
        assert {r[key] for r in zero} == {None}


def test_cross_entropy_has_no_gamma():
    rows = table("ablation").to_pylist()
    assert {r["gamma"] for r in rows if r["loss"] == "cross_entropy"} == {None}


@pytest.mark.parametrize("study", ["ablation", "size", "domain", "loss"])
def test_csv_and_parquet_have_the_same_content(study, tmp_path):
    of_study = table(study)
    for name in ("t.csv", "t.parquet"):
        path = write_table(of_study, tmp_path / "new" / name)
        assert read_table(path).equals(of_study)
        first = path.read_bytes()
        assert write_table(of_study, path).read_bytes() == first


def test_wrong_file_is_an_error(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"x\.csv"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"y\.csv"):
        read_table(tmp_path / "y.csv")


def test_means_over_seeds():
    rows = means(table("ablation", "languages=[de]"))
    row = next(r for r in rows if r["setting"] == ZERO_TRANSFER and r["type"] == ALL and r["eval_set"] == "de news")
    length = len(ZERO_TRANSFER)
    assert (row["seeds"], row["f1"], row["f1_std"]) == (3, 52.0 + length, 1.0)
    assert len(rows) == 6 * 2 * 4
    one_seed = means(table("ablation", "languages=[de]", "study.ablation.seeds=[5]"))
    assert {r["f1_std"] for r in one_seed} == {None}


def test_type_that_one_set_lacks_has_no_row_for_it():
    config = tiny("languages=[de]")
    from xner_ray.workflows.study.grid import Cell

    cell = Cell("x", "de", 1, {})
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    result = {"data": None, "sets": {"a": {**row, "types": {"PER": row}, "sentences": 1}}}
    assert [r["type"] for r in table_of(cell_rows("loss", cell, config, result)).to_pylist()] == [ALL, "PER"]
