"""Parses YAML of a user: bounded in size and depth, and each problem is an error with its line.

PyYAML raises many kinds of exceptions, recurses into nested lists, and lets nine lines of aliases stand for a billion values. So
the depth is checked while the text is parsed, and the number of values before they are made. Aliases are copied, because an
override of one key must not change another key.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from xner_ray.errors import UserError

MAX_BYTES = 1 << 24
MAX_DEPTH = 50
MAX_VALUES = 1_000_000  # with the values that aliases stand for
MAX_INT = 1 << 63
MAX_SHOWN = 80  # characters of a value in an error
_CORRECT = "correct the syntax"


def read_yaml(path: Path) -> str:
    """The text of a YAML file.

    Raises:
        UserError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"has more than {MAX_BYTES >> 20} MB", file=path, remedy="give a config")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            "no such config", file=path, remedy="give one of configs/*.yaml or a copy of your own"
        ) from None
    except (OSError, UnicodeDecodeError, ValueError) as e:
        raise UserError(f"cannot be read: {e}", file=path, remedy="give a UTF-8 YAML file") from e


def parse_yaml(text: str, file: Path | None = None, key: str | None = None) -> tuple[yaml.Node | None, Any]:
    """Parse one YAML document.

    Args:
        text: of the document.
        file: for errors.
        key: that gets the value, for errors.

    Returns:
        The node, which knows lines, and the value: mappings, lists and scalars, none of them shared.

    Raises:
        UserError: the text is not YAML, nests too deep, is too large, or holds a value that cannot be used.
    """
    try:
        _check_depth(text, file, key)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return None, None
        _check_nodes(node, file, key)
        value = _construct(node, file, key)
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1 if file else None
        code = e.character if isinstance(e.character, int) else ord(e.character)
        problem = f"is not YAML: it holds the character U+{code:04X}"
        raise UserError(problem, file=file, line=line, key=key, remedy="remove the character") from None
    except yaml.MarkedYAMLError as e:
        raise _error(f"is not YAML: {e.problem}", e.problem_mark, file, key, _CORRECT if file else "quote it") from e
    return node, _checked(value, "", key, file)


def _error(problem: str, mark: Any, file: Path | None, key: str | None, remedy: str) -> UserError:
    line = mark.line + 1 if mark is not None and file else None
    return UserError(problem, file=file, line=line, key=key, remedy=remedy)


def _check_depth(text: str, file: Path | None, key: str | None) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            problem = f"nests lists and mappings more than {MAX_DEPTH} deep"
            raise _error(problem, event.start_mark, file, key, _CORRECT)


def _check_nodes(root: yaml.Node, file: Path | None, key: str | None) -> None:
    """Raise for a key that a mapping has twice, for an alias inside its own anchor, and for aliases of too many values.

    Each node is visited once, however many aliases it has.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of a finished node: values and depth
    open_nodes: set[int] = set()

    def visit(node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise _error("an alias stands inside of its own anchor", node.start_mark, file, key, "remove the alias")
        open_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_duplicates(node, file, key)
        children = [visit(child) for child in _children(node)]
        size, depth = 1 + sum(s for s, _ in children), 1 + max((d for _, d in children), default=0)
        if size > MAX_VALUES or depth > MAX_DEPTH:
            problem = f"its aliases stand for more than {MAX_VALUES:,} values or {MAX_DEPTH} levels"
            raise _error(problem, node.start_mark, file, key, "write the values without aliases")
        sizes[id(node)] = size, depth
        return size, depth

    visit(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from itertools.chain.from_iterable(node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _check_duplicates(node: yaml.MappingNode, file: Path | None, key: str | None) -> None:
    """YAML would use the second one silently."""
    lines: dict[str, int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode):
            continue
        line = name.start_mark.line + 1
        if name.value in lines:
            problem = f"given twice, first in line {lines[name.value]}"
            raise UserError(problem, file=file, line=line, key=key or name.value, remedy="keep one of them")
        lines[name.value] = line


def _construct(node: yaml.Node, file: Path | None, key: str | None) -> Any:
    """The value of a node. Numbers and dates that Python cannot make raise errors of many kinds."""
    try:
        return _make(node)
    except yaml.MarkedYAMLError:
        raise
    except Exception as e:
        for scalar in _scalars(node, set()):
            try:
                _make(scalar)
            except Exception:
                kind = scalar.tag.rsplit(":", 1)[-1]
                problem = f"`{scalar.value[:40]}` cannot be read as {kind}"
                raise _error(problem, scalar.start_mark, file, key, "quote it, if it is a text") from e
        raise


def _make(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
    for child in _children(node):
        yield from _scalars(child, seen)


def _checked(value: Any, place: str, key: str | None, file: Path | None) -> Any:
    """A copy of a value. Raises for characters that no path and no name may hold, and for numbers that no key takes."""
    if isinstance(value, dict):
        items = value.items()
        return {_checked(k, place, key, file): _checked(v, f"{place}.{k}", key, file) for k, v in items}
    if isinstance(value, (list, tuple)):
        return [_checked(v, f"{place}.{i}", key, file) for i, v in enumerate(value)]
    problem = None
    if isinstance(value, str):
        problem = _bad_character(value)
    elif isinstance(value, int) and abs(value) >= MAX_INT:
        problem = "is too large a number"
    if problem:
        where = f"{key}{place}" if key else place.removeprefix(".")
        raise UserError(problem, file=file, key=shorten(where) or None, remedy="correct the value")
    return value


def _bad_character(text: str) -> str | None:
    """Control characters, and surrogates, which are bytes of the command line that are not UTF-8."""
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs")), None)
    if bad is None:
        return None
    code = ord(bad)
    return (
        f"holds the byte 0x{code & 0xFF:02X}, which is not UTF-8"
        if 0xDC80 <= code <= 0xDCFF
        else f"holds U+{code:04X}"
    )


def check_text(text: str, key: str) -> None:
    """Raise a UserError for an argument with control characters or bytes that are not UTF-8."""
    if problem := _bad_character(text):
        raise UserError(problem, key=shorten(key), remedy="write the argument in UTF-8, without control characters")


def shorten(text: str) -> str:
    """The start of a long text, for an error."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
