"""Measuring on gold: students beside zero-transfer, the teacher on English dev, any folder on any file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.config import GoldConfig, TagScheme
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import gain, mean_draws, resample, sentence_counts, with_intervals
from xner_ray.evaluation.calibration import merge, reliability
from xner_ray.evaluation.scores import mean_scores, scores
from xner_ray.pipeline.context import Run, model_identity, once
from xner_ray.pipeline.stages.source_models import english_models, teachers
from xner_ray.pipeline.stages.student import Student, students
from xner_ray.storage.atomic import write_json
from xner_ray.storage.fingerprint import fingerprint
from xner_ray.text.conll import Sentence, read_conll, read_gold_file
from xner_ray.text.tags import bio2_to_spans

SCORES_VERSION = 2  # of what a file under scores/ holds; another number measures anew
Work = dict[tuple[str, str], GoldConfig]  # by model folder and the set's path
Measured = dict[tuple[str, str], dict[str, Any]]
DRAWS = "draws"  # resampled F1: kept with the scores, so that models can be compared draw by draw, not in results


def evaluate_model(
    model: str,
    data: str,
    language: str = "en",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    scheme: TagScheme = "bio2",
) -> dict[str, Any]:
    """Score a tagger's folder on a CoNLL file.

    Returns:
        precision, recall, f1 (percent, strict entity match by seqeval), f1_interval (95%, bootstrap), support, types,
        calibration, sentences.

    Raises:
        UserError: the folder holds no tagger, or the file is not what `evaluation.conll` reads.
    """
    from xner_ray.ner.tagger import open_tagger

    if not Path(model).is_dir():
        raise UserError(
            "no such model folder", file=model, key="--model", remedy="give a folder that a training wrote"
        )
    measured = evaluate_tagger(open_tagger(model), read_conll(data, language, tag_map, types, scheme=scheme), types)
    return _told(measured)


def evaluate_tagger(tagger, sentences: Sequence[Sentence], types: Sequence[str] | None = None) -> dict[str, Any]:
    """Score a loaded tagger. `types`: predictions of other types count as O, as such gold entities did when it was read."""
    predicted, certain = tagger.predict_tags([s.join_tokens() for s in sentences])
    if types:
        kept = [tag[2:] in types for tags in predicted for tag in tags if tag.startswith("B-")]
        certain = certain[np.array(kept, bool)]
        predicted = [[tag if tag[2:] in types else "O" for tag in tags] for tags in predicted]
    gold = [s.tags for s in sentences]
    draws = resample(*sentence_counts(gold, predicted))
    return {
        **with_intervals(scores(gold, predicted), draws),
        "calibration": reliability(certain, _correct(gold, predicted)),
        "sentences": len(sentences),
        DRAWS: draws,
    }


def _correct(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each predicted entity is one of gold, in the order of the B- tags."""
    pairs = zip(gold, predicted, strict=True)
    return np.array(
        [span in want for want, got in ((bio2_to_spans(a), bio2_to_spans(b)) for a, b in pairs) for span in got], bool
    )


def _told(measured: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measured.items() if key != DRAWS}


@once
def evaluate_all(run: Run) -> dict[str, Any]:
    """Zero-transfer and students on every evaluation set; the teacher on English dev.

    Returns:
        `languages`: by language, of its first set: zero_transfer, student, sentences; `sets`: the same for every set, by
        name, with `encoder` and `gain`; `english`: the teacher's scores.
    """
    trained = students(run)
    english = english_models(run, list(teachers(run).values()))
    teacher = str(english[next(iter(teachers(run).values()))])
    done = measure(run, {(teacher, gold.path): gold for gold in run.config.dev} | _work(run, trained))
    sets = _sets(run, trained, done)
    languages: dict[str, Any] = {}
    for row in sets.values():
        languages.setdefault(row["language"], {k: row[k] for k in ("zero_transfer", "student", "sentences")})
    return {
        "languages": languages,
        "sets": sets,
        "english": {g.name or Path(g.path).name: _told(done[teacher, g.path]) for g in run.config.dev},
    }


