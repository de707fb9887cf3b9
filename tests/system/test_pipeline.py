"""All stages under a real Ray, on random weights. Finished stages are skipped, and changed stages run again."""

import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.ner.tagger import open_tagger
from xner_ray.pipeline.pipeline import build_pipeline, describe
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.results.run_results import RunResults
from xner_ray.workflows.run import run

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "tiny.yaml"
pytestmark = pytest.mark.timeout(1500)  # the first test includes the whole run


@pytest.fixture(scope="module")
def out(ray_session, tmp_path_factory):
    """The folder, results and log lines of one full run."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    lines = []
    results = run(load_config(CONFIG, [f"out={folder}"]), CONFIG, log=lines.append)
    return folder, results, lines


def again(folder, *overrides, stages=None):
    lines = []
    return run(load_config(CONFIG, [f"out={folder}", *overrides]), CONFIG, stages, log=lines.append), lines


def test_results_have_scores_for_each_language(out):
    folder, results, _ = out
    saved = json.loads((folder / "results.json").read_text())
    assert saved == json.loads(json.dumps(results))
    assert set(saved["languages"]) == {"de", "zh"}
    for row in saved["languages"].values():
        for model in ("zero_transfer", "student"):
            assert {"precision", "recall", "f1"} <= set(row[model])
        assert row["sentences"] == 20
    stages = build_pipeline(load_config(CONFIG, [f"out={folder}"]))
    assert set(saved["seconds"]) == {*(stage.name for stage in stages), "total"}


def test_gains_have_confidence_intervals(out):
    _, results, _ = out
    for row in results["sets"].values():
        for part in (row["zero_transfer"], row["student"], row["gain"]):
            low, high = part["f1_interval"]
            assert low <= part["f1"] <= high
            assert all("f1_interval" in one for one in part["types"].values())
        assert "draws" not in row["student"] and "calibration" in row["student"]


def test_report_is_written(out):
    folder, _, lines = out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "tiny" in page and f"[report] {folder / 'report.html'}" in lines
    work = [json.loads(line) for line in (folder / "work.jsonl").read_text().splitlines()]
    assert {(w["stage"], w["amount"].get("pairs")) for w in work} >= {("label", 80), ("filter", 80)}
    assert {w["stage"] for w in work} == {"ingest", "label", "filter", "evaluate"}


def test_ledger_adds_up(out):
    _, results, _ = out
    ledger = results["ledger"]
    assert ledger["read"] == 80
    total = ledger["kept"] + ledger["kept_no_entity"] + ledger["quarantined"] + sum(ledger["dropped"].values())
    assert total == ledger["read"]


def test_chinese_has_no_misc(out):
    _, results, _ = out
    labels = json.loads((Path(results["folders"]["students"]["zh"]) / "config.json").read_text())["id2label"].values()
    assert not any("MISC" in x for x in labels)
    german = json.loads((Path(results["folders"]["students"]["de"]) / "config.json").read_text())["id2label"].values()
    assert "B-MISC" in german


def test_dataset_has_a_tag_for_each_token(out):
    _, results, _ = out
    for file in results["folders"]["datasets"].values():
        table = pq.read_table(file)
        assert table.num_rows
        for row in table.to_pylist():
            assert len(row["tokens"]) == len(row["ner_tags"])
            assert "".join(row["tokens"]) == "".join(row["target"].split())


def test_students_load_as_transformers_pipelines(out):
    from transformers import pipeline

    _, results, _ = out
    texts = {"de": "Anna Keller (SPD) wohnt in Wien, „Bonn“ und Graz.", "zh": "安娜·凯勒住在北京（中国）。"}
    for language, student in results["folders"]["students"].items():
        theirs = pipeline("token-classification", model=student, aggregation_strategy="none", ignore_labels=[])
        tagger = open_tagger(student, precision="fp32")
        labels = tagger.probabilities(tagger.tokenizer([texts[language]])).argmax(axis=1)
        assert [tagger.labels[i] for i in labels] == [e["entity"] for e in theirs(texts[language])]
        assert tagger.tag([texts[language]]) == tagger.tag([texts[language]], language)


def test_second_run_does_nothing(out):
    folder, results, _ = out
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")} | {
        p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")
    }
    second, lines = again(folder)
    assert {k: second[k] for k in ("languages", "ledger", "folders")} == {
        k: results[k] for k in ("languages", "ledger", "folders")
    }
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert not any("step" in line for line in lines)


def test_changed_threshold_does_not_label_again(out):
    folder, _, _ = out
    stores = set((folder / "label").iterdir())
    with pytest.raises(UserError, match="no sentence with entities was kept"):
        again(folder, "rules.min_projection_score=1.0", stages=["dataset"])
    assert set((folder / "label").iterdir()) == stores
    assert len(list((folder / "filter").iterdir())) == 2


def test_other_run_in_the_same_folder_is_an_error(out):
    folder, _, _ = out
    with pytest.raises(UserError, match="belongs to the run"):
        again(folder, "name=other")


def test_results_are_exported(out, tmp_path):
    folder, results, _ = out
    for student in results["folders"]["students"].values():
        assert "## Training" in (Path(student) / "README.md").read_text(encoding="utf-8")
    exported = export_run(RunResults.open(folder), tmp_path / "out", ExportOptions("hf", {"train": 1.0}, 1))
    assert set(exported.labels) == {"de", "zh"} and not any("MISC" in x for x in exported.labels["zh"])
    assert sum(exported.sentences.values()) == sum(
        pq.read_table(f).num_rows for f in results["folders"]["datasets"].values()
    )


def test_commands_in_the_docs_work(out, tmp_path):
    """The commands in docs/ that need a finished run. Those of the tutorial are in test_docs.py."""
    folder, results, _ = out
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("interchange.md", "operations.md"))
    lines = re.findall(r"^    xner ((?:export|export-model|push|status|quarantine list) [^#>\n]*)", text, re.MULTILINE)
    assert len(lines) >= 9 and lines[0].split() == ["export", "OUT", "--out", "DIR"]
    given = {"export-model": results["folders"]["students"]["de"], "push": tmp_path / "0"}
    for number, line in enumerate(lines):
        words = line.split()
        places = {"OUT": folder, "DIR": given.get(words[0], tmp_path / f"{number}"), "DIR-onnx": tmp_path / "onnx"}
        result = CliRunner().invoke(app, [str(places.get(word, word)) for word in words])
        assert result.exit_code == 0, f"{line}: {result.output}"


@pytest.mark.slow
def test_truncated_files_are_made_again(out):
    """One file of each stage directory and one shard of each store lose their second half."""
    folder, results, _ = out
    truncated = []
    for marker in folder.rglob("done.json"):
        names = [n for n in json.loads(marker.read_text())["files"] if n not in ("parts.json", "plan.json")]
        truncated += [marker.parent / max(names, key=lambda n: (marker.parent / n).stat().st_size)] if names else []
    for stage in ("label", "filter"):
        truncated.append(max((folder / stage).glob("*/*.parquet")))
    stages = {file.relative_to(folder).parts[0] for file in truncated}
    assert stages == {"sample", "ingest", "teacher", "aligner", "label", "filter", "dataset", "student", "scores"}
    for file in truncated:
        os.truncate(file, file.stat().st_size // 2)
    second, lines = again(folder)
    assert {k: second[k] for k in ("languages", "ledger")} == {k: results[k] for k in ("languages", "ledger")}
    repaired = {line.split("]")[0].strip("[") for line in lines if "damaged:" in line}
    assert repaired == (stages - {"scores"}) | {"evaluate"}
    _, lines = again(folder)
    assert not any("damaged" in line for line in lines)


@pytest.mark.slow
def test_external_teacher_labels_its_types(out, tmp_path):
    folder, _, _ = out
    (model,) = (folder / "teacher" / "source").glob("*/model")
    names = "{PER: PERSON, MISC: O}"
    _, lines = again(folder, f"teacher.model={model}", f"teacher.label_map={names}", stages=["label"])
    assert any("[teacher]" in line and "labels LOC ORG PERSON" in line for line in lines)
    assert any("PERSON: no gold sentence has these types" in line for line in lines)
    newest = max((folder / "label").iterdir(), key=lambda p: p.stat().st_mtime)
    entities = pa.concat_tables(map(pq.read_table, newest.glob("*.parquet"))).column("entities").combine_chunks()
    types = set(entities.flatten().field("type").to_pylist())
    assert types and types <= {"LOC", "ORG", "PERSON"}


def test_plan_of_the_paper_config():
    config = load_config(CONFIG.with_name("paper.yaml"), ["data=/nowhere"])
    plans = dict(describe(config))
    assert "40 models" in plans["student"]
    assert config.teacher.encoder == config.aligner.encoder == "FacebookAI/xlm-roberta-large"
    assert config.student.training.gamma == 4 and len(config.student.seeds) == 5
    assert config.dataset.max_sentences == 40_000


def test_unknown_stage_is_an_error():
    with pytest.raises(UserError, match="is not a stage"):
        run(load_config(CONFIG, ["out=/nowhere"]), stages=["dance"])
