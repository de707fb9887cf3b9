"""The output directory of a run: `run.json` names the run that it belongs to, and the format of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, explained, make_folder, write_bytes
from xner_ray.storage.stage_dir import PARTS, pretty_json

RUN = "run.json"
FORMAT = 1  # raised if older output directories cannot be read; directories of the first version have no number


@dataclass(frozen=True)
class Run:
    """The content of `run.json`.

    Attributes:
        name: of the run.
        config: the config file that claimed the directory.
        format: of the files in the directory; 0 for the first version.
    """

    name: str
    config: str = ""
    format: int = 0


_RUN = TypeAdapter(Run)


def claim_out(out: str | Path, name: str, config_file: str | Path) -> None:
    """Reserve the output directory for the run `name`.

    A `run.json` that is torn, or gone from a directory with results, is written again: results lie in folders that their
    fingerprints name, so those of another run are never mixed with those of this one.

    Raises:
        UserError: it belongs to another run, another version wrote it, or it holds files that no run wrote.
    """
    out = Path(out)
    make_folder(out)
    present = sorted(p.name for p in out.iterdir() if not TEMP.fullmatch(p.name) and p.name != "lost+found")
    record = pretty_json({"name": name, "config": str(config_file), "format": FORMAT})
    try:
        run = _read(out)  # after the listing: a run that claims the directory now writes this file first
    except UserError as e:
        if isinstance(e.__cause__, OSError):  # it may be whole, and of another run
            raise
        write_bytes(out / RUN, record, step="run")
        run = _read(out)
    if run is None and present and not _holds_results(out):
        problem = f"the folder {out} holds {present[0]}, which no run of xner wrote"
        raise UserError(problem, file=config_file, key="out", remedy="choose a new folder with out=...")
    if run is None:
        write_bytes(out / RUN, record, step="run", if_absent=True)
        run = _read(out)
    check_format(out, config_file)
    if run is not None and run.name != name:
        problem = f"the folder {out} belongs to the run {run.name!r}, not to {name!r}"
        remedy = f"choose another with out=..., or delete {out / RUN} to give the folder with its results to this run"
        raise UserError(problem, file=config_file, key="out", remedy=remedy)


def check_format(out: str | Path, file: str | Path | None = None) -> None:
    """Check that this version can read an output directory. A directory without `run.json` passes.

    Args:
        out: the directory.
        file: the config file, for the message; default: the directory.

    Raises:
        UserError: another version of xner wrote it, or `run.json` is torn.
    """
    run = _read(Path(out))
    if run is not None and run.format != FORMAT:
        problem = f"another version of xner wrote the folder {out}"
        remedy = f"choose a new folder with out=..., or delete {out}; `xner run CONFIG` makes all results again"
        raise UserError(problem, file=file or out, key="out" if file else None, remedy=remedy)


def run_name(out: str | Path) -> str:
    """The name of the run that an output directory belongs to. Raises: UserError if `run.json` is gone or torn."""
    run = _read(Path(out))
    if run is None:
        raise UserError("is not the output folder of a run", file=out, remedy="give the `out` of a config")
    return run.name


def _read(out: Path) -> Run | None:
    """run.json; None if there is none. Raises: UserError if it is torn."""
    try:
        with explained(out):
            return _RUN.validate_json((out / RUN).read_bytes())
    except FileNotFoundError:
        if out.is_symlink() and not out.exists():
            remedy = "make the folder that it points to, or choose another out=..."
            raise UserError("is a symlink to a folder that does not exist", file=out, remedy=remedy) from None
        return None
    except ValidationError as e:
        error = e.errors()[0]
        key = ".".join(map(str, error["loc"])) or None
        remedy = f"run `xner run CONFIG out={out}`: it writes this file again, and no result is lost"
        raise UserError(f"is damaged: {error['msg']}", file=out / RUN, key=key, remedy=remedy) from e


def _holds_results(out: Path) -> bool:
    return any(file for pattern in (f"*/*/{PARTS}", f"*/*/*/{PARTS}") for file in out.glob(pattern))
