"""The dataset card: what is in it, where it comes from, how it was made, what it is good for, and what it is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import __version__
from xner_ray.results.export.contamination import overlaps
from xner_ray.results.export.markdown import cell, escaped, front_matter, table
from xner_ray.results.export.provenance import sources
from xner_ray.results.export.split import SPLITS
from xner_ray.results.run_results import RunResults

if TYPE_CHECKING:
    from xner_ray.results.export.dataset import Exported

LOADING = {
    "hf": """```python
from datasets import load_dataset

data = load_dataset("DIR", "{language}")
names = data["train"].features["ner_tags"].feature.names
```""",
    "conll": "`DIR/{language}/train.conll`: token, tab, BIO2 tag; a blank line after each sentence.",
    "flair": """```python
from flair.datasets import ColumnCorpus

columns = {{0: "text", 1: "ner", 2: "space-after"}}
corpus = ColumnCorpus("DIR/{language}", columns, column_delimiter="\\t")
```""",
    "gliner": """```python
import json

train = json.load(open("DIR/{language}/train.json", encoding="utf-8"))  # model.train_model(train_dataset=train, ...)
```""",
    "spacy": """```sh
python -m spacy train config.cfg --paths.train DIR/{language}/train.spacy --paths.dev DIR/{language}/validation.spacy
```""",
}


def dataset_card(run: RunResults, told: Exported, format: str, shares: Mapping[str, float], seed: int) -> str:
    """README.md of an exported dataset."""
    parts = [
        front_matter(_metadata(run, told, format)),
        f"# {escaped(run.config.name)}: named entities projected from {run.config.source_language}\n",
        _summary(run),
        LOADING[format].format(language=next(iter(told.labels))) + "\n",
        "## Sentences\n\n" + _contents(told) + "\n\n" + _splitting(shares, seed),
        "## Sources\n\n" + _sources(run),
        "## How it was made\n\n" + _making(run),
        "## Ledger\n\nEvery pair that was read is kept, dropped for a reason, or quarantined.\n\n" + _ledger(run),
        "## Scores\n\n" + _scores(run),
        "## Results of students trained on it\n\n" + _results(run),
        "## Contamination check\n\n" + _contamination(run),
        "## Use\n\n" + _use(),
    ]
    return "\n".join(parts)


def _metadata(run: RunResults, told: Exported, format: str) -> dict[str, Any]:
    total = sum(told.sentences.values())
    edges = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    data: dict[str, Any] = {
        "pretty_name": run.config.name,
        "language": list(told.labels),
        "task_categories": ["token-classification"],
        "task_ids": ["named-entity-recognition"],
        "annotations_creators": ["machine-generated"],
        "multilinguality": ["multilingual" if len(told.labels) > 1 else "monolingual"],
        "size_categories": [next((name for edge, name in edges.items() if total < edge), "n>1M")],
        "license": "other",
        "tags": ["cross-lingual", "annotation-projection", "xner_ray"],
    }
    if format == "hf":
        data["configs"] = [
            {
                "config_name": language,
                "data_files": [
                    {"split": s, "path": f"{language}/{s}.parquet"} for s in SPLITS if told.sentences[language, s]
                ],
            }
            for language in told.labels
        ]
    return data


def _summary(run: RunResults) -> str:
    return (
        f"Sentences whose entities were found in their {run.config.source_language} translations by a tagger (the teacher),"
        " carried over by an aligner, and kept where rules found nothing wrong. **No label was written or checked by a"
        " person.**\n"
    )


def _contents(told: Exported) -> str:
    rows = []
    for (language, split), number in sorted(told.sentences.items(), key=lambda x: (x[0][0], SPLITS.index(x[0][1]))):
        kinds = told.entities[language, split]
        listed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items())) or None
        rows.append([language, split, number, sum(kinds.values()), listed])
    return table(["language", "split", "sentences", "entities", "by type"], rows)


def _splitting(shares: Mapping[str, float], seed: int) -> str:
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return (
        f"Split by a hash of the sentence's letters and digits with seed {seed} ({told}): equal sentences land in one split."
        " The run's own students were trained on all splits, so don't measure them here; no split is gold.\n"
    )


def _sources(run: RunResults) -> str:
    rows = [[s.corpus, s.version, s.language, s.domain, s.license or "not recorded", s.url] for s in sources(run)]
    return (
        table(["corpus", "version", "language", "domain", "license", "from"], rows)
        + "\n\nThe texts keep the licenses of their corpora; where one is not recorded, ask its publisher.\n"
    )


def _making(run: RunResults) -> str:
    config, aligner = run.config, run.config.aligner
    pairs = f"{config.ingest.max_pairs_per_language:,}" if config.ingest.max_pairs_per_language else "all"
    gold = ", ".join(escaped(g.name or Path(g.path).name) for g in config.gold)
    lines = [
        f"xner_ray {run.results.get('version', __version__)}, run `{config.name}`, seed {config.seed}",
        f"sampling: {pairs} pairs a language, quotas over the corpora by weight, smallest hashes of (seed, corpus, pair) first",
        f"teacher: `{config.teacher.model}`, as it is"
        if config.teacher.model
        else f"teacher: `{config.teacher.encoder}`, trained on {gold}",
        f"aligner: `{aligner.encoder}`, {aligner.num_examples:,} examples a language, threshold {aligner.threshold}",
        f"thresholds: entity {config.rules.min_entity_score}, projection {config.rules.min_projection_score}",
        f"at most {config.dataset.max_sentences:,} sentences a language,"
        f" {config.dataset.no_entity_ratio:.0%} of them without entity",
    ]
    return "".join(f"- {line}\n" for line in lines)


def _ledger(run: RunResults) -> str:
    by = run.ledger["by_language"]
    reasons = sorted({reason for row in by.values() for reason, n in row["dropped"].items() if n})
    head = ["language", "read", "kept", "kept without entity", *reasons, "quarantined", "chosen of the kept"]
    rows = [
        [
            language,
            row["read"],
            row["kept"],
            row["kept_no_entity"],
            *(row["dropped"].get(reason, 0) for reason in reasons),
            row["quarantined"],
            run.summaries[language]["sentences"] if language in run.datasets else None,
        ]
        for language, row in by.items()
    ]
    return table(head, rows) + "\n"


def _scores(run: RunResults) -> str:
    """Quantiles of what models said of the entities in the dataset."""
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    rows = []
    for language, path in run.datasets.items():
        told = pq.read_table(path, columns=["entities", "projections"])
        for name, column in (("teacher", "entities"), ("aligner", "projections")):
            lists = told.column(column).combine_chunks()
            values = pc.struct_field(pc.list_flatten(lists), "score") if len(lists) else pa.array([], pa.float32())
            found = (
                np.quantile(values.to_numpy(zero_copy_only=False), quantiles).tolist() if len(values) else [None] * 5
            )
            rows.append([language, name, len(values), *found])
    head = ["language", "of", "number", *(f"{q:.0%}" for q in quantiles)]
    return "Quantiles; probabilities of the models, stored with each row.\n\n" + table(head, rows) + "\n"


def _results(run: RunResults) -> str:
    rows = []
    for language in run.datasets:
        for name, row in run.sets(language).items():
            before, after = row["zero_transfer"]["f1"], row["student"]["f1"]
            rows.append([language, name, row["sentences"], before, after, after - before])
    if not rows:
        return "The run had no evaluation set.\n"
    return "Entity F1 in percent.\n\n" + (
        table(["language", "gold", "sentences", "zero-transfer", "student", "gain"], rows) + "\n"
    )


def _contamination(run: RunResults) -> str:
    found = overlaps(run)
    if not found:
        return "The run had no evaluation set to check against.\n"
    rows = [
        [x.name, x.language, x.sentences, "not checked: the file is not there" if x.sentences is None else x.found]
        for x in found
    ]
    return (
        "Gold sentences that occur in this dataset, by letters and digits; paraphrases are not found.\n\n"
        + table(["gold", "language", "sentences", "found here"], rows)
        + "\n"
    )


def _use() -> str:
    return (
        "Meant for training and studying named-entity taggers. Labels carry the errors of the teacher, the aligner and the"
        " translations; entities that a translator left out, or that the teacher missed, are not marked, so the data is no"
        f" measure of a tagger's quality. Texts may name real people: {cell('they are as public as their corpora, no more')}.\n"
    )
