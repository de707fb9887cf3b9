"""The dataset card: contents, sources, method, scores, contamination check and limits of an exported dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import __version__
from xner_ray.results.export.contamination_check import check_contamination
from xner_ray.results.export.export_types import ExportOptions, ExportSummary
from xner_ray.results.export.markdown import escaped, front_matter, table
from xner_ray.results.export.provenance import sources
from xner_ray.results.export.split import SPLITS
from xner_ray.results.run_results import RunResults
from xner_ray.text.cldr import display_name

USAGE = {
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


def dataset_card(run: RunResults, summary: ExportSummary, options: ExportOptions) -> str:
    """Return the README.md of an exported dataset.

    Args:
        run: the finished run.
        summary: the counts of the export.
        options: the settings of the export.
    """
    parts = [
        front_matter(_metadata(run, summary, options.format)),
        f"# {escaped(run.config.name)}: named entities projected from {display_name(run.config.source_language)}\n",
        _introduction(run),
        USAGE[options.format].format(language=next(iter(summary.labels))) + "\n",
        "## Sentences\n\n" + _contents(summary) + "\n\n" + _splits(options),
        "## Sources\n\n" + _sources(run),
        "## Method\n\n" + _method(run),
        "## Ledger\n\nEvery pair that was read was kept, dropped for a reason, or quarantined.\n\n" + _ledger(run),
        "## Scores\n\n" + _scores(run),
        "## Results of students trained on it\n\n" + _results(run),
        "## Contamination check\n\n" + _contamination(run),
        "## Intended use and limits\n\n" + _limits(),
    ]
    return "\n".join(parts)


def _metadata(run: RunResults, summary: ExportSummary, format: str) -> dict[str, Any]:
    total = sum(summary.sentences.values())
    size_limits = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    data: dict[str, Any] = {
        "pretty_name": run.config.name,
        "language": list(summary.labels),
        "task_categories": ["token-classification"],
        "task_ids": ["named-entity-recognition"],
        "annotations_creators": ["machine-generated"],
        "multilinguality": ["multilingual" if len(summary.labels) > 1 else "monolingual"],
        "size_categories": [next((name for limit, name in size_limits.items() if total < limit), "n>1M")],
        "license": "other",
        "tags": ["cross-lingual", "annotation-projection", "xner_ray"],
    }
    if format == "hf":
        data["configs"] = [
            {
                "config_name": language,
                "data_files": [
                    {"split": s, "path": f"{language}/{s}.parquet"} for s in SPLITS if summary.sentences[language, s]
                ],
            }
            for language in summary.labels
        ]
    return data


def _introduction(run: RunResults) -> str:
    source = display_name(run.config.source_language)
    return (
        f"A tagger (the teacher) labeled the {source} side of parallel sentences. An aligner projected the entities to the target"
        " side. Rules dropped pairs with doubtful projections. **No label was written or checked by a person.**\n"
    )


def _contents(summary: ExportSummary) -> str:
    rows = []
    for (language, split), number in sorted(summary.sentences.items(), key=lambda x: (x[0][0], SPLITS.index(x[0][1]))):
        kinds = summary.entities[language, split]
        listed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items())) or None
        rows.append([language, split, number, sum(kinds.values()), listed])
    return table(["language", "split", "sentences", "entities", "by type"], rows)


def _splits(options: ExportOptions) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in options.shares.items())
    return (
        f"Splits ({shares}) by a hash of the sentence's letters and digits with seed {options.seed}. Equal sentences are in the"
        " same split. The students of the run were trained on all splits, so no split can evaluate them. No split is gold.\n"
    )


def _sources(run: RunResults) -> str:
    rows = [[s.corpus, s.version, s.language, s.domain, s.license or "not recorded", s.url] for s in sources(run)]
    return (
        table(["corpus", "version", "language", "domain", "license", "source"], rows)
        + "\n\nThe texts keep the licenses of their corpora. If a license is not recorded, ask the publisher.\n"
    )


def _method(run: RunResults) -> str:
    config, aligner = run.config, run.config.aligner
    pairs = f"{config.ingest.max_pairs_per_language:,}" if config.ingest.max_pairs_per_language else "all"
    gold = ", ".join(escaped(g.name or Path(g.path).name) for g in config.gold)
    lines = [
        f"xner_ray {run.results.get('version', __version__)}, run `{config.name}`, seed {config.seed}",
        f"sampling: {pairs} pairs per language, divided among the corpora by weight, with the smallest hashes of (seed, corpus,"
        " pair)",
        f"teacher: `{config.teacher.model}`, without training"
        if config.teacher.model
        else f"teacher: `{config.teacher.encoder}`, trained on {gold}",
        f"aligner: `{aligner.encoder}`, {aligner.num_examples:,} examples per language, threshold {aligner.threshold}",
        f"thresholds: entity {config.rules.min_entity_score}, projection {config.rules.min_projection_score}",
        f"at most {config.dataset.max_sentences:,} sentences per language,"
        f" {config.dataset.no_entity_ratio:.0%} of them without an entity",
    ]
    return "".join(f"- {line}\n" for line in lines)


def _ledger(run: RunResults) -> str:
    by_language = run.ledger["by_language"]
    reasons = sorted({reason for row in by_language.values() for reason, n in row["dropped"].items() if n})
    head = ["language", "read", "kept", "kept without entity", *reasons, "quarantined", "selected of the kept"]
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
        for language, row in by_language.items()
    ]
    return table(head, rows) + "\n"


def _scores(run: RunResults) -> str:
    """Quantiles of the models' scores of the entities in the dataset."""
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    rows = []
    for language, path in run.datasets.items():
        table_of_scores = pq.read_table(path, columns=["entities", "projections"])
        for name, column in (("teacher", "entities"), ("aligner", "projections")):
            lists = table_of_scores.column(column).combine_chunks()
            values = pc.struct_field(pc.list_flatten(lists), "score") if len(lists) else pa.array([], pa.float32())
            if len(values):
                row = np.quantile(values.to_numpy(zero_copy_only=False), quantiles).tolist()
            else:
                row = [None] * len(quantiles)
            rows.append([language, name, len(values), *row])
    head = ["language", "model", "scores", *(f"{q:.0%}" for q in quantiles)]
    return "Quantiles of the models' probabilities, which each row has.\n\n" + table(head, rows) + "\n"


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
    checks = check_contamination(run)
    if not checks:
        return "The run had no evaluation set to check.\n"
    rows = [
        [x.name, x.language, x.sentences, "not checked: no such file" if x.sentences is None else x.in_dataset]
        for x in checks
    ]
    return (
        "Gold sentences that occur in this dataset, compared by letters and digits. Paraphrases are not found.\n\n"
        + table(["gold", "language", "sentences", "in this dataset"], rows)
        + "\n"
    )


def _limits() -> str:
    return (
        "The dataset is intended for training and studying named-entity taggers. Its labels contain the errors of the teacher,"
        " the aligner and the translations. Entities that the teacher missed or that a translation omits are not labeled, so"
        " the dataset cannot measure the quality of a tagger. The texts may name real people, as their corpora do.\n"
    )
