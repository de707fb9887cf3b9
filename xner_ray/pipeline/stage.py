"""The contract of a stage.

A stage declares its name, its version, the stages that it needs, its pieces, and the inputs that determine each piece. The runner
(`pipeline/runner.py`) does the rest: order, directories, completion markers, timing and logging.

    stage.pieces(ctx, inputs)          lists the pieces, each with its fingerprint parts
    stage.run(ctx, inputs, todo)       makes the pieces that are not complete
    stage.result(ctx, inputs, done)    reads the result for later stages from complete directories

`inputs` contains the results of the stages in `needs`, by name. A result is always read from disk. So later stages get the same
result whether the stage ran now or in an earlier run.
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
    """An independent part of a stage's result, with its own directory and completion marker.

    Attributes:
        key: name within the stage, such as `de` or `source-no-MISC`; empty if the stage has one piece.
        parts: all values that determine the result. Their hash is the name of the directory.
        folder: parent of the directory, relative to the output directory. Default: the stage's name and the key.
        items: a hash of each item, such as a shard, that the piece processes, by name. After a change of items the stage runs
            again in the same directory.
        fixed: the path of the directory does not depend on the parts.
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
        """Write the completion marker. It lists `files`; default: all files of the directory."""
        self.dir.commit(self.piece.items, files)


class Stage(ABC):
    """A stage of the pipeline.

    Attributes:
        name: name of the command `xner STAGE` and of the folder with the results.
        version: number that is raised if the results change for the same parts. Older results are then not used.
        needs: names of the stages whose results are inputs.
        sizes_only: glob pattern of files whose readers compare the hash, because they are many, or because a change is an error
            (models). Of all other files the runner compares it, and makes a damaged piece again.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: tuple[str, ...] = ()  # an attribute of the instance, because it can depend on the config
    sizes_only: ClassVar[str] = ""

    def describe(self, config: Config) -> str:
        """Describe in one line for `xner plan` what the stage does with this config."""
        return ""

    @abstractmethod
    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        """Return the pieces of the stage. Writes nothing, and sends no request if the context is offline."""

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        """Return the reason why a piece is not complete; None if it is. Stages with a shard store also check the store."""
        return piece.dir.problem(piece.piece.items, self.sizes_only)

    def part_done(self, ctx: Context, piece: PieceDir) -> float | None:
        """Return the part of an incomplete piece that is done, 0 to 1; None: it is not known. Writes nothing."""
        return 0.0

    def directories(self, ctx: Context, inputs: Inputs) -> list[PieceDir]:
        """Return the pieces with their directories. Writes nothing."""
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

        A directory may contain files of a stopped run. Use only those that were written atomically. A stage with several pieces
        commits each one as soon as it is complete. The runner commits the remaining pieces.
        """

    @abstractmethod
    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Any:
        """Read the result for later stages. `done`: the complete directory of each piece, by its key."""
