"""Silver sets: evaluation sets with projected tags, for languages without gold.

A silver set measures the agreement of a student with the labels of teacher and aligner on held-out sentences. This is not
accuracy, because the set contains the errors of the aligner. But a failed training lowers it, which a refresh without gold must
detect. The first refresh draws the set, and all later students are scored on the same sentences. `pipeline/stages/dataset.py`
excludes their target sides from every training file of the output folder.
"""

from __future__ import annotations

from xner_ray.config import Config, DatasetConfig, GoldConfig
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stages.dataset import sample_filtered, silver_file
from xner_ray.pipeline.stages.filter import Filtered

MIN_KEPT_PER_SENTENCE = 10  # a silver set takes at most one of so many kept sentences
_SEED_OFFSET = 1_000_003  # the training sentences are sampled with the seed itself


def languages_without_gold(config: Config) -> list[str]:
    """Return the target languages without an evaluation set."""
    with_gold = {gold.language for gold in config.evaluation}
    return [language for language in config.languages if language not in with_gold]


def draw_silver_sets(ctx: Context, filtered: Filtered, sentences: int) -> None:
    """Draw the silver set of each language that has neither gold nor a silver set.

    Args:
        ctx: of the refresh.
        filtered: the filtered pairs.
        sentences: the size of a set, at most.

    Raises:
        UserError: a language has no kept sentence.
    """
    counts = filtered.ledger.by("language")
    for language in languages_without_gold(ctx.config):
        file = silver_file(ctx.out, language)
        if file.exists():
            continue
        kept = counts[language]["kept"] + counts[language]["kept_no_entity"]
        most = max(1, min(sentences, kept // MIN_KEPT_PER_SENTENCE))
        settings = DatasetConfig(max_sentences=most, no_entity_ratio=ctx.config.dataset.no_entity_ratio)
        summary = sample_filtered(ctx, filtered, language, file, settings, ctx.config.seed + _SEED_OFFSET)
        ctx.log(
            f"[silver] {language}: {summary['sentences']:,} sentences are held out, with {summary['entities']:,} entities"
        )


def silver_evaluation_sets(ctx: Context) -> list[GoldConfig]:
    """Return the silver sets as evaluation sets."""
    languages = languages_without_gold(ctx.config)
    return [GoldConfig(path=str(silver_file(ctx.out, x)), name=f"silver-{x}", language=x) for x in languages]
