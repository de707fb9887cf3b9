"""Cards: all sections, correct numbers, and names that cannot break them."""

import json
import shutil

import pytest
import yaml

from xner_ray.errors import UserError
from xner_ray.results.export.contamination_check import check_contamination
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.results.export.markdown import cell, escaped
from xner_ray.results.export.model_card import write_model_cards
from xner_ray.results.export.provenance import sources
from xner_ray.results.run_results import RunResults

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def front(text: str) -> dict:
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


def test_dataset_card(run, tmp_path):
    summary = export_run(run, tmp_path / "out", ExportOptions("hf", SHARES, 1))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    head = front(card)
    assert head["language"] == ["de", "zh"] and head["task_ids"] == ["named-entity-recognition"]
    listed = {f"{x['path']}" for config in head["configs"] for x in config["data_files"]}
    assert listed == set(summary.files)
    for section in (
        "Sentences",
        "Sources",
        "Method",
        "Ledger",
        "Scores",
        "Results",
        "Contamination check",
        "Intended use and limits",
    ):
        assert f"## {section}" in card
    assert "| de | 100 | 80 | 0 | 20 | 0 | 40 |" in card  # the ledger, and how many of the kept were selected
    assert "| de | german | 2 | 10.00 | 20.00 | 10.00 |" in card
    assert "| SampleNews | v1 | de | news | not recorded |" in card
    assert "| de | teacher | 40 | 0.50 |" in card and "| de | aligner | 40 | 0.90 |" in card


def test_contamination_finds_the_planted_sentence(run):
    by_name = {x.name: x for x in check_contamination(run)}
    assert (by_name["german"].sentences, by_name["german"].in_dataset) == (2, 1)
    assert by_name["chinese"].sentences is None  # its file does not exist


def test_version_and_license_come_from_the_receipt(run):
    folder = run.out / "sample" / "SampleNews" / "v1" / "moses"
    folder.mkdir(parents=True)
    receipt = {"version": "v9", "url": "https://opus.example/x.zip", "license": {"name": "CC-BY 4.0", "text": "..."}}
    (folder / "de-en.txt.zip.json").write_text(json.dumps(receipt))
    (folder / "en-zh.txt.zip.json").write_text("[broken")
    known = {(s.corpus, s.language): (s.version, s.license, s.url) for s in sources(run)}
    assert known["SampleNews", "de"] == ("v9", "CC-BY 4.0", "https://opus.example/x.zip")
    assert known["SampleNews", "zh"] == ("v1", None, None)


def test_model_cards(run):
    written = write_model_cards(run)
    assert sorted(p.parent.parent.parent.name for p in written) == ["de", "zh"]
    card = next(p for p in written if "/de/" in str(p)).read_text(encoding="utf-8")
    head = front(card)
    assert head["pipeline_tag"] == "token-classification" and head["language"] == ["de"]
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert {"type": "f1", "value": 20.0, "name": "entity f1"} in metrics
    assert "| german | zero-transfer | 10.00 | 10.00 | 10.00 | 2 |" in card
    assert "steps 7" in card and 'aggregation_strategy="simple"' in card


def test_moved_run_can_be_read(run, tmp_path):
    shutil.move(run.out, tmp_path / "elsewhere")
    moved = RunResults.open(tmp_path / "elsewhere")
    assert all(p.is_file() for p in moved.datasets.values()) and moved.labels("de")


def test_missing_or_damaged_results_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"results\.json"):
        RunResults.open(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        RunResults.open(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="not the file of a finished run") as e:
        RunResults.open(tmp_path)
    assert (e.value.file, e.value.key) == (tmp_path / "results.json", "folders") and e.value.remedy


def test_config_of_another_version_is_an_error(run, tmp_path):
    results = {**json.loads((run.out / "results.json").read_text()), "config": {"nmae": "x"}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=r"another version of xner wrote the config of this run: .*nmae"):
        _ = RunResults.open(tmp_path).config


def test_text_in_tables_is_escaped():
    assert escaped("a|b\n<script>`x`") == "a\\|b &lt;script>\\`x\\`"
    assert [cell(x) for x in (None, 1234, 0.5, "")] == ["–", "1,234", "0.50", "–"]
