"""The table: what a cell's file becomes, and that Parquet and CSV hold the same."""

import pytest

from tests.harness.study_tables import table, tiny
from xner_ray.errors import UserError
from xner_ray.workflows.study.grid import ALL, ZERO
from xner_ray.workflows.study.table import means, read_table, row_values, table_of, write_table


def test_a_row_for_each_set_and_type():
    rows = table("ablation", "languages=[de]").to_pylist()
    assert len(rows) == 18 * 2 * 4
    one = next(r for r in rows if r["setting"] == "mixed, reweighted" and r["seed"] == 3 and r["type"] == "ORG")
    assert (one["schedule"], one["loss"], one["gamma"], one["frozen_layers"]) == ("mixed", "reweighted", 4.0, 0)
    assert (one["train_sentences"], one["train_without_entity"], one["train_entities"]) == (40_000, 200, 0)
    assert (one["corpora"], one["eval_set"], one["eval_sentences"]) == ("SampleNews SampleTalks", "de news", 20)
    assert one["support"] == 11 and one["f1"] == one["precision"] - 0.5
    everything = next(r for r in rows if r["setting"] == "mixed, reweighted" and r["type"] == ALL)
    assert everything["train_entities"] == 1000


def test_zero_transfer_has_no_training():
    zero = [r for r in table("ablation").to_pylist() if r["setting"] == ZERO]
    assert zero and {r["schedule"] for r in zero} == {"source_only"}
    for key in ("loss", "gamma", "frozen_layers", "corpora", "train_sentences", "train_entities"):
        assert {r[key] for r in zero} == {None}


def test_cross_entropy_has_no_gamma():
    rows = table("ablation").to_pylist()
    assert {r["gamma"] for r in rows if r["loss"] == "cross_entropy"} == {None}


@pytest.mark.parametrize("study", ["ablation", "size", "domain", "loss"])
def test_csv_and_parquet_are_the_same_table(study, tmp_path):
    told = table(study)
    for name in ("t.csv", "t.parquet"):
        path = write_table(told, tmp_path / "new" / name)
        assert read_table(path).equals(told)
        first = path.read_bytes()
        assert write_table(told, path).read_bytes() == first


def test_what_is_no_table(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is no table of a study"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(UserError, match="no such file"):
        read_table(tmp_path / "y.csv")


def test_means_over_seeds():
    rows = means(table("ablation", "languages=[de]"))
    row = next(r for r in rows if r["setting"] == ZERO and r["type"] == ALL and r["eval_set"] == "de news")
    length = len(ZERO)
    assert (row["seeds"], row["f1"], row["f1_std"]) == (3, 52.0 + length, 1.0)
    assert len(rows) == 6 * 2 * 4
    alone = means(table("ablation", "languages=[de]", "study.ablation.seeds=[5]"))
    assert {r["f1_std"] for r in alone} == {None}


def test_a_type_that_only_some_sets_have():
    config = tiny("languages=[de]")
    from xner_ray.workflows.study.grid import Cell

    cell = Cell("x", "de", 1, {})
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    told = {"data": None, "sets": {"a": {**row, "types": {"PER": row}, "sentences": 1}}}
    assert [r["type"] for r in table_of(row_values("loss", cell, config, told)).to_pylist()] == [ALL, "PER"]
