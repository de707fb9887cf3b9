"""Scores of one tagger on one gold set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xner_ray.config import TagScheme
from xner_ray.encoders.row_guard import name_failing_row
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import resample, sentence_counts, with_intervals
from xner_ray.evaluation.calibration import ece, reliability, trusted_score
from xner_ray.evaluation.scores import scores
from xner_ray.evaluation.text_scores import check_has_pipeline, pipeline_scores, text_scores
from xner_ray.ner.label_normalizer import SPACY_PREFIX
from xner_ray.storage.stage_dir import check_contents
from xner_ray.text.conll import Sentence, read_conll
from xner_ray.text.tags import bio2_to_spans

logger = logging.getLogger(__name__)
DRAWS = "draws"  # resampled F1: kept with the scores, so that models can be compared draw by draw, not in results


# Names that public models and gold sets give to one type.
_ALIASES = (
    {"PER", "PERS", "PERSON", "PEOPLE", "HUM", "人名", "NR"},
    {"LOC", "LOCATION", "GPE", "PLACE", "GEO", "TOWN", "ADDRESS", "地名", "NS"},
    {"ORG", "ORGANIZATION", "ORGANISATION", "COMPANY", "CORP", "GRP", "机构", "NT"},
    {"MISC", "MIS", "MISCELLANEOUS", "OTH", "OTHER"},
)


class ScoredTagger(Protocol):
    """A tagger of given words."""

    def predict_tags(self, texts: Sequence[Any]) -> tuple[list[list[str]], np.ndarray]:
        """BIO2 tags of each text's words, and the score of each entity in the order of the B- tags."""
        ...


def evaluate_model(
    model: str,
    data: str,
    language: str = "en",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    scheme: TagScheme = "bio2",
    pipeline: bool = False,
) -> dict[str, Any]:
    """Score a tagger's folder on a CoNLL file.

    Returns:
        precision, recall, f1 (percent, strict entity match by seqeval), f1_interval (95%, bootstrap), support, types,
        calibration, ece (expected calibration error in points), trusted_score (see `calibration`), sentences, text (see
        `text_scores`), and with `pipeline` also pipeline (see `pipeline_scores`).

    Raises:
        UserError: the folder holds no tagger, transformers.pipeline is to score a model that it cannot open, the model was edited
            after its training, the file is not what `text.conll` reads, or no entity of the file has a type of the tagger.
    """
    from xner_ray.ner.tagger import open_named_tagger

    if not Path(model.removeprefix(SPACY_PREFIX)).is_dir():
        remedy = "give a folder that a training wrote"
        raise UserError("no such model folder", file=model, key="--model", remedy=remedy)
    check_contents(Path(model).parent)
    if pipeline:
        check_has_pipeline(model)
    sentences = read_conll(data, language, tag_map, types, scheme=scheme)
    tagger = open_named_tagger(model)
    check_types(tagger.types, read_conll(data, language, tag_map, scheme=scheme), data, tag_map, types)
    measured = without_draws(evaluate_tagger(tagger, sentences, types)) | {
        "text": text_scores(tagger, sentences, types)
    }
    return measured | ({"pipeline": pipeline_scores(model, sentences, types)} if pipeline else {})


