"""What `xner` and the scripts in `jobs/` share, so that both stay thin: running stages, and saying what went wrong.

A user's mistake is printed without a traceback and ends with exit code 2, Ctrl-C with 130; any other error is a bug of
ours and keeps its traceback. Nothing heavy is imported before it is needed: `xner --help` has to answer at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability import logs


@contextlib.contextmanager
def report_user_errors(resumable: bool = False) -> Iterator[None]:
    """Turn user errors and Ctrl-C into a line on stderr and an exit code.

    Args:
        resumable: the command skips what is done already, and the line on Ctrl-C says so.

    Raises:
        SystemExit: 2 after a UserError, also one that Ray carried over from a worker; 130 after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        rest = "; run the same command again to go on where this one stopped" if resumable else ""
        echo(f"stopped{rest}", "yellow")
        raise SystemExit(130) from None
    except Exception as e:
        found = user_error(e)
        if found is None:
            raise
        echo(f"error: {found}", "red")
        raise SystemExit(2) from None


def user_error(error: BaseException | None) -> UserError | None:
    """The UserError behind an exception, however often Ray Data and Ray Train have wrapped it."""
    waiting, seen = [error], set()
    while waiting:
        e = waiting.pop(0)
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        # RayTaskError(UserError) is a UserError too, with a remote traceback as its text; `cause` is what was raised.
        if isinstance(e, UserError) and not hasattr(e, "cause"):
            return e
        causes = [e.__cause__, *(getattr(e, k, None) for k in ("cause", "controller_failure", "_base_exc"))]
        causes += (getattr(e, "worker_failures", None) or {}).values()
        waiting += [c for c in causes if isinstance(c, BaseException)]
    return None


def echo(text: str, style: str | None = None) -> None:
    """A line on stderr, so that stdout holds results alone; JSON where XNER_LOG asks for it."""
    if _as_json():
        level = {"red": "error", "yellow": "warning"}.get(style or "", "info")
        print(logs.json_line(level, text), file=sys.stderr, flush=True)  # noqa: T201
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False).print(Text(text, style=style or ""), soft_wrap=True)


def _as_json() -> bool:
    return os.environ.get(logs.VARIABLE) == "json"  # not checked: that it is wrong may be what is to be told


def show(thing: Any) -> None:
    """A table or text on stdout."""
    from rich.console import Console

    Console(highlight=False).print(thing, crop=False)


def run_stages(
    config_file: Path, overrides: Sequence[str] | None, stages: Sequence[str] | None = None
) -> dict[str, Any]:
    """Run stages of a config (all: None) and show what came out.

    Returns:
        what `workflows.run.run` returns; with `languages` in it once the students are evaluated.
    """
    with report_user_errors(resumable=True):
        from xner_ray.config.load import load_config

        config = load_config(config_file, overrides or ())

        from xner_ray.workflows.run import run

        results = run(config, config_file, stages=stages)
        if results.get("languages") and not _as_json():
            from xner_ray.results.report.table import results_table

            show(results_table(results, config.out))
        else:
            echo(f"done: {', '.join(stages or ['all stages'])}; everything lies in {config.out}", "green")
        return results


def run_job(argv: Sequence[str], usage: str | None, stages: Sequence[str] | None = None) -> None:
    """What a script in `jobs/` does: `xner preflight`, and the stages only where it finds no problem."""
    config_file, overrides = config_arguments(argv, usage)
    from xner_ray.cli.preflight import look

    with report_user_errors():
        look(config_file, overrides)
    run_stages(config_file, overrides, stages)


def config_arguments(argv: Sequence[str], usage: str | None) -> tuple[Path, list[str]]:
    """`CONFIG [key=value ...]` of a script in `jobs/`; without a config, print its docstring and exit with 2."""
    if len(argv) < 2 or argv[1] in ("-h", "--help"):
        echo((usage or "").strip())
        raise SystemExit(0 if len(argv) > 1 else 2)
    return Path(argv[1]), list(argv[2:])


def existing_file(path: Path, key: str, remedy: str = "check the path") -> Path:
    """The path, or a UserError before anything slow starts."""
    if not path.is_file():
        raise UserError("is a folder" if path.is_dir() else "no such file", file=path, key=key, remedy=remedy)
    return path


def model_folder(path: Path) -> str:
    """The folder of a trained model as text, or a UserError before torch is imported."""
    if not (path / "config.json").is_file():
        problem = "holds no model (no config.json)" if path.is_dir() else "no such folder"
        remedy = "give the folder of a trained model, such as `xner run` names at its end"
        raise UserError(problem, file=path, key="--model", remedy=remedy)
    return str(path)


def comma_list(text: str | None) -> list[str] | None:
    """`PER,ORG` as a list; None where nothing was given."""
    return [x.strip() for x in text.split(",") if x.strip()] if text is not None else None


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    from xner_ray.storage import atomic

    atomic.write_json(path.absolute(), tree)