def evaluate_students(run: Run, trained: list[Student]) -> dict[str, Any]:
    """`sets` of `evaluate_all` for some students alone."""
    return _sets(run, trained, measure(run, _work(run, trained)))


def _work(run: Run, trained: list[Student]) -> Work:
    """What is to be measured: each student and its zero-transfer baseline on the sets of its language."""
    pairs = [(s, gold) for gold in run.config.evaluation for s in trained if s.language == gold.language]
    return {(str(model), gold.path): gold for s, gold in pairs for model in (s.base, s.folder)}


def _sets(run: Run, trained: list[Student], done: Measured) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for gold in run.config.evaluation:
        mine = [s for s in trained if s.language == gold.language]
        for encoder in dict.fromkeys(s.encoder for s in mine):
            name = (gold.name or Path(gold.path).name) + (
                f" ({encoder})" if len({s.encoder for s in mine}) > 1 else ""
            )
            sets[name] = _row(gold, encoder, [s for s in mine if s.encoder == encoder], done)
    return sets


def _row(gold: GoldConfig, encoder: str, mine: list[Student], done: Measured) -> dict[str, Any]:
    before = _mean([done[base, gold.path] for base in dict.fromkeys(str(s.base) for s in mine)])
    after = _mean([done[str(s.folder), gold.path] for s in mine])
    return {
        "language": gold.language,
        "encoder": encoder,
        "zero_transfer": _told(before),
        "student": _told(after),
        "gain": gain(before, after, (before[DRAWS], after[DRAWS])),
        "sentences": after["sentences"],
        "seeds": [s.seed for s in mine],
    }


def _mean(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One measurement as it is, the mean of several."""
    if len(runs) == 1:
        return runs[0]
    draws = mean_draws([one[DRAWS] for one in runs])
    return {
        **with_intervals(mean_scores(runs), draws),
        "calibration": merge([one["calibration"] for one in runs]),
        "sentences": runs[0]["sentences"],
        DRAWS: draws,
    }


def measure(run: Run, work: Work) -> Measured:
    """Score what was not scored before.

    Args:
        work: by (folder of a model, path of a gold set) the set.

    Returns:
        by the same keys what `evaluate_tagger` returns.
    """
    folder = run.out / "scores"
    folder.mkdir(exist_ok=True)
    done: Measured = {}
    todo: dict[str, list[tuple[str, GoldConfig, Path]]] = {}
    for (model, path), gold in work.items():
        parts = {"model": model_identity(model), "gold": run.gold_parts([gold]), "version": SCORES_VERSION}
        file = folder / f"{fingerprint(parts)}.json"
        if file.exists():
            done[model, path] = json.loads(file.read_text())
        else:
            filled = gold.model_copy(update={"path": run.config.fill(path)})
            todo.setdefault(model, []).append((path, filled, file))
    if not todo:
        return done
    run.log(f"[evaluate] {sum(map(len, todo.values()))} model and gold set pairs")
    with run.work("evaluate", folder.name) as amount:
        for model, path, file, result in run.compute(_score, todo):
            write_json(file, result)
            done[model, path] = result
            amount["sentences"] = amount.get("sentences", 0) + result["sentences"]
    return done


def _score(
    work: dict[str, list[tuple[str, GoldConfig, Path]]], threads: int
) -> list[tuple[str, str, Path, dict[str, Any]]]:
    import torch

    from xner_ray.ner.tagger import open_tagger

    torch.set_num_threads(threads)
    results = []
    for model, sets in work.items():
        tagger = open_tagger(model)
        for path, gold, file in sets:
            sentences = read_gold_file(gold, gold.path)
            results.append((model, path, file, evaluate_tagger(tagger, sentences, gold.types)))
    return results
