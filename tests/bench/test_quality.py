"""bench.quality on a small finished run and models with random weights. Peers are a script that aligns equal positions."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest
import yaml

from bench import projection_quality
from bench.aligners import _overrides, seed_link, train_aligners
from bench.kept import Kept
from bench.projection_quality import gold_sets, measure, spread
from bench.quality import quality_of_run
from tests.harness import small_run
from tests.harness.stage_context import stage_context
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.evaluation.text_scores import pipeline_scores
from xner_ray.results.run_results import RunResults
from xner_ray.storage.fingerprint import hash_folder
from xner_ray.text.conll import read_conll

PEER = """#!{python}
import json, sys
pairs = json.load(sys.stdin)
links = [[[i, i, 1.0] for i in range(min(len(a), len(b)))] for a, b in pairs]
print(json.dumps({{"seconds": 0.5, "links": links}}))
"""
SOURCE = "Bonn B-LOC\nbeat O\nParis B-LOC\n\nNobody O\n\nAnna B-PER\nsings O\n"
TARGETS = {
    "de": "Bonn B-LOC\nschlug O\nParis B-LOC\n\nNiemand O\n\nAnna B-PER\nsingt O\n",
    "zh": "波 B-LOC\n胜 O\n\n无 O\n\n安 B-PER\n唱 O\n",
}


@pytest.fixture
def sets(tmp_path):
    for name, text in (("en", SOURCE), *TARGETS.items()):
        (tmp_path / f"tiny.{name}.conll").write_text(text, encoding="utf-8")
    return gold_sets(tmp_path)


@pytest.fixture
def finished(tmp_path, tiny_models) -> RunResults:
    """A finished run whose German and Chinese students have random weights."""
    run = small_run.make_run(tmp_path / "run")
    for student in run.students:
        shutil.copytree(tiny_models[0], student.folder, dirs_exist_ok=True)
    gold = run.out / "sample" / "gold"
    (gold / "zh.eval.conll").write_text("北\tB-LOC\n京\tI-LOC\n好\tO\n", encoding="utf-8")
    for row in run.results["sets"].values():
        row["student"] |= {"text": {"f1": 19.5}, "ece": 3.5}
        row["by_seed"] = [{"zero_transfer": 10.0, "student": 20.0}]
    run.results["source_sets"] = {"english": {"f1": 90.0, "ece": 1.5}}
    return run


def test_sets_and_calibration_of_a_run(finished, tmp_path):
    results = quality_of_run(finished, Kept(tmp_path / "kept"))
    assert list(results["sets"]) == ["german", "chinese"]
    german = results["sets"]["german"]
    assert german["zero_transfer"] == {"f1": 10.0} and german["text"] == {"f1": 19.5}
    assert german["student"] == {"f1": 20.0, "sd": 0.0, "seeds": [20.0]}
    gold = read_conll(finished.out / "sample" / "gold" / "de.eval.conll", "de")
    assert german["pipeline"]["f1"] == pipeline_scores(finished.students[0].folder, gold)["f1"]
    assert results["calibration"] == {"source": 1.5, "de": 3.5, "zh": 3.5, "german": 3.5, "chinese": 3.5}


def test_kept_scores_are_not_measured_again(finished, tmp_path, monkeypatch):
    first = quality_of_run(finished, Kept(tmp_path / "kept"))
    monkeypatch.setattr("bench.quality.pipeline_scores", None)  # calling it would raise
    assert quality_of_run(finished, Kept(tmp_path / "kept")) == first


def test_kept_measurements_belong_to_their_inputs(tmp_path):
    kept = Kept(tmp_path)
    assert [kept.get({"a": 1}, lambda: 10), kept.get({"a": 1}, lambda: 11), kept.get({"a": 2}, lambda: 12)] == [
        10,
        10,
        12,
    ]


def test_a_run_without_its_results_is_an_error_with_a_remedy(finished, tmp_path):
    with pytest.raises(UserError) as caught:
        RunResults.open(tmp_path / "none")
    assert "xner run" in str(caught.value.remedy)
    for row in finished.results["sets"].values():
        del row["by_seed"]  # as older versions wrote it
    with pytest.raises(UserError) as caught:
        quality_of_run(finished, Kept(tmp_path / "kept"))
    assert caught.value.file == finished.out / "results.json" and "xner run" in str(caught.value.remedy)
    del finished.results["source_sets"]
    with pytest.raises(UserError) as caught:
        quality_of_run(finished, Kept(tmp_path / "kept"))
    assert caught.value.key == "dev"


def test_projection_of_all_seeds_beside_the_peers(sets, tiny_models, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text(PEER.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(projection_quality, "environment", lambda name, requirements: script)
    monkeypatch.setattr(projection_quality, "encoder_folder", lambda name: Path(tiny_models[0]))
    aligners = [tiny_models[1]] * 2
    results = measure(sets, aligners, "tiny", Kept(tmp_path / "kept"))
    assert [(name, list(rows)) for name, rows in results["projection"].items()] == [("tiny", ["de", "zh"])]
    for row in (*results["projection"]["tiny"].values(), results["projection_all"]):
        assert list(row) == ["f1", "sd", "seeds", "over_simalign", "over_awesome"] and len(row["seeds"]) == 2
        gain = row["over_simalign"]
        assert list(gain) == ["mean", "low", "high"] and gain["low"] <= gain["mean"] <= gain["high"]
    german = results["projection"]["tiny"]["de"]
    assert german["over_awesome"]["mean"] == pytest.approx(german["f1"] - 100)  # equal positions are right in German
    assert (
        results["pairs_per_second"]["awesome-align"] == 4.0
    )  # two sets of two pairs with an entity, half a second each
    monkeypatch.setattr(projection_quality, "environment", None)  # calling it would raise
    monkeypatch.setattr(projection_quality, "Projector", None)
    assert measure(sets, aligners, "tiny", Kept(tmp_path / "kept")) == results


def test_a_folder_without_gold_sets_is_an_error(tmp_path):
    with pytest.raises(UserError) as caught:
        gold_sets(tmp_path)
    assert caught.value.file == tmp_path and caught.value.key == "--projection"


def test_spread_of_seeds():
    assert spread([90.0, 92.0, 94.0]) == {"f1": 92.0, "sd": 2.0, "seeds": [90.0, 92.0, 94.0]}
    assert spread([90.0])["sd"] == 0.0


def test_aligners_use_each_corpus_in_the_languages_that_it_has(tmp_path):
    for file in ("en-it/tatoeba.tsv", "en-ar/flores-wiki.tsv", "en-it/flores-wiki.tsv"):
        (tmp_path / "parallel" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "parallel" / file).write_text("")
    real = Path(__file__).parents[2] / "configs" / "real.yaml"
    keys = [f"data={tmp_path}", f"out={tmp_path / 'out'}"]
    config = load_config(real, [*keys, *_overrides(load_config(real, keys), ["ar", "it"])])
    assert config.languages == ["ar", "it"]
    assert [c.name for c in config.corpora_of("it")] == ["flores-wiki", "tatoeba"]
    assert [c.name for c in config.corpora_of("ar")] == ["flores-wiki"]
    assert config.aligner == load_config(real, keys).aligner, json.dumps(keys)


def test_aligners_share_the_teacher_and_are_trained_once(sets, tiny_encoder, tmp_path):
    ctx = stage_context(tmp_path, tiny_encoder)
    (tmp_path / "tiny.zh.conll").unlink()  # the corpus is German
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(ctx.config.model_dump(mode="json", exclude_unset=True)))
    links = train_aligners(file, [], ["1", "2"], tmp_path, ctx.executor)
    assert links == [seed_link(ctx.out, seed) for seed in ("1", "2")]
    assert hash_folder(links[0]) != hash_folder(links[1])
    trained = {path: path.stat().st_mtime_ns for path in ctx.out.rglob("model.safetensors")}
    assert len([path for path in trained if "teacher" in path.parts and "external" not in path.parts]) == 1
    assert train_aligners(file, [], ["1", "2"], tmp_path, ctx.executor) == links
    assert {path: path.stat().st_mtime_ns for path in ctx.out.rglob("model.safetensors")} == trained
