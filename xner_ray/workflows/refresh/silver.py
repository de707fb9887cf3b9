"""Silver sets: sentences with projected tags, held out once and for good, for languages that have no gold.

They tell whether a student agrees with the labels of teacher and aligner on sentences that it never saw. That is no accuracy:
an error of the aligner is an error of the set too. But it falls when a training went wrong, and that is what a night without
gold has to notice. The set is drawn on the first night and never again, so all later students are measured on the same
sentences; `pipeline/stages/dataset.py` keeps their target sides out of every training file of the output folder.
"""

from __future__ import annotations

from xner_ray.config import Config, DatasetConfig, GoldConfig
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stages.dataset import silver_file
from xner_ray.pipeline.stages.filter import Filtered
from xner_ray.projection.sentence_sampling import sample_sentences

SHARE = 10  # at most one in so many sentences
_SEED = 1_000_003  # another draw than that of the training sentences


def without_gold(config: Config) -> list[str]:
    """Languages that `evaluation` has no set for."""
    measured = {gold.language for gold in config.evaluation}
    return [language for language in config.languages if language not in measured]


def draw_silver_sets(ctx: Context, filtered: Filtered, sentences: int) -> None:
    """Draw the silver set of each language that has neither gold nor a silver set.

    Raises:
        UserError: a language has no sentence that was kept.
    """
    counts = filtered.ledger.by("language")
    for language in without_gold(ctx.config):
        file = silver_file(ctx.out, language)
        if file.exists():
            continue
        kept = counts[language]["kept"] + counts[language]["kept_no_entity"]
        most = max(1, min(sentences, kept // SHARE))
        settings = DatasetConfig(max_sentences=most, no_entity_ratio=ctx.config.dataset.no_entity_ratio)
        summary = sample_sentences(filtered.files(language), file, settings, ctx.config.seed + _SEED)
        ctx.log(
            f"[silver] {language}: {summary['sentences']:,} sentences are held out, with {summary['entities']:,} entities"
        )


def silver_gold(ctx: Context) -> list[GoldConfig]:
    """The silver sets as evaluation sets."""
    return [
        GoldConfig(path=str(silver_file(ctx.out, x)), name=f"silver-{x}", language=x) for x in without_gold(ctx.config)
    ]
