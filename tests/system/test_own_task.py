"""A user's task: own entity types in an IOB1 CoNLL file, French and Japanese sentence pairs as TSV, and a config.

Some sentences are in the training data and in the evaluation data. No model may be trained on them.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from xner_ray.config.load import load_config
from xner_ray.text.words import detokenize
from xner_ray.workflows.run import run

pytestmark = pytest.mark.timeout(900)
DRUGS = ["Alvorin", "Bexatol", "Curamide", "Doltrex", "Enoxil", "Fenvarine", "Gliprol", "Hexaval"]
PRODUCTS = {"DosePen 3": 2, "VitaPatch": 1, "InhalBox Pro": 2, "PumpOne": 1, "NasoJet": 1}  # name -> number of tokens
FRAMES = {
    "en": "We now ship {d} with the {p} .",
    "fr": "Nous livrons désormais {d} avec le {p} .",
    "ja": "{d} は {p} と 一緒 に 出荷 して いる 。",
}
# Every third sentence has only a drug: an untrained aligner gives each entity the whole sentence, and two such spans overlap.
ALONE = {"en": "We now ship {d} .", "fr": "Nous livrons désormais {d} .", "ja": "{d} を 出荷 して いる 。"}
CONFIG = """
name: pharma
out: {out}
data: {data}
languages: [fr, ja]
gold: [{{path: "{{data}}/train.conll", scheme: iob1}}]
dev: [{{path: "{{data}}/dev.conll", name: english, scheme: iob1}}]
corpora: [{{name: leaflets, format: tsv, path: "{{data}}/{{language}}.tsv"}}]
ingest: {{max_pairs_per_language: 60, shard_rows: 20}}
teacher:
  encoder: tiny
  training: {{epochs: 8, learning_rate: 3.0e-3, tokens_per_step: 256, freeze_embeddings: false}}
aligner: {{encoder: tiny, similarity_layer: 1, num_examples: 40, threshold: 0.0, training: {{learning_rate: 5.0e-3}}}}
student: {{encoder: tiny, training: {{learning_rate: 1.0e-3}}}}
evaluation:
  - {{name: french, language: fr, path: "{{data}}/fr.conll"}}
  - {{name: japanese, language: ja, path: "{{data}}/ja.conll"}}
"""


def sentence(language: str, n: int) -> str:
    """Sentence n, tokenized by spaces."""
    names = list(PRODUCTS)
    frame = (ALONE if n % 3 == 2 else FRAMES)[language]
    return frame.format(d=DRUGS[n % len(DRUGS)], p=names[n % len(names)]) + (f" {n}" if n >= 40 else "")


def conll(language: str, numbers, begin: str) -> str:
    """Sentences as CoNLL. `begin` is the prefix of the first tag of an entity: B in BIO2, I in IOB1."""
    blocks = []
    for n in numbers:
        tokens = sentence(language, n).split()
        tags = ["O"] * len(tokens)
        tags[tokens.index(DRUGS[n % len(DRUGS)])] = f"{begin}-DRUG"
        product = list(PRODUCTS)[n % len(PRODUCTS)].split()
        if product[0] in tokens:
            at = tokens.index(product[0])
            tags[at : at + len(product)] = [f"{begin}-PRODUCT"] + ["I-PRODUCT"] * (len(product) - 1)
        blocks.append("".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True)))
    return "\n".join(blocks)


@pytest.fixture(scope="module")
def done(ray_session, tmp_path_factory):
    data = tmp_path_factory.mktemp("own")
    (data / "train.conll").write_text(conll("en", range(40), "I"), encoding="utf-8")
    (data / "dev.conll").write_text(conll("en", [3, 100, 101], "I"), encoding="utf-8")  # 3 is in train.conll too
    for language in ("fr", "ja"):
        held = [5, 6, 100, 101]  # 5 and 6 are in the corpus too
        (data / f"{language}.conll").write_text(conll(language, held, "B"), encoding="utf-8")
        lines = []
        for n in range(60):
            source, target = (detokenize(sentence(x, n).split(), x)[0] for x in ("en", language))
            lines.append(f"{n}\t{source}\t{target.upper() if n == 6 else target}\n")
        (data / f"{language}.tsv").write_text("".join(lines), encoding="utf-8")
    file = data / "config.yaml"
    file.write_text(CONFIG.format(out=data / "out", data=data))
    return data, run(load_config(file), file, log=[].append)


def test_types_are_those_of_the_gold_file(done):
    _, results = done
    for language, folder in results["folders"]["students"].items():
        labels = json.loads((Path(folder) / "config.json").read_text())["id2label"].values()
        assert set(labels) == {"O", "B-DRUG", "I-DRUG", "B-PRODUCT", "I-PRODUCT"}, language
    for row in results["sets"].values():
        assert set(row["student"]["types"]) == {"DRUG", "PRODUCT"}
        assert row["sentences"] == 4


def test_evaluation_sentences_are_dropped_from_training(done):
    data, results = done
    ledger = results["ledger"]
    assert ledger["dropped"]["contamination"] == 4  # two of each language, one of them in capitals
    total = ledger["kept"] + ledger["kept_no_entity"] + ledger["quarantined"] + sum(ledger["dropped"].values())
    assert total == ledger["read"] == 120
    for language, file in results["folders"]["datasets"].items():
        trained = {"".join(text.split()).lower() for text in pq.read_table(file)["target"].to_pylist()}
        for n in (5, 6):
            assert "".join(sentence(language, n).split()).lower() not in trained
    assert results["held_out_gold"] == 1
    parts = next((data / "out" / "teacher" / "source").glob("*/parts.json"))
    assert json.loads(parts.read_text())["held_out"] == [3]
