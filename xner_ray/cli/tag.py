"""The implementation of `xner tag`, which reads and prints line by line, so that it works in a pipe of any length.

The model gets chunks of 256 lines. The engine sorts a chunk by length, and each chunk is printed when it is tagged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xner_ray.cli.console import show_json, write_data
from xner_ray.cli.model_options import needed_language
from xner_ray.cli.options import existing_file
from xner_ray.errors import UserError
from xner_ray.observability.safe_text import escape_controls
from xner_ray.results.report.palette import type_color

if TYPE_CHECKING:
    import numpy as np
    from rich.text import Text

    from xner_ray.ner.base_tagger import BaseTagger

Entity = tuple[int, int, str, float]  # character start and end, type, score
CHUNK = 256
_CONVERT = (
    "these lines have no entities. Convert the input: iconv -f ISO-8859-1 -t UTF-8 for Western European text, or"
    " iconv -f UTF-8 -t UTF-8 -c to leave broken bytes out"
)


class _Line(NamedTuple):
    """A line of the input, and why it cannot be tagged."""

    text: str
    fault: str = ""


def tag_lines(model: str, texts: Sequence[str], file: Path | None, language: str | None, as_json: bool) -> None:
    """Tag texts, or the lines of a file, or the lines of stdin, and print each with its entities.

    Args:
        model: see `open_named_tagger`.
        texts: may be empty, or `-` for stdin.
        file: of lines.
        language: of the texts; None: not known. Then it is that of the model's card, or English.
        as_json: print JSON lines.

    Raises:
        UserError: both texts and a file are given, or neither and stdin is a terminal, or the text does not fit the language
            that is assumed. After all lines are printed: some are not UTF-8, or the model fails on them. These are printed
            without entities, as JSON with a `fault`.
    """
    source, lines = _open_lines(texts, file)
    from xner_ray.cli.safe_console import SafeConsole
    from xner_ray.encoders.row_guard import without_failing_rows
    from xner_ray.ner.tagger import open_named_tagger
    from xner_ray.text.gold_language import check_spacing

    # fp32 gives the same entities on every machine; bf16 would be faster, but may differ.
    tagger = open_named_tagger(model, precision="fp32")
    is_assumed, code = language is None, needed_language(model, language)
    console = SafeConsole()
    colored = console.is_terminal and console.color_system is not None and not console.no_color
    number = 0
    broken: list[tuple[int, str]] = []
    failed: list[tuple[int, str]] = []
    while chunk := list(islice(lines, CHUNK)):
        good = [i for i, line in enumerate(chunk) if not line.fault]
        if is_assumed:
            check_spacing([[chunk[i].text for i in good]], code, source)
        guarded = without_failing_rows(partial(_tag, tagger, [chunk[i].text for i in good], code), len(good))
        found = {good[row]: entities for row, entities in zip(guarded.rows.tolist(), guarded.result, strict=True)}
        faults = {good[row]: reason for row, reason in guarded.faults.items()}
        failed += [(number + i + 1, reason) for i, reason in sorted(faults.items())]
        broken += [(number + i + 1, line.fault) for i, line in enumerate(chunk) if line.fault]
        number += len(chunk)
        for i, (text, fault) in enumerate(chunk):
            entities = found.get(i, ())
            if as_json:
                show_json(json_row(text, entities, fault or faults.get(i)))
            elif colored:
                console.print(in_color(text, entities), soft_wrap=True)
            else:
                write_data(in_brackets(text, entities))
        sys.stdout.flush()
    if broken:
        first, reason = broken[0]
        problem = reason + (f"; {len(broken)} lines of {number} are not" if len(broken) > 1 else "")
        raise UserError(problem, file=source, line=first, remedy=_CONVERT)
    if failed:
        line, reason = failed[0]
        problem = f"the model fails on {len(failed)} of {number} texts, the first one is number {line}: {reason}"
        raise UserError(problem, remedy="shorten or split these texts; the entities of the others are complete")


def _tag(tagger: BaseTagger, texts: Sequence[str], language: str, rows: np.ndarray) -> Sequence[Sequence[Entity]]:
    return tagger.tag([texts[i] for i in rows], language)


def _open_lines(texts: Sequence[str], file: Path | None) -> tuple[str, Iterator[_Line]]:
    """The name of the input, and its lines."""
    if texts and list(texts) != ["-"]:
        if file:
            raise UserError("both TEXT and --file were given", remedy="give one of them")
        return "TEXT", _decoded(map(os.fsencode, texts), "TEXT")
    if file and str(file) != "-":
        return str(file), _decoded(existing_file(file, "--file").open("rb"), str(file))
    if not texts and not file and sys.stdin.isatty():
        raise UserError("nothing to tag", remedy="give sentences, --file FILE, or - to type them")
    return "stdin", _decoded(sys.stdin.buffer, "stdin")


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[_Line]:
    for number, line in enumerate(lines, 1):
        if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError("is UTF-16", file=name, remedy="convert it: iconv -f UTF-16 -t UTF-8")
        line = line.rstrip(b"\r\n")
        encoding = "utf-8-sig" if number == 1 else "utf-8"
        try:
            yield _Line(line.decode(encoding))
        except UnicodeDecodeError as e:
            fault = f"is not UTF-8: byte 0x{e.object[e.start]:02x}"
            yield _Line(line.decode(encoding, "replace"), fault)


def json_row(text: str, entities: Iterable[Entity], fault: str | None = None) -> dict[str, Any]:
    rows = [{"start": a, "end": b, "type": kind, "score": round(float(score), 4)} for a, b, kind, score in entities]
    return {"text": text, "entities": rows} | ({"fault": fault} if fault else {})


def in_brackets(text: str, entities: Iterable[Entity]) -> str:
    """`[Berlin LOC]` around each entity."""
    return "".join(f"[{part} {kind}]" if kind else part for part, kind in _parts(text, entities))


def in_color(text: str, entities: Iterable[Entity]) -> Text:
    """A color for each type, and its name behind the entity for those who do not see the color."""
    from rich.text import Text

    marked = Text()
    for part, kind in _parts(text, entities):
        part = escape_controls(part)
        if kind:
            color = type_color(kind)
            marked.append(part, f"bold underline {color}").append(f" {kind}", f"dim {color}")
        else:
            marked.append(part)
    return marked


def _parts(text: str, entities: Iterable[Entity]) -> Iterator[tuple[str, str | None]]:
    """The text cut at the entities: (part, type), None between them."""
    done = 0
    for start, end, kind, _ in sorted(entities):
        if done < start:
            yield text[done:start], None
        yield text[start:end], kind
        done = end
    if done < len(text):
        yield text[done:], None
