"""The implementation of `xner tag`, which reads and prints line by line, so that it works in a pipe of any length.

The model gets chunks of 256 lines. The engine sorts a chunk by length, and each chunk is printed when it is tagged.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from xner_ray.cli.options import existing_file
from xner_ray.errors import UserError
from xner_ray.results.report.palette import type_color

if TYPE_CHECKING:
    import numpy as np
    from rich.text import Text

    from xner_ray.ner.base_tagger import BaseTagger

Entity = tuple[int, int, str, float]  # character start and end, type, score
CHUNK = 256


def tag_lines(model: str, texts: Sequence[str], file: Path | None, language: str, as_json: bool) -> None:
    """Tag texts, or the lines of a file, or the lines of stdin, and print each with its entities.

    Raises:
        UserError: both texts and a file are given, or neither and stdin is a terminal, or the input is not UTF-8. After all
            lines are printed: the model fails on some of them. These are printed without entities, as JSON with a `fault`.
    """
    lines = _lines(texts, file)
    from rich.console import Console

    from xner_ray.encoders.row_guard import without_failing_rows
    from xner_ray.ner.tagger import open_named_tagger

    # fp32 gives the same entities as `transformers.pipeline`; bf16 would be faster, but may differ.
    tagger = open_named_tagger(model, precision="fp32")
    console = Console(highlight=False)
    colored = console.is_terminal and console.color_system is not None and not console.no_color
    number, failed = 0, []
    while chunk := list(islice(lines, CHUNK)):
        guarded = without_failing_rows(partial(_tag, tagger, chunk, language), len(chunk))
        found = dict(zip(guarded.rows.tolist(), guarded.result, strict=True))
        failed += [(number + i + 1, reason) for i, reason in sorted(guarded.faults.items())]
        number += len(chunk)
        for i, text in enumerate(chunk):
            entities = found.get(i, ())
            if as_json:
                sys.stdout.write(as_json_line(text, entities, guarded.faults.get(i)) + "\n")
            elif colored:
                console.print(in_color(text, entities), soft_wrap=True)
            else:
                sys.stdout.write(in_brackets(text, entities) + "\n")
        sys.stdout.flush()
    if failed:
        line, reason = failed[0]
        problem = f"the model fails on {len(failed)} of {number} texts, the first one is number {line}: {reason}"
        raise UserError(problem, remedy="shorten or split these texts; the entities of the others are complete")


def _tag(tagger: BaseTagger, texts: Sequence[str], language: str, rows: np.ndarray) -> Sequence[Sequence[Entity]]:
    return tagger.tag([texts[i] for i in rows], language)


def _lines(texts: Sequence[str], file: Path | None) -> Iterator[str]:
    if texts and list(texts) != ["-"]:
        if file:
            raise UserError("both TEXT and --file were given", remedy="give one of them")
        return iter(texts)
    if file and str(file) != "-":
        return _decoded(existing_file(file, "--file").open("rb"), str(file))
    if not texts and not file and sys.stdin.isatty():
        raise UserError("nothing to tag", remedy="give sentences, --file FILE, or - to type them")
    return _decoded(sys.stdin.buffer, "stdin")


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as e:
            problem = f"is not UTF-8: byte 0x{e.object[e.start]:02x}"
            raise UserError(problem, file=name, line=number, remedy="convert it first, e.g. with iconv") from None


def as_json_line(text: str, entities: Iterable[Entity], fault: str | None = None) -> str:
    rows = [{"start": a, "end": b, "type": kind, "score": round(float(score), 4)} for a, b, kind, score in entities]
    row = {"text": text, "entities": rows} | ({"fault": fault} if fault else {})
    return json.dumps(row, ensure_ascii=False)


def in_brackets(text: str, entities: Iterable[Entity]) -> str:
    """`[Berlin LOC]` around each entity."""
    return "".join(f"[{part} {kind}]" if kind else part for part, kind in _parts(text, entities))


def in_color(text: str, entities: Iterable[Entity]) -> Text:
    """A color for each type, and its name behind the entity for those who do not see the color."""
    from rich.text import Text

    marked = Text()
    for part, kind in _parts(text, entities):
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
