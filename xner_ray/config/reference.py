"""Generates docs/configuration.md from the config classes.

    python -m xner_ray.config.reference docs/configuration.md

Keys that several stages share (`training`) are listed once. Each stage lists its different defaults.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xner_ray.config import Config

_HEAD = """# All keys of a config

Written by `make docs` from `xner_ray/config/`; change it there. Unknown keys, wrong types and contradictions are
errors that name file, line, key and remedy. `student.seeds=[1,2]` or `corpora.0.path=...` on the command line
overrides a key; `corpora.NAME.path=...` is the same for the corpus of this name.
In paths `{data}` is replaced by the key `data`, `{language}` by the target language, and `{pair}` by, e.g., `de-en`.
Relative paths are relative to the working directory of the command.
"""
_BOUNDS = ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<"))


def reference() -> str:
    """The page as Markdown: a table of keys for each config class, in the order in which the keys lead to them."""
    parts, seen = [_HEAD], set()
    waiting: list[tuple[str, type[BaseModel]]] = [("", Config)]
    while waiting:
        path, model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        parts.append(_section(path, model))
        for name, field in model.model_fields.items():
            inner = _model_in(field.annotation)
            if inner:
                many = "[]" if _is_list(field.annotation) else ""
                waiting.append((f"{path}.{name}{many}".lstrip("."), inner))
    return "\n".join(parts)


def _section(path: str, model: type[BaseModel]) -> str:
    title = "Top level" if not path else "`training`" if path.endswith(".training") else f"`{path}`"
    lines = [
        f"## {title}\n",
        (model.__doc__ or "").strip() + "\n",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        cells = [
            f"`{name}`",
            _type(field.annotation, field.metadata),
            _default(field),
            field.description or _see(field),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _type(annotation: Any, metadata: Any = ()) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0], [m for a in args[1:] for m in ([a] if not isinstance(a, FieldInfo) else a.metadata)])
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (Union, types.UnionType):
        shown = [_type(a, metadata if i == 0 else ()) for i, a in enumerate(args) if a is not type(None)]
        return " or ".join(shown) + (" or null" if type(None) in args else "")
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"{_type(args[0])} -> {_type(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation))) + _bounds(metadata)


def _bounds(metadata: Any) -> str:
    shown = [f"{word} {getattr(m, key):,}" for m in metadata for kind, key, word in _BOUNDS if isinstance(m, kind)]
    return f" {', '.join(shown)}" if shown else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    if not isinstance(value, BaseModel):
        return f"`{json.dumps(value, ensure_ascii=False)}`"
    # Only what differs from the defaults of the section itself.
    usual = type(value).model_fields
    changed = {
        k: v
        for k, v in value.model_dump().items()
        if v != usual[k].get_default(call_default_factory=True, validated_data={})
        and not isinstance(getattr(value, k), BaseModel)
    }
    return f"`{json.dumps(changed)}`" if changed else "its defaults"


def _see(field: FieldInfo) -> str:
    inner = _model_in(field.annotation)
    return (inner.__doc__ or "").strip().partition("\n")[0] if inner else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The config class that an annotation holds, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _model_in(a))), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(a) for a in get_args(annotation))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
