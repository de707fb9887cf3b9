"""The aligner on examples that it was not trained on, before the corpus is labeled, and warnings about its examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.examples.held_out import read_held_out
from xner_ray.alignment.projector_file import FILE
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stages.model_checks import describe_scores
from xner_ray.text.tags import Span
from xner_ray.text.words import tokenize_words

SCORES = "held_out.json"  # beside the model of the projector
MIN_EXAMPLES = 100  # of a language; of fewer none are held out
HELD_OUT = 0.1  # of the examples of a language, at most MAX_HELD_OUT
MAX_HELD_OUT = 300
MIN_NEGATIVES = 0.5  # of the number that `aligner.negative_ratio` asks for
FEWEST_NEGATIVES = 0.05  # of the positives, whatever the ratio is


def split_examples(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split the examples of one language into those to train on and those to score. No sentence is in both.

    Args:
        examples: in random order.
    """
    if len(examples) < MIN_EXAMPLES:
        return list(examples), []
    wanted = min(MAX_HELD_OUT, round(HELD_OUT * len(examples)))
    sentences: set[str] = set()
    number = 0
    for example in examples:
        if number >= wanted:
            break
        if example.sentence not in sentences:
            sentences.add(example.sentence)
            number += sum(other.sentence == example.sentence for other in examples)
    held_out = [e for e in examples if e.sentence in sentences]
    return [e for e in examples if e.sentence not in sentences], held_out


def score_held_out(folder: str, held_out: str, threshold: float, max_gap_words: int, threads: int) -> dict[str, Any]:
    """Score the trained aligner alone on held-out examples, in a worker. A span is right if both ends are.

    Args:
        folder: of the projector.
        held_out: file of `example.write_examples`.
        threshold, max_gap_words: of the decoding.
        threads: number of CPU threads.

    Returns:
        by language `precision`, `recall`, `f1` (percent), `support`; empty without examples.
    """
    import torch

    from xner_ray.alignment.decoding import Decoding
    from xner_ray.alignment.projector import Projector
    from xner_ray.encoders.load import load_model
    from xner_ray.encoders.tokenizer import Tokenizer
    from xner_ray.encoders.torch_engine import TorchEngine
    from xner_ray.evaluation.text_scores import span_scores

    torch.set_num_threads(threads)
    examples = read_held_out(Path(held_out))
    if not examples:
        return {}
    decoding = Decoding(threshold=threshold, max_gap_words=max_gap_words, one_to_one=False)
    projector = Projector(TorchEngine(load_model(folder)), Tokenizer(folder), decoding)
    scores = {}
    for language in sorted({e.language for e in examples}):
        mine = [e for e in examples if e.language == language]
        names, targets = [e.name for e in mine], [e.sentence for e in mine]
        entities = [[(0, len(name), "X")] for name in names]
        found = projector.project_entities(names, entities, targets, language)
        predicted = [[(p.start, p.end, "X") for p in row] for row in found]
        gold = [[_whole_words(e.sentence, a, b, language) for a, b in e.spans] for e in mine]
        scores[language] = span_scores(gold, predicted)
    return scores


def _whole_words(sentence: str, start: int, end: int, language: str) -> Span:
    """The words that a span touches, as the training labels them."""
    words = [(a, b) for a, b in tokenize_words(sentence, language) if a < end and b > start]
    return (words[0][0], words[-1][1], "X") if words else (start, end, "X")


def check_aligner(ctx: Context, folder: Path) -> None:
    """Log the scores of the aligner on held-out examples.

    Args:
        ctx: of the run.
        folder: of the projector.

    Raises:
        UserError: F1 of a language is below `aligner.min_f1`.
    """
    file, minimum = folder.parent / SCORES, ctx.config.aligner.required_f1
    scores: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for language, row in scores.items():
        ctx.log(f"[aligner] {language}: {describe_scores(row)} on held-out examples with {row['support']:,} spans")
        if row["f1"] < minimum and row["support"]:
            problem = f"the aligner has F1 {row['f1']:.2f} on held-out examples of {language}, below {minimum:g}"
            change = "another aligner.training.learning_rate or more aligner.num_examples"
            remedy = f"train it with {change}, or set aligner.min_f1 to a lower value"
            raise UserError(problem, file=ctx.config_file or None, key="aligner.min_f1", remedy=remedy)
    if missing := [x for x in ctx.config.languages if x not in scores] if minimum else []:
        ctx.log(f"[aligner] warning: {', '.join(missing)}: too few examples to score; aligner.min_f1 has no effect")


def weight_warnings(folder: Path) -> list[str]:
    """Return a warning for each language in which a trained aligner has less weight than the config gives it.

    Args:
        folder: of the projector. That of an older version has no scores, and gives no warning.
    """
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    wanted, lines = 1 - float(content.get("similarity_weight", 0)), []
    for language, row in content.get("facts", {}).get("held_out", {}).items():
        weight = 1 - row["similarity_weight"]
        if weight < wanted:
            use = f"has the weight {weight:.2f} instead of {wanted:.2f}" if weight else "is left out"
            reason = f"F1 on held-out examples is {row['aligner']}, and {row['similarity']} by the similarity alone"
            remedy = "raise aligner.num_examples or aligner.training.epochs, or lower aligner.training.learning_rate"
            lines.append(f"{language}: the trained aligner {use}: {reason}; {remedy}")
    return lines


def warn_of_examples(ctx: Context, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Log a warning for a language without examples, and for one with few negatives.

    Args:
        ctx: of the run.
        reports: `counts` of each language, see `make_examples`.
    """
    ratio = ctx.config.aligner.negative_ratio
    for language, report in reports.items():
        negatives = report["counts"].get("negative", 0)
        positives = sum(report["counts"].values()) - negatives
        wanted = positives * ratio / max(1e-9, 1 - ratio)
        if not positives:
            problem = "no example was found; the aligner knows this language from the others only"
            remedy = "read more pairs (ingest.max_pairs_per_language), or add an example source"
            ctx.log(f"[aligner] warning: {language}: {problem}; {remedy}")
        elif negatives < max(MIN_NEGATIVES * wanted, FEWEST_NEGATIVES * positives):
            problem = (
                f"{positives:,} positive and {negatives:,} negative examples: it may find names that are not there"
            )
            remedy = "raise aligner.negative_ratio, or add examples with other names (aligner.example_sources)"
            ctx.log(f"[aligner] warning: {language}: {problem}; {remedy}")
