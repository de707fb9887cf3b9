"""Silver sets: sentences with projected tags, held out once and for good, for languages that have no gold.

They tell whether a student agrees with the labels of teacher and aligner on sentences that it never saw. That is no accuracy:
an error of the aligner is an error of the set too. But it falls when a training went wrong, and that is what a night without
gold has to notice. The set is drawn on the first night and never again, so all later students are measured on the same
sentences; `stages.dataset.left_out` keeps their target sides out of every training file of the output folder.
"""

from __future__ import annotations

from xner_ray.config import Config, DatasetConfig, GoldConfig
from xner_ray.pipeline.context import Run
from xner_ray.pipeline.stages.dataset import judged, silver_file
from xner_ray.projection.sentence_sampling import select

SHARE = 10  # at most one in so many sentences
_SEED = 1_000_003  # another draw than that of the training sentences


def without_gold(config: Config) -> list[str]:
    """Languages that `evaluation` has no set for."""
    measured = {gold.language for gold in config.evaluation}
    return [language for language in config.languages if language not in measured]


def freeze(run: Run, sentences: int) -> None:
    """Draw the silver set of each language that lacks gold and has none.

    Raises:
        UserError: a language has no sentence that was kept.
    """
    books = judged(run).ledger.by("language")
    for language in without_gold(run.config):
        file = silver_file(run, language)
        if file.exists():
            continue
        kept = books[language]["kept"] + books[language]["kept_no_entity"]
        most = max(1, min(sentences, kept // SHARE))
        wanted = DatasetConfig(max_sentences=most, no_entity_ratio=run.config.dataset.no_entity_ratio)
        told = select(judged(run).files(language), file, wanted, run.config.seed + _SEED)
        run.log(
            f"[silver] {language}: {told['sentences']:,} sentences are held out, with {told['entities']:,} entities"
        )


def silver_gold(run: Run) -> list[GoldConfig]:
    """The silver sets as evaluation sets."""
    return [
        GoldConfig(path=str(silver_file(run, x)), name=f"silver-{x}", language=x) for x in without_gold(run.config)
    ]
