"""The model card of each student: use, scores, training and limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xner_ray import __version__
from xner_ray.config import TrainingConfig
from xner_ray.results.export.markdown import escaped, front_matter, table
from xner_ray.results.export.provenance import sources
from xner_ray.results.run_results import RunResults, Student
from xner_ray.storage.atomic import write_text
from xner_ray.text.cldr import display_name


def write_model_cards(run: RunResults) -> list[Path]:
    """Write README.md into the folder of each student of a run, atomically.

    Returns:
        the paths of the cards.
    """
    written = []
    for student in run.students:
        card = student.folder / "README.md"
        write_text(card, model_card(run, student))
        written.append(card)
    return written


def model_card(run: RunResults, student: Student) -> str:
    """Return the card of one student, in Markdown."""
    training = json.loads((student.folder / "training.json").read_text(encoding="utf-8"))
    labels = run.labels(student.language)
    parts = [
        front_matter(_metadata(run, student)),
        f"# {escaped(run.config.name)}: named entities in `{student.language}`\n",
        f"A tagger for {', '.join(x[2:] for x in labels if x.startswith('B-'))} in raw text. Its training data was projected from"
        f" {display_name(run.config.source_language)} through parallel text. No person labeled a sentence of its language.\n",
        _usage(),
        "## Results\n\n" + _results(run, student.language),
        "## Training\n\n" + _training_data(run, student.language, training),
        "## Limits\n\n"
        "The model repeats errors of its teacher and of the projection. It was trained on the domains of its corpora. It does"
        " not tag nested entities. Split long texts into sentences first.\n",
    ]
    return "\n".join(parts)


def _encoder(run: RunResults, student: Student) -> str:
    encoders = run.config.student.encoder
    if isinstance(encoders, str):
        return encoders
    return next((e for e in encoders if student.name.startswith(f"{student.language}-{Path(e).name}")), encoders[0])


def _metadata(run: RunResults, student: Student) -> dict[str, Any]:
    encoder = _encoder(run, student)
    data: dict[str, Any] = {
        "language": [student.language],
        "library_name": "transformers",
        "pipeline_tag": "token-classification",
        "license": "other",
        "tags": ["named-entity-recognition", "cross-lingual", "xner_ray"],
        "metrics": ["precision", "recall", "f1"],
    }
    if "/" in encoder and not Path(encoder).exists():
        data["base_model"] = encoder
    results = []
    for name, row in run.sets(student.language).items():
        metrics = [
            {"type": m, "value": row["student"][m], "name": f"entity {m}"} for m in ("precision", "recall", "f1")
        ]
        task = {"type": "token-classification", "name": "Named entity recognition"}
        results.append({"task": task, "dataset": {"type": name, "name": name}, "metrics": metrics})
    if results:
        data["model-index"] = [{"name": f"{run.config.name}-{student.name}", "results": results}]
    return data


def _usage() -> str:
    return (
        "```python\nfrom transformers import pipeline\n\n"
        'tag = pipeline("token-classification", model="DIR", aggregation_strategy="simple")\n```\n\n'
        "The scores below are those of `xner tag --model DIR TEXT`, which decodes whole words. The pipeline decodes subwords, so"
        " an entity can be a part of a word. Other aggregation strategies split words at spaces alone, so an entity before a"
        " comma would include the comma.\n"
    )


def _results(run: RunResults, language: str) -> str:
    sets = run.sets(language)
    if not sets:
        return "The run had no evaluation set in this language.\n"
    rows = []
    for name, row in sets.items():
        rows.append([name, "zero-transfer", *_scores(row["zero_transfer"]), row["sentences"]])
        seeds = f"student, mean of {len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else "student"
        rows.append([name, seeds, *_scores(row["student"]), row["sentences"]])
        for kind, scores in row["student"].get("types", {}).items():
            rows.append([name, f"student, {kind}", *_scores(scores), None])
    return (
        "In percent. An entity is correct if its type and both boundaries are correct (seqeval, strict, IOB2). Zero-transfer is"
        " the tagger that the student started from; it was trained on the source language alone. The gold was used for nothing"
        " else.\n\n" + table(["gold", "model", "precision", "recall", "F1", "sentences"], rows) + "\n"
    )


def _scores(row: dict[str, Any]) -> list[float]:
    return [row["precision"], row["recall"], row["f1"]]


def _training_data(run: RunResults, language: str, training: dict[str, Any]) -> str:
    config, summary = run.config, run.summaries[language]
    corpora = ", ".join(
        escaped(s.corpus + (f" {s.version}" if s.version else "")) for s in sources(run) if s.language == language
    )
    source_training = config.student.source_training or config.teacher.training
    lines = [
        f"xner_ray {run.results.get('version', __version__)}, run `{config.name}`, seed {training['job']['seed']}",
        f"encoder: `{', '.join(config.student.encoders)}`",
        f"first trained on {display_name(config.source_language)} gold: {_hyperparameters(source_training)}",
        f"then trained on {summary['sentences']:,} projected sentences with {summary['entities']:,} entities"
        f" ({summary['without_entity']:,} sentences have none): {_hyperparameters(config.student.training)}",
        f"steps {training['steps']:,}, tokens {training['tokens']:,}",
        f"parallel text: {corpora}",
        "dataset, ledger and contamination check: see the dataset card that `xner export` writes",
    ]
    return "".join(f"- {line}\n" for line in lines)


def _hyperparameters(training: TrainingConfig) -> str:
    loss = training.loss if training.loss == "cross_entropy" else f"{training.loss} (gamma {training.gamma:g})"
    frozen = f", lowest {training.num_frozen_layers} layers frozen" if training.num_frozen_layers else ""
    batch = f"{training.sequences_per_step or training.tokens_per_step:,}"
    batch += " sequences" if training.sequences_per_step else " tokens"
    return f"{training.epochs} epoch(s), {loss}, learning rate {training.learning_rate:g}, {batch} per step{frozen}"
