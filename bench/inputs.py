"""Inputs of the throughput benchmark: distinct pairs, and a trained teacher and aligner, the same for all sides.

No source sentence and no target sentence occurs twice, so that no side gains by a cache. `repeats` counts the repetitions in
the original text. Real text is a folder of TSV files (`id TAB source TAB target`). Without a folder, `xner sample` generates
the pairs.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Pair = tuple[str, str]

LABEL = """\
name: bench
out: {out}
languages: [{language}]
gold: [{{path: none}}]
corpora: [{{name: bench, format: tsv, path: {pairs}}}]
ingest: {{max_pairs_per_language: {count}, shard_rows: {rows}}}
label: {{max_batch_tokens: {budget}, precision: {precision}}}
"""
MODELS = """\
name: models
out: {out}
languages: [{language}]
sample: {{pairs: 1500, seed: 7, gold_sentences: {gold}, eval_sentences: 5}}
gold: [{{path: "{{data}}/gold/en.train.conll"}}]
corpora: [{{name: SampleNews, format: moses, path: "{{data}}/SampleNews/v1/moses/{{pair}}.txt.zip"}}]
ingest: {{max_pairs_per_language: 1000}}
teacher: {{encoder: {encoder}{training}}}
aligner: {{encoder: {encoder}, num_examples: {examples}}}
"""
MAX_CHARACTERS = 1000  # per sentence, as in ingest


@dataclass(frozen=True)
class Text:
    """Text of the benchmark.

    Attributes:
        pairs: distinct pairs of source and target sentence.
        repeats: share of repeated pairs, source sentences and target sentences in the original text.
    """

    pairs: list[Pair]
    repeats: dict[str, float]


def read_text(folder: Path | None, language: str, max_pairs: int, work: Path) -> Text:
    """Shuffled distinct pairs from the TSV files of a folder, or from a generated sample where `folder` is None."""
    pairs = list(_tsv(sorted(folder.glob("*.tsv"))) if folder else _sample(language, max_pairs, work))
    if not pairs:
        raise SystemExit(f"{folder}: no *.tsv with three columns")
    random.Random(7).shuffle(pairs)
    sources, targets, distinct = set(), set(), []
    for source, target in pairs:
        if max(len(source), len(target)) <= MAX_CHARACTERS and source not in sources and target not in targets:
            distinct.append((source, target))
        sources.add(source)
        targets.add(target)
    repeats = {"pairs": len(set(pairs)), "source sentences": len(sources), "target sentences": len(targets)}
    return Text(distinct[:max_pairs], {k: round(1 - n / len(pairs), 4) for k, n in repeats.items()})


def _tsv(files: list[Path]) -> Iterator[Pair]:
    for file in files:
        for line in file.read_text(encoding="utf-8").split("\n"):
            columns = line.split("\t")
            if len(columns) >= 3 and columns[1].strip() and columns[2].strip():
                yield columns[1].strip(), columns[2].strip()


def _sample(language: str, max_pairs: int, work: Path) -> Iterator[Pair]:
    from bench.ingest import rewrite
    from xner_ray.sample.write import write_sample

    write_sample(work / "sample", 3 * max_pairs, 7, [language])
    for archive in sorted((work / "sample").glob("*/v1/moses/*.zip")):
        rewrite(str(archive), "en", language, archive.with_suffix(".tsv"))
        yield from _tsv([archive.with_suffix(".tsv")])


def write_pairs(pairs: list[Pair], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{i}\t{s}\t{t}\n" for i, (s, t) in enumerate(pairs)), encoding="utf-8")


def models(work: Path, language: str, encoder: str, quick: bool = False) -> tuple[str, str]:
    """Folders of a teacher and an aligner. The stages train them on the sample, once per work folder.

    Args:
        work: working folder of the benchmark.
        language: of the targets.
        encoder: of both models.
        quick: train on fewer examples. Only the number of names depends on it.
    """
    config = work / "models.yaml"
    sizes: dict[str, Any] = {"gold": 1200, "examples": 1000, "training": ""}
    if quick:
        sizes = {"gold": 120, "examples": 80, "training": ", training: {epochs: 1}"}
    text = MODELS.format(out=work / ("quick" if quick else "models"), language=language, encoder=encoder, **sizes)
    config.write_text(text, encoding="utf-8")
    # In its own process, so that its Ray ends with the process.
    done = subprocess.run(
        [sys.executable, "-m", "bench.inputs", str(config)], check=True, stdout=subprocess.PIPE, text=True
    )
    teacher, aligner = done.stdout.splitlines()[-2:]
    return teacher, aligner


def main() -> None:
    from xner_ray.config.load import load_config
    from xner_ray.pipeline.context import Context
    from xner_ray.pipeline.pipeline import build_pipeline
    from xner_ray.pipeline.runner import Runner

    config = load_config(sys.argv[1], ())
    ctx = Context.open(config, sys.argv[1], log=lambda line: print(line, file=sys.stderr, flush=True))
    runner = Runner(ctx, build_pipeline(ctx.config))
    teacher = runner.result("teacher").teacher(config.languages[0])
    print(teacher, runner.result("aligner"), sep="\n")


if __name__ == "__main__":
    main()
