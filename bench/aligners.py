"""Trains the aligners of `bench/quality.py`, one for each seed, in all languages of the gold projection sets.

    python -m bench.aligners configs/real.yaml data=DIR out=out/real --seeds 1,2,3

The settings are those of the config. Examples, order and weights differ by seed. The teacher of the run is shared, so it is
trained at most once. A corpus is used in each language for which it has a file. OUT/aligner/seed-N is a link to the projector of
seed N. A stopped command continues, and finished aligners are skipped.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bench.projection_quality import gold_sets
from xner_ray.cli.console import report_user_errors
from xner_ray.config import Config
from xner_ray.config.load import load_config
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import Executor
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.aligner import TrainAligner
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.source_models import TrainSourceModels, teacher_spec
from xner_ray.storage.atomic import replace_symlink
from xner_ray.storage.lock import hold_output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", default="1,2,3", help="comma between")
    parser.add_argument("--projection", type=Path, help="folder of the gold projection sets; default: DATA/projection")
    args = parser.parse_args()
    with report_user_errors(resumable=True):
        for folder in train_aligners(args.config, args.overrides, args.seeds.split(","), args.projection):
            print(folder)


def seed_link(out: str | Path, seed: str) -> Path:
    """The link to the projector of a seed."""
    return Path(out) / "aligner" / f"seed-{seed}"


def train_aligners(
    file: Path,
    overrides: Sequence[str],
    seeds: Sequence[str],
    projection: Path | None,
    executor: Executor | None = None,
) -> list[Path]:
    """Train the aligners that are missing.

    Args:
        file: the config.
        overrides: as of `xner run`.
        seeds: of the aligners.
        projection: folder of the gold projection sets; None: `projection` in the config's `data`.
        executor: of the work; default: Ray.

    Returns:
        the links to the projectors, one for each seed.

    Raises:
        UserError: the config is wrong, or a language has no corpus.
    """
    config = load_config(file, overrides)
    languages = sorted({s.language for s in gold_sets(projection or Path(config.data_dir or "", "projection"))})
    ctx = Context.open(config, file, executor=executor)
    links = []
    with hold_output(ctx.out, ctx.log):
        teacher = Runner(ctx, build_pipeline(ctx.config)).result("teacher").teacher(config.languages[0])
        for seed in seeds:
            own = load_config(
                file, [*overrides, *_overrides(config, languages), f"seed={seed}", f"teacher.model={teacher}"]
            )
            specs = [teacher_spec(own, language) for language in own.languages]
            stages = [Ingest(), TrainSourceModels(specs), TrainAligner()]
            folder = Runner(ctx.with_config(own), stages).result("aligner")
            links.append(seed_link(ctx.out, seed))
            replace_symlink(links[-1], os.path.relpath(folder, links[-1].parent))
    return links


def _overrides(config: Config, languages: Sequence[str]) -> list[str]:
    """All languages, and each corpus in those for which it has a file."""
    rows = [f"languages=[{','.join(languages)}]"]
    for n, corpus in enumerate(config.corpora):
        if not corpus.opus:
            found = [x for x in languages if Path(config.fill(corpus.path, x)).is_file()]
            rows.append(f"corpora.{n}.languages=[{','.join(found)}]")
    return rows


if __name__ == "__main__":
    main()