def check_types(
    model_types: Sequence[str],
    sentences: Sequence[Sentence],
    data: str,
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
) -> None:
    """Compare the types of a tagger with those of gold. A warning in the log names gold types that the tagger lacks.

    Args:
        model_types: of the tagger.
        sentences: gold with all its types, after `tag_map`.
        data: the gold file, for messages.
        tag_map: that gold was read with.
        types: that will be scored; default: all.

    Raises:
        UserError: gold has no entity of these types, or none of a type of the tagger.
    """
    found = Counter(tag[2:] for s in sentences for tag in s.tags if tag.startswith("B-"))
    scored = sorted(kind for kind in found if types is None or kind in types)
    both = f"gold has {', '.join(sorted(found)) or 'no entity'}; the model has {', '.join(model_types)}"
    if not scored:
        remedy = f"write --types {','.join(sorted(found))} or leave it out" if found else "give another gold file"
        raise UserError(f"gold has no entity to score: {both}", file=data, key="--types", remedy=remedy)
    if unknown := [kind for kind in types or () if kind not in found and kind not in model_types]:
        remedy = f"choose types of the model or of gold, not {', '.join(unknown)}"
        raise UserError(f"types that neither has: {both}", file=data, key="--types", remedy=remedy)
    missing = [kind for kind in scored if kind not in model_types]
    if not missing:
        return
    fitting = fitting_map(missing, model_types)
    # Each gold type is renamed once, so the map that was given has to lead to the new names.
    new_map = {old: fitting.get(new, new) for old, new in (tag_map or {}).items()} | fitting
    remedy = f"use --map {','.join(f'{old}={new}' for old, new in new_map.items())}"
    if types is not None:
        kept = dict.fromkeys(fitting.get(kind, kind) for kind in types)
        remedy += f" --types {','.join(kind for kind in kept if kind != 'O')}"
    if len(missing) == len(scored):
        if set(fitting.values()) == {"O"}:
            remedy = "choose a model or a gold file with the same types, or rename gold types with --map OLD=NEW"
        raise UserError(f"no gold type is a type of the model: {both}", file=data, key="--map", remedy=remedy)
    problem = (
        f"the model cannot predict {', '.join(missing)}, so {sum(found[x] for x in missing)} gold entities are missed"
    )
    logger.warning("%s: %s: %s. Remedy: %s", data, problem, both, remedy)


def evaluate_tagger(
    tagger: ScoredTagger, sentences: Sequence[Sentence], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score a loaded tagger on the words of gold, which it reads in their detokenized sentence.

    Args:
        tagger: tags the words of the sentences.
        sentences: gold.
        types: predictions of other types count as O, as such gold entities did when the file was read; default: all count.

    Returns:
        as `evaluate_model` without `text`, with the resampled F1 values under DRAWS.
    """
    texts = [s.detokenize() for s in sentences]  # as users write; spaces before commas change predictions
    predicted, certain = name_failing_row(
        lambda rows: tagger.predict_tags([texts[i] for i in rows]), len(texts), "sentence"
    )
    if types:
        kept = [tag[2:] in types for tags in predicted for tag in tags if tag.startswith("B-")]
        certain = certain[np.array(kept, bool)]
        predicted = [[tag if tag[2:] in types else "O" for tag in tags] for tags in predicted]
    gold = [s.tags for s in sentences]
    draws = resample(*sentence_counts(gold, predicted))
    correct = _correct(gold, predicted)
    bins = reliability(certain, correct)
    return {
        **with_intervals(scores(gold, predicted), draws),
        "calibration": bins,
        "ece": ece(bins),
        "trusted_score": trusted_score(certain, correct),
        "sentences": len(sentences),
        DRAWS: draws,
    }


def fitting_map(gold_types: Sequence[str], model_types: Sequence[str]) -> dict[str, str]:
    """For each gold type the type of a model that means the same: by case, by a known alias, else O.

    Args:
        gold_types: that the model lacks.
        model_types: of the model.
    """

    def fits(kind: str, other: str) -> bool:
        # GPE.NAM of Weibo is a kind of GPE.
        names = {kind.upper(), kind.upper().partition(".")[0]}
        return other.upper() in names or any(names & group and other.upper() in group for group in _ALIASES)

    return {kind: next((x for x in model_types if fits(kind, x)), "O") for kind in gold_types}


def without_draws(measured: dict[str, Any]) -> dict[str, Any]:
    """Scores as results hold them."""
    return {key: value for key, value in measured.items() if key != DRAWS}


def _correct(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each predicted entity is one of gold, in the order of the B- tags."""
    pairs = ((bio2_to_spans(a), bio2_to_spans(b)) for a, b in zip(gold, predicted, strict=True))
    return np.array([span in right for right, found in pairs for span in found], bool)
