"""`configs/paper.yaml` from end to end: its switches, with the real classes of its models, small numbers and generated text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.harness.paper_models import make_cased_bert, make_translator, make_xlm_roberta
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector_file import read_projector
from xner_ray.config.load import load_config
from xner_ray.sample.write import write_sample
from xner_ray.workflows.run import run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)
OF_TEXT = ("languages", "gold", "dev", "corpora", "evaluation")
# What the size of models and text asks for. With random weights no word reaches a probability, so the threshold is 0.
NUMBERS = {
    "ingest": {"max_pairs_per_language": 40, "shard_rows": 16},
    "teacher": {"training": {"learning_rate": 3.0e-3, "tokens_per_step": 64}},
    "aligner": {"num_examples": 60, "threshold": 0.0, "training": {"learning_rate": 5.0e-3, "sequences_per_step": 16}},
    "student": {"seeds": [1, 2], "training": {"learning_rate": 1.0e-3, "tokens_per_step": 256}},
}


def paper_config(folder: Path) -> Path:
    """Write the paper's config with the tiny models, and with text and gold of `configs/tiny.yaml`."""
    paper, tiny = (yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text()) for name in ("paper", "tiny"))
    write_sample(folder / "data", 60, 1, tiny["languages"], gold_sentences=160, eval_sentences=20)
    gold = (folder / "data" / "gold" / "en.train.conll").read_text("utf-8")
    words = [line.split("\t")[0] for line in gold.splitlines() if line]
    xlm_roberta, bert = make_xlm_roberta(folder / "xlm-roberta", words), make_cased_bert(folder / "bert-cased", words)
    config = {**paper, **{key: tiny[key] for key in OF_TEXT}, "out": str(folder / "out"), "data": str(folder / "data")}
    for section, keys in NUMBERS.items():
        for key, value in keys.items():
            merged = {**paper[section].get(key, {}), **value} if isinstance(value, dict) else value
            config[section] = {**config[section], key: merged}
    # The paper's students have the English training of the teacher; eight of those take too long here.
    config["student"]["source_training"] = {**config["teacher"]["training"], "epochs": 1}
    config["teacher"]["encoder"] = config["aligner"]["encoder"] = str(xlm_roberta)
    config["student"]["encoder"] = [str(bert), str(xlm_roberta)]
    config["aligner"]["translator"] = str(make_translator(folder / "translator"))
    file = folder / "paper.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def done(ray_session, tmp_path_factory):
    """The config, results and log lines of a run."""
    file = paper_config(tmp_path_factory.mktemp("paper"))
    config, lines = load_config(file), []
    return config, run(config, file, log=lines.append), lines


def job_of(model: str | Path) -> dict:
    return json.loads((Path(model) / "training.json").read_text())


def test_each_language_has_a_student_of_each_encoder_and_seed(done):
    _, results, _ = done
    students = results["folders"]["students"]
    assert len(students) == 8 and set(results["languages"]) == {"de", "zh"}
    for name, folder in students.items():
        job = job_of(folder)["job"]
        assert (job["training"]["loss"], job["training"]["gamma"], job["training"]["epochs"]) == (
            "reweighted_literal",
            4,
            1,
        )
        assert job["seed"] == int(name.rpartition("-")[2])
    starts = {job_of(folder)["job"]["start"] for folder in students.values()}
    assert len(starts) == 8  # a source model for each encoder, language and seed: Chinese has no MISC


def test_students_have_the_tokenizers_of_their_encoders(done):
    from transformers import AutoTokenizer

    _, results, _ = done
    tokenizers = {
        name: AutoTokenizer.from_pretrained(folder) for name, folder in results["folders"]["students"].items()
    }
    for name, tokenizer in tokenizers.items():
        assert type(tokenizer).__name__ == ("BertTokenizer" if "bert-cased" in name else "XLMRobertaTokenizer")
        assert tokenizer.tokenize("Berlin") != tokenizer.tokenize("berlin")  # cased
    labels = {x: set(job_of(f)["job"]["labels"]) for x, f in results["folders"]["students"].items()}
    assert all(("B-MISC" in found) == name.startswith("de") for name, found in labels.items())


def test_the_aligner_is_that_of_the_paper(done):
    config, results, _ = done
    paper = load_config(ROOT / "configs" / "paper.yaml", ["data=/d", "aligner.threshold=0"]).aligner
    assert read_projector(Path(results["folders"]["aligner"])).decoding == Decoding.from_config(paper)
    (trained,) = (Path(config.out) / "aligner" / "trained").glob("*/model")
    examples = [json.loads(line) for line in (trained.parent / "examples.jsonl").read_text("utf-8").splitlines()]
    assert {e["example_source"] for e in examples} == {"translator"}
    negatives = sum(not e["spans"] for e in examples)
    assert 0 < negatives <= round(len(examples) * config.aligner.negative_ratio) + 1
    assert job_of(trained)["steps"] == 3 * -(-len(examples) // 16)  # batches of sequences


def test_the_ledger_adds_up_and_sets_have_both_models(done):
    _, results, _ = done
    ledger = results["ledger"]
    total = ledger["kept"] + ledger["kept_no_entity"] + ledger["quarantined"] + sum(ledger["dropped"].values())
    assert total == ledger["read"] == 80 and ledger["kept"]
    for row in results["sets"].values():
        assert {"zero_transfer", "student"} <= set(row)
