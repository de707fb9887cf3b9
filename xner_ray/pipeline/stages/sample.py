"""The stage `sample`: generates the demo corpus, if the config has a section `sample`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xner_ray.config import Config
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.storage.stage_dir import StageDir


class Sample(Stage):
    """Generates parallel text and gold. Result: the folder `out/sample`. Its path is constant, because users name its files."""

    name, version = "sample", 1

    def describe(self, config: Config) -> str:
        return f"{config.sample.pairs:,} pairs a language" if config.sample else "not configured"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        assert ctx.config.sample is not None
        return [Piece("", {**ctx.config.sample.model_dump(), "languages": ctx.config.languages}, fixed=True)]

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        from xner_ray.sample.write import write_sample

        settings, languages = ctx.config.sample, ctx.config.languages
        assert settings is not None
        ctx.log(f"[sample] {settings.pairs:,} pairs a language, {len(languages)} languages")
        write_sample(
            todo[0].path,
            settings.pairs,
            settings.seed,
            languages=languages,
            gold_sentences=settings.gold_sentences,
            eval_sentences=settings.eval_sentences,
        )

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Path:
        return done[""].path
