"""Recognizes by content which columns of a CoNLL-like file hold the tokens and the gold tags.

    CoNLL-2002/2003, MultiCoNER   token ... tag
    GermEval                      index, token, outer tag, inner tag
    UNER, CoNLL-U style           index, token, tag, other columns; lines of multiword tokens (1-2) are skipped
    conlleval                     token ... gold tag, predicted tag
    Weibo                         character with its position in the word (官0), tag

A file that can be read in two ways is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xner_ray.errors import UserError
from xner_ray.text.tag_schemes import TAG

# CoNLL-2000 and 2003.
_CHUNK_TYPES = frozenset(("NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"))
# Fraction of lines whose column holds a tag, so that a wrong tag is reported and not a wrong column.
_MIN_TAGGED = 0.95
_MIN_AGREEMENT = 0.5  # of the tags of a prediction with gold; inner and outer entities nearly always differ
_POSITION = re.compile(r"(\S)(\d{1,2})")
_HAN = re.compile("[\u3400-\u9fff]")
_RANGE = re.compile(r"\d+[-.]\d+")  # of a multiword token, or an empty word


class Row(NamedTuple):
    """A line of a CoNLL-like file: its number from 1, and its columns."""

    number: int
    columns: list[str]


@dataclass(frozen=True)
class Layout:
    """Where the tokens and tags of a file are.

    Attributes:
        token: column of the tokens.
        tag: column of the tags; negative: from the end of the line.
        has_index: the first column counts the tokens.
        has_positions: tokens end with their position in the word.
        description: what was recognized; empty: token first and tag last.
    """

    token: int = 0
    tag: int = -1
    has_index: bool = False
    has_positions: bool = False
    description: str = ""

    def rows(self, block: Sequence[Row]) -> list[Row]:
        """The lines of a sentence as (token, tag)."""
        kept = [row for row in block if not (self.has_index and _RANGE.fullmatch(row.columns[0]))]
        cut = slice(None, 1) if self.has_positions else slice(None)
        return [Row(row.number, [row.columns[self.token][cut], row.columns[self.tag]]) for row in kept]


def recognize(blocks: Sequence[Sequence[Row]], path: object) -> Layout:
    """Recognize the layout of a file whose lines have two or more columns.

    Args:
        blocks: the sentences.
        path: the file, for errors.

    Raises:
        UserError: the columns can be read in two ways.
    """
    rows = [row.columns for block in blocks for row in block]
    width = min(map(len, rows))
    has_index = width >= 3 and _counts_tokens(blocks)
    token = int(has_index)
    if width >= 3 and not has_index:
        _check_words(blocks, path)
    if has_index:
        rows = [row for row in rows if not _RANGE.fullmatch(row[0])]
    tag, what = _tag_column(rows, token, path) if all(len(row) == width for row in rows) else (-1, "")
    parts = ["an index, then the token"] if has_index else []
    parts += [what] if what else []
    has_positions = _has_positions(blocks, token)
    parts += ["characters with their positions (官0), which are removed"] if has_positions else []
    return Layout(token, tag, has_index, has_positions, "; ".join(parts))


def _counts_tokens(blocks: Sequence[Sequence[Row]]) -> bool:
    """Whether the first column counts the tokens of each sentence, from 0 or from 1."""
    first = blocks[0][0].columns[0].partition("-")[0]
    if first not in ("0", "1"):
        return False
    counted = [[r.columns[0] for r in block if not _RANGE.fullmatch(r.columns[0])] for block in blocks]
    return all(index == str(i) for column in counted for i, index in enumerate(column, int(first)))


def _check_words(blocks: Sequence[Sequence[Row]], path: object) -> None:
    """Refuse a first column of numbers that do not count the tokens of each sentence: the token is in another column."""
    rows = [row for block in blocks for row in block]
    if sum(row.columns[0].isdecimal() for row in rows) < _MIN_TAGGED * len(rows):
        return
    starts = {block[0].columns[0] for block in blocks} & {"0", "1"}
    first = int(min(starts, default="1"))
    wrong = (r for b in blocks for i, r in enumerate(b, first) if r.columns[0] != str(i))
    what = "the first column holds numbers, which do not count the tokens of each sentence"
    remedy = "write a blank line after each sentence and count each from 1, or remove the column: cut -f 2- FILE"
    raise UserError(what, file=path, line=next(wrong, rows[0]).number, remedy=remedy)


def _has_positions(blocks: Sequence[Sequence[Row]], token: int) -> bool:
    """Whether each token is a character, mostly Han, and its position in the word, which starts at 0 or counts up."""
    num_han = num_tokens = last = 0
    for block in blocks:
        previous = -1
        for row in block:
            match = _POSITION.fullmatch(row.columns[token])
            if not match or int(match[2]) not in (0, previous + 1):
                return False
            previous = int(match[2])
            last = max(last, previous)
            num_han += _HAN.match(match[1]) is not None
            num_tokens += 1
    return last > 0 and 2 * num_han > num_tokens


def _tag_column(rows: Sequence[Sequence[str]], token: int, path: object) -> tuple[int, str]:
    """The column of the gold tags of rows of one width, and what is special about it."""
    width = len(rows[0])
    types: dict[int, set[str]] = {}
    for column in range(token + 1, width):
        matches = [TAG.fullmatch(row[column]) for row in rows]
        num_tags = sum(1 for match, row in zip(matches, rows, strict=True) if match or row[column] == "O")
        found = {match[2] for match in matches if match}
        if num_tags >= _MIN_TAGGED * len(rows) and not (found and found <= _CHUNK_TYPES):
            types[column] = found
    if not types:
        return -1, ""
    *others, last = types
    if not others:
        return (last, "") if last < width - 1 else (-1, "")
    return _first_of_two(rows, others[-1], last, types, token, path)


def _first_of_two(
    rows: Sequence[Sequence[str]], first: int, second: int, types: dict[int, set[str]], token: int, path: object
) -> tuple[int, str]:
    """The gold column of two columns with tags."""
    numbers = f"columns {first + 1} and {second + 1}"
    remedy = f"keep one of the two, e.g. token and first: awk '{{print ${token + 1}, ${first + 1}}}' FILE"
    if types[first] and types[second] and not types[first] & types[second] and not token:
        return second, f"tags in column {second + 1}; column {first + 1} holds tags of another kind and is left out"
    if not types[first]:
        if not types[second]:
            return first, ""
        what = f"{numbers} both hold tags, and the first has no entity: gold and prediction, or two layers"
        raise UserError(what, file=path, remedy=remedy)
    if not types[second]:
        return first, f"tags in column {first + 1}; column {second + 1} has no entity and is left out"
    entities = [(row[first], row[second]) for row in rows if row[second] != "O"]
    agreement = sum(a == b for a, b in entities) / len(entities)
    if agreement >= _MIN_AGREEMENT:
        return first, f"output of conlleval: gold in column {first + 1}, prediction in column {second + 1}"
    if token:
        return first, f"outer entities in column {first + 1}, inner ones in column {second + 1} are left out"
    both = ", ".join(sorted(types[first] & types[second]))
    problem = f"{numbers} both hold entities ({both}): this is nested gold, or gold and another prediction"
    raise UserError(problem, file=path, remedy=remedy)
