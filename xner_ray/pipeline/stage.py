"""The contract of a stage.

A stage says what it is: its name, its version, the stages that it needs, the pieces that it makes and what each piece depends on.
The runner (`pipeline/runner.py`) does the rest: order, directories, completion markers, timing and logging.

    stage.pieces(ctx, inputs)          the pieces, each with the parts that its fingerprint is of
    stage.run(ctx, inputs, todo)       make the pieces that are not complete
    stage.result(ctx, inputs, done)    what later stages get, read from complete directories

`inputs` holds the results of the stages in `needs`, by name. A result is always read from the disk, so a stage that ran now and a
stage that ran last week give the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xner_ray.storage.stage_dir import StageDir

if TYPE_CHECKING:
    from xner_ray.config import Config
    from xner_ray.pipeline.context import Context

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """One independent result of a stage, with a directory and a completion marker of its own.

    Attributes:
        key: name within the stage, such as `de` or `source-no-MISC`; empty for the only piece of a stage.
        parts: what the result depends on. Its hash is the directory's name.
        folder: below the output directory; several pieces may share one. Default: the stage's name and the key.
        items: by name, a hash of each item that the piece processes inside its directory, such as shards. New items make the
            stage run again over the same directory.
        fixed: the directory's path does not depend on the parts.
    """

    key: str
    parts: Mapping[str, Any]
    folder: str | None = None
    items: Mapping[str, str] = field(default_factory=dict)
    fixed: bool = False


@dataclass(frozen=True)
class PieceDir:
    """A piece and its directory."""

    piece: Piece
    dir: StageDir

    @property
    def key(self) -> str:
        return self.piece.key

    @property
    def path(self) -> Path:
        return self.dir.path

    def commit(self, files: Iterable[Path] | None = None) -> None:
        """Write the completion marker. `files`: what it vouches for; default: all files of the directory."""
        self.dir.commit(self.piece.items, files)


class Stage(ABC):
    """A stage of the pipeline.

    Attributes:
        name: as `xner STAGE` and the folder of its results call it.
        version: raised when its results change for the same parts; the results are then made anew.
        needs: names of the stages whose results it gets.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: tuple[str, ...] = ()  # of an instance, since it may depend on the config

    def describe(self, config: Config) -> str:
        """What the stage does with this config, in one line for `xner plan`."""
        return ""

    @abstractmethod
    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        """The pieces of the stage. Writes nothing, and asks no network."""

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        """Why a piece is not complete; None: it is. A stage whose shards lie in a store asks the store, too."""
        return piece.dir.problem(piece.piece.items)

    def directories(self, ctx: Context, inputs: Inputs) -> list[PieceDir]:
        """The pieces with their directories. Nothing is written."""
        made = []
        for piece in self.pieces(ctx, inputs):
            folder = piece.folder or "/".join(x for x in (self.name, piece.key) if x)
            parts = {**piece.parts, "version": self.version}
            made.append(PieceDir(piece, StageDir.of(ctx.out, folder, parts, piece.fixed)))
        if len({piece.key for piece in made}) < len(made):
            raise ValueError(f"stage {self.name}: two pieces have the same key")
        return made

    @abstractmethod
    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        """Make the pieces that are not complete.

        A directory may hold what a stopped run left; only files with a marker or manifest of their own can be trusted. A stage
        with several pieces commits each one when it is done. The runner commits what `run` did not.
        """

    @abstractmethod
    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Any:
        """What later stages get, read from the complete directories of the pieces, by key."""
