"""The columns of a TSV file: which ones are source, target and score.

They follow from `columns` of the config, else from a header row, else from the content of the first rows: two columns are
text, and the others are numbers, ids or labels. OPUS and WikiMatrix order the two languages of a file by their codes, so the
file name decides which text column is the source (`de-en`: German first). Without such a name the source comes first. A file
whose columns cannot be distinguished is an error, because shifted columns look like a corpus.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from xner_ray.config.corpora import COLUMN_ROLES, CorpusConfig
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language
from xner_ray.text.cldr import display_name
from xner_ray.text.scripts import unspaced_share

_ROWS = 500  # rows that decide
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_IDENTIFIER = re.compile(r"(?=.*\d)[^\s]+")
_SENTENCE = re.compile(r"\w\s+\w|[.!?…。！？]$")
_CODE = r"[A-Za-z]{2,3}(?:_[A-Za-z]{2,4})?"
_HEADER = {
    "id": "id", "ids": "id", "index": "id", "idx": "id", "no": "id", "nr": "id", "line": "id", "key": "id",
    "score": "score", "scores": "score", "similarity": "score", "laser_score": "score", "margin": "score",
    "source": "source", "src": "source", "source_text": "source", "source_sentence": "source",
    "target": "target", "tgt": "target", "trg": "target", "target_text": "target", "target_sentence": "target",
    "translation": "target", "domain": "skip", "label": "skip", "url": "skip", "corpus": "skip", "split": "skip",
}  # fmt: skip
_HEADER_WORDS = frozenset({"sentence", "sentence1", "sentence2", "text", "text1", "text2", "original", "reference"})


@dataclass(frozen=True)
class TsvLayout:
    """The columns of a file.

    Attributes:
        columns: number of columns of most lines.
        roles: of each column: source, target, score, id or skip. A score may follow that most lines lack.
        max_fields: lines with more fields are malformed.
        header: the first line is a header.
        recognized: the columns are not those that the format documents.
    """

    columns: int
    roles: tuple[str, ...]
    max_fields: int
    header: bool = False
    recognized: bool = False

    @property
    def source(self) -> int:
        return self.roles.index("source")

    @property
    def target(self) -> int:
        return self.roles.index("target")

    @property
    def score(self) -> int | None:
        return self.roles.index("score") if "score" in self.roles else None

    def __str__(self) -> str:
        return ", ".join(self.roles[: self.columns]) + (", with a header" if self.header else "")


def swapped(layout: TsvLayout) -> str:
    """The columns with source and target exchanged, as a value of `columns`."""
    other = {"source": "target", "target": "source"}
    return f"[{', '.join(other.get(role, role) for role in layout.roles[: layout.columns])}]"


def find_layout(block: bytes, corpus: CorpusConfig, languages: tuple[str, str], path: str) -> TsvLayout:
    """The columns of a file.

    Args:
        block: its first lines.
        corpus: with `format`, `columns` and `min_score`.
        languages: of source and target.
        path: file or URL.

    Raises:
        UserError: the columns do not fit `columns`, or cannot be distinguished.
    """
    lines = [line.rstrip("\r") for line in block.decode("utf-8", "replace").split("\n")[:_ROWS]]
    rows = [line.split("\t") for line in lines if line.strip()]
    if not rows:
        remedy = "check the path and `format`"
        raise UserError("its first lines are blank", file=path, line=1, key=f"{corpus.key}.path", remedy=remedy)
    widths = Counter(len(row) for row in rows if len(row) > 1)
    width, key = widths.most_common(1)[0][0] if widths else 1, f"{corpus.key}.columns"
    named = _header_roles(rows[0], languages) if lines[0].strip() and len(rows[0]) == width else None
    body = [row for row in (rows[1:] if named else rows) if len(row) == width] or rows[:1]
    kinds = [_kind([row[i].strip() for row in body]) for i in range(width)]
    if corpus.columns is not None:
        given = _configured_roles(corpus.columns, languages, path, key)
        _check_roles(given, kinds, path, key)
        return TsvLayout(width, given, width, bool(named) or _has_number_header(rows[0], kinds))
    if named and {"source", "target"} <= set(named):
        return TsvLayout(width, named, width, True, True)
    sides = _text_columns(kinds, corpus.format)
    score = _score_column(kinds, sides, corpus) if sides else None
    if sides is None or (corpus.format == "wikimatrix" and score is None):
        raise _not_recognized(body[0], kinds, corpus.format, path, key)
    roles: list[str] = ["id" if kind in ("integer", "identifier", "label") else "skip" for kind in kinds]
    roles[sides[0]], roles[sides[1]] = ("source", "target") if source_first(path, languages) else ("target", "source")
    if score is not None:
        roles[score] = "score"
    header = bool(named) or _has_number_header(rows[0], kinds)
    documented = sides == (1, 2) and width in (3, 4)
    if corpus.format == "tsv" and documented and score is None and width == 3:
        roles.append("score")
    return TsvLayout(width, tuple(roles), len(roles), header, not documented or header)


def _not_recognized(row: Sequence[str], kinds: Sequence[str], format: str, path: str, key: str) -> UserError:
    expected = "score, source, target" if format == "wikimatrix" else "id, source, target[, score]"
    if len(kinds) < 3:
        what = f"the first line has {len(row)} of the columns {expected}"
        return UserError(what, file=path, line=1, key=key, remedy="separate the columns by tabs, or correct `format`")
    columns = "; ".join(f"{n}: {kind}, e.g. `{row[n - 1].strip()[:30]}`" for n, kind in enumerate(kinds, 1))
    remedy = f"name them: {key}=[{expected.partition('[')[0]}], with `skip` for those that are not needed"
    return UserError(
        f"has columns that cannot be distinguished ({columns})", file=path, line=1, key=key, remedy=remedy
    )


def source_first(path: str, languages: tuple[str, str]) -> bool:
    """Whether the source side comes before the target side, by the languages in the file name; true where it has none."""
    source, target = languages
    return next(
        (pair[0] == source for pair in _pairs(PurePosixPath(path).name) if set(pair) == {source, target}), True
    )


def side_order(corpus: CorpusConfig, path: str, languages: tuple[str, str]) -> list[str] | None:
    """What config and file name say about the columns of a corpus; None: nothing, so the source comes first."""
    if corpus.format not in ("tsv", "wikimatrix"):
        return None
    return corpus.columns or (None if source_first(path, languages) else ["target", "source"])


def _pairs(name: str) -> Iterator[tuple[str | None, str | None]]:
    """Pairs of languages on both sides of a hyphen."""
    for hyphen in re.finditer("-", name):
        before = re.search(rf"(?:^|[^A-Za-z0-9])({_CODE})$", name[: hyphen.start()])
        after = re.match(rf"({_CODE})(?![A-Za-z0-9])", name[hyphen.end() :])
        if before and after:
            for a in (before[1], before[1].rpartition("_")[2]):
                for b in (after[1], after[1].partition("_")[0]):
                    yield known_language(a), known_language(b)


def _header_roles(cells: Sequence[str], languages: tuple[str, str]) -> tuple[str, ...] | None:
    """The roles of a header row; None where the row is no header."""
    sides: dict[str, str] = {}
    for side, code in zip(("source", "target"), languages, strict=True):
        sides |= dict.fromkeys((code.lower(), display_name(code).lower(), code.lower().replace("_", "-")), side)
    words = [re.sub(r"^(?:text|sentence)[_ ]|[_ ](?:text|sentence)$", "", cell.strip().lower()) for cell in cells]
    whole = [cell.strip().lower() for cell in cells]
    roles = [_HEADER.get(a) or sides.get(a) or sides.get(b) for a, b in zip(whole, words, strict=True)]
    if all(role or word in _HEADER_WORDS for role, word in zip(roles, whole, strict=True)):
        return tuple(role or "skip" for role in roles)
    # Further columns may have any name, if both sides are named.
    one_each = roles.count("source") == roles.count("target") == 1 and sum(map(bool, roles)) > 2
    return tuple(role or "skip" for role in roles) if one_each else None


def _kind(values: list[str]) -> str:
    """What most values of a column are: empty, integer, decimal, identifier, text, or label (single words)."""
    full = [value for value in values if value]
    if len(full) < 0.05 * len(values) or not full:
        return "empty"
    numbers = sum(bool(_NUMBER.fullmatch(value)) for value in full)
    if numbers >= 0.9 * len(full):
        return (
            "integer" if all(value.lstrip("+-").isdigit() for value in full if _NUMBER.fullmatch(value)) else "decimal"
        )
    if sum(bool(_IDENTIFIER.fullmatch(value)) for value in full) >= 0.9 * len(full):
        return "identifier"
    sentences = sum(bool(_SENTENCE.search(value)) for value in full)
    return "text" if sentences >= 0.3 * len(full) or unspaced_share(full) > 0.5 else "label"


def _text_columns(kinds: Sequence[str], format: str) -> tuple[int, int] | None:
    """The two columns of text; None where they are not clear."""
    texts = [i for i, kind in enumerate(kinds) if kind == "text"]
    if len(texts) == 2:
        return texts[0], texts[1]
    words = [i for i, kind in enumerate(kinds) if kind in ("text", "label")]
    if len(words) == 2:
        return words[0], words[1]
    documented = len(kinds) in (3, 4) and {1, 2} <= set(words) and kinds[0] == "label"
    return (1, 2) if documented and set(texts) <= {1, 2} and format == "tsv" else None


def _score_column(kinds: Sequence[str], sides: tuple[int, int], corpus: CorpusConfig) -> int | None:
    """The column of scores, if one is clear."""
    if corpus.format == "wikimatrix" and sides == (1, 2) and kinds[0] != "text":
        return 0
    if corpus.format == "tsv" and sides == (1, 2) and len(kinds) == 4:
        return 3
    decimals = [i for i, kind in enumerate(kinds) if kind == "decimal"]
    if len(decimals) != 1 or (decimals[0] == 0 and corpus.min_score is None):
        return None  # a first column of numbers is an id, unless scores are needed
    return decimals[0]


def _has_number_header(cells: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether the first row has a word where all others have a number."""
    if len(cells) != len(kinds):
        return False
    words = [cell for cell, kind in zip(cells, kinds, strict=True) if kind in ("integer", "decimal")]
    return any(cell.strip() and not _NUMBER.fullmatch(cell.strip()) for cell in words) and all(
        not _SENTENCE.search(cell.strip()) for cell in cells
    )


