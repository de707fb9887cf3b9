"""Loading of a config: YAML and `key=value` overrides. Errors name file, line, key and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from xner_ray.config import Config
from xner_ray.config.safe_yaml import check_text, parse_yaml, read_yaml, shorten
from xner_ray.errors import UserError
from xner_ray.language_codes import UnknownLanguageError

_REMOVED = {
    "similarity_fallback_score": (
        "this key was removed: similarity and aligner choose spans together",
        "remove it, or set `similarity_weight`, which is a weight and no score; 0 is the aligner alone",
    )
}
_PLACEHOLDER = re.compile(r"\{(?:data|language|pair)\}")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config.

    Args:
        path: the YAML file.
        overrides: `key=value` with dotted keys (`student.seeds=[1,2]`, `corpora.0.path=...`); values are YAML. An entry of a
            list has its index or its `name` (`corpora.news.path=...`). A value that begins with a placeholder is text.

    Raises:
        UserError: something in the file or an override is wrong. It names file, line, key and remedy.
    """
    path = Path(path)
    try:
        node, tree = parse_yaml(read_yaml(path), path)
    except UserError as e:
        e.line = e.line or (key_line(path, e.key) if e.key else None)
        raise
    if not isinstance(tree, dict):
        raise UserError("is not a mapping of keys", file=path, remedy="start from a copy of configs/demo.yaml")
    for item in overrides:
        _override(tree, item)
    try:
        config = Config.model_validate(tree)
    except ValidationError as e:
        raise _explain(e, path, node) from None
    _check_data(config, path)
    return config


def _override(tree: dict, item: str) -> None:
    key, sep, value = item.partition("=")
    if not sep or not key:
        raise UserError(f"`{shorten(item)}` is not key=value", remedy="write e.g. student.seeds=[1,2] or data=/path")
    check_text(item, key)
    # YAML would read `{data}/x.tsv` as a mapping that something follows, and `{data}` as a mapping.
    parsed = value if _PLACEHOLDER.match(value) else parse_yaml(value, key=key)[1]
    *parents, last = key.split(".")
    at: Any = tree
    for name in parents:
        if isinstance(at, list):
            at = at[_position(at, name, key)]
        else:
            if at.get(name) is None:
                at[name] = {}
            at = at[name]
        if not isinstance(at, (dict, list)):
            raise UserError(f"`{name}` holds a value, not keys", key=key, remedy="see docs/configuration.md")
    if isinstance(at, list):
        at[_position(at, last, key)] = parsed
    else:
        at[last] = parsed


def _position(items: list, name: str, key: str) -> int:
    """The index of an entry that an override gives by its index or name."""
    if is_index(name) and int(name) < len(items):
        return int(name)
    names = [item.get("name", item.get("opus")) if isinstance(item, dict) else None for item in items]
    if names.count(name) == 1:
        return names.index(name)
    known = ", ".join(str(x) for x in names if x)
    remedy = f"count from 0, or give a name: {known}" if known else "count from 0"
    raise UserError(f"`{name}` is no index of a list of {len(items)}, and no name in it", key=key, remedy=remedy)


def is_index(text: str) -> bool:
    """Whether a text is the number of a list's entry. Other digits than 0 to 9, such as ², are none."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def key_line(path: str | Path, key: str) -> int | None:
    """The line of a key in a config file, e.g. of `dev.0.path`; of the nearest parent where the file lacks the key.

    Returns:
        From 1; None where the file cannot be read or an override gives the key.
    """
    try:
        node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return _line(node, [int(x) if is_index(x) else x for x in key.split(".")])


def _explain(error: ValidationError, path: Path, node: yaml.Node | None) -> UserError:
    """The first error of pydantic as a UserError."""
    first = error.errors()[0]
    loc = [x for x in first["loc"] if x not in ("str", "[key]") and not (isinstance(x, str) and "[" in x)]
    key = shorten(".".join(str(x) for x in loc))
    remedy, problem = "see docs/configuration.md for its type and meaning", first["msg"]
    if first["type"] == "extra_forbidden":
        known = _fields(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, 1)
        problem = "unknown key"
        remedy = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        problem, remedy = _REMOVED.get(str(loc[-1]), (problem, remedy))
    elif first["type"] == "missing":
        problem, remedy = "this key is missing", "add it; it has no default"
    else:
        problem = problem.removeprefix("Value error, ")
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UnknownLanguageError):
            remedy = cause.remedy
        elif "input" in first and not isinstance(first["input"], (dict, list, BaseModel)):
            problem += f" (got {shorten(repr(first['input']))})"
    return UserError(problem, file=path, line=_line(node, loc), key=key or None, remedy=remedy)


def _fields(loc: Sequence[Any]) -> list[str]:
    model: Any = Config
    for name in loc:
        if isinstance(name, int):
            continue
        field = model.model_fields.get(name)
        if field is None:
            return []
        found = [a for a in _flatten(field.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _flatten(annotation: Any) -> list[Any]:
    args = getattr(annotation, "__args__", ())
    return [annotation] if not args else [x for a in args for x in _flatten(a)]


def _line(node: yaml.Node | None, loc: Sequence[Any]) -> int | None:
    """The 1-based line of a key, or of the nearest parent that the file holds."""
    line = None
    for name in loc:
        if isinstance(node, yaml.MappingNode):
            hit = next(((k, v) for k, v in node.value if k.value == str(name)), None)
            if hit is None:
                break
            line, node = hit[0].start_mark.line + 1, hit[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
            node = node.value[name]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _check_data(config: Config, path: Path) -> None:
    paths = [g.path for g in [*config.gold, *config.dev, *config.evaluation]] + [c.path for c in config.corpora]
    paths += [config.opus.folder] if any(c.opus for c in config.corpora) else []
    if config.data_dir is None and any("{data}" in p for p in paths):
        raise UserError(
            "no folder given", file=path, key="data", remedy="add data=DIR to the command line; see README.md"
        )