def _configured_roles(columns: Sequence[str], languages: tuple[str, str], path: str, key: str) -> tuple[str, ...]:
    sides = dict(zip(languages, ("source", "target"), strict=True))
    roles = tuple(x if x in COLUMN_ROLES else sides.get(x, "skip") for x in columns)
    if roles.count("source") != 1 or roles.count("target") != 1:
        remedy = f"name one column {languages[0]} or source, and one {languages[1]} or target"
        raise UserError(f"`columns` is [{', '.join(columns)}]", file=path, key=key, remedy=remedy)
    return roles


def _check_roles(roles: Sequence[str], kinds: Sequence[str], path: str, key: str) -> None:
    """Compare `columns` with the content."""
    if len(roles) != len(kinds):
        what = f"has {len(kinds)} columns, and `columns` names {len(roles)}"
        raise UserError(
            what, file=path, line=1, key=key, remedy="name each column; `skip` for those that are not needed"
        )
    for n, (role, kind) in enumerate(zip(roles, kinds, strict=True), 1):
        wrong = role in ("source", "target") and kind in ("integer", "decimal", "empty")
        if wrong or (role == "score" and kind not in ("integer", "decimal")):
            what = f"column {n} is `{role}` by the config, and its values are of the kind {kind}"
            raise UserError(what, file=path, line=1, key=key, remedy="correct `columns`")
