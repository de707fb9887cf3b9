"""CoNLL files: read strictly and written atomically.

A line is a token and its tag, separated by a tab or spaces, with other columns between them, before or behind them
(`gold_layout.py` recognizes them). A blank line ends a sentence. Lines of comments begin with `#` and hold no tag. Tags are
BIO2 or of the scheme that the user names (`tag_schemes.py`). Reading is strict, because leniency would silently change F1:
every unclear line is an error with file, line and remedy. Files are read whole, since gold files have at most megabytes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from xner_ray.config import GoldConfig, TagScheme
from xner_ray.errors import UserError
from xner_ray.storage.atomic import replace_file
from xner_ray.text.gold_language import check_spacing
from xner_ray.text.gold_layout import Row, recognize
from xner_ray.text.tag_schemes import TAG, scheme_of, to_bio2
from xner_ray.text.words import CharSpan, detokenize, join_tokens

logger = logging.getLogger(__name__)
MAX_SENTENCE_TOKENS = 2000  # a longer one is a file without blank lines
_NO_BREAK_SPACES = "\u00a0\u2007\u202f"  # content of a token: 10\u00a0000
_KEY_VALUE = re.compile(r"#\s*[\w.:-]+\s*=")  # a comment of CoNLL-U: # text = O
_REMEDY = "give a CoNLL file: token, tab, tag; a blank line between sentences"


@dataclass(frozen=True)
class Sentence:
    """Tokens and their BIO2 tags, one each."""

    tokens: list[str]
    tags: list[str]
    language: str = "en"

    def join_tokens(self) -> tuple[str, list[CharSpan]]:
        """See `words.join_tokens`."""
        return join_tokens(self.tokens, self.language)

    def detokenize(self) -> tuple[str, list[CharSpan]]:
        """See `words.detokenize`."""
        return detokenize(self.tokens, self.language)


def read_gold_file(gold: GoldConfig, path: str | Path) -> list[Sentence]:
    """Read a file of a config, at `path` since the config's may hold `{data}`; see `read_conll`."""
    return read_conll(path, gold.language, gold.tag_map, gold.types, scheme=gold.scheme)


def read_conll(
    path: str | Path,
    language: str = "en",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    *,
    scheme: TagScheme = "bio2",
) -> list[Sentence]:
    """Read gold sentences.

    Args:
        path: a UTF-8 file, with or without a byte order mark; `-DOCSTART-` lines are skipped. Parquet: see `gold_parquet.py`.
        language: ISO 639-1, handed on to the sentences.
        tag_map: types renamed, `O` drops the entity; a type that does not occur is no error.
        types: after the map, only these are kept; all others become O.
        scheme: how entities are tagged, see `tag_schemes.py`; all others than `bio2` are converted to it.

    An entity that a sentence break splits becomes two entities, with a warning in the log. Any other I- that continues no
    entity is an error, but for a few of many (see `to_bio2`).

    Raises:
        UserError: a missing column, a tag that is not of the scheme, nested entities, bad UTF-8, no sentence at all; with file
            and line.
    """
    if _is_parquet(path):
        return _from_parquet(path, language, tag_map or {}, types, scheme)
    found = _without_empty_ends(list(blocks(path)))
    if not found:
        raise UserError("holds no sentence", file=path, remedy=_REMEDY)
    for row in (row for block in found for row in block):
        if len(row.columns) < 2:
            raise UserError(
                f"missing column: `{row.columns[0][:40]}` has no tag", file=path, line=row.number, remedy=_REMEDY
            )
    layout = recognize(found, path)
    sentences = [rows for block in found if (rows := layout.rows(block))]
    for row in chain.from_iterable(sentences):
        _check_token(row.columns[0], row.number, path)
    tags = [[row.columns[1] for row in rows] for rows in sentences]
    read_as = scheme_of(chain.from_iterable(tags), scheme)
    for description in filter(None, (layout.description, f"tags of {read_as.upper()}" if read_as != scheme else "")):
        logger.warning("%s: recognized %s", path, description)
    lines = [[row.number for row in rows] for rows in sentences]
    if scheme != "iob1":  # where an I- may begin an entity
        _repair_split_entities(tags, path, lines)
    check_spacing([[row.columns[0] for row in rows] for rows in sentences], language, path)
    return [
        Sentence([row.columns[0] for row in rows], rename(own, tag_map or {}, types), language)
        for rows, own in zip(sentences, to_bio2(tags, read_as, path, lines), strict=True)
    ]


def _without_empty_ends(found: list[list[Row]]) -> list[list[Row]]:
    """Rows without empty columns at their ends, if they differ in their number of columns."""
    if len({len(row.columns) for block in found for row in block}) > 1:
        for row in chain.from_iterable(found):
            while not row.columns[-1]:
                row.columns.pop()
    return found


def _repair_split_entities(tags: Sequence[list[str]], path: str | Path, lines: Sequence[Sequence[int]]) -> None:
    """Begin a new entity where a sentence break splits one, as in CoNLL-2002 and as conlleval does. In place."""
    for before, own, numbers in zip(tags, tags[1:], lines[1:], strict=False):
        if before[-1][:1] in ("B", "I") and own[0] == f"I{before[-1][1:]}":
            logger.warning("%s:%d: a sentence break splits an entity; reading `%s` as B-", path, numbers[0], own[0])
            own[0] = f"B{own[0][1:]}"


def _from_parquet(
    path: str | Path, language: str, tag_map: Mapping[str, str], types: Sequence[str] | None, scheme: TagScheme
) -> list[Sentence]:
    from xner_ray.text.gold_parquet import read_rows

    rows = [(number, tokens, own) for number, (tokens, own) in enumerate(read_rows(path), 1) if tokens]
    if not rows:
        raise UserError("holds no sentence", file=path, remedy="give a file with rows")
    check_spacing([tokens for _, tokens, _ in rows], language, path)
    tags = [own for _, _, own in rows]
    converted = to_bio2(
        tags, scheme_of(chain.from_iterable(tags), scheme), path, [[number] * len(own) for number, _, own in rows]
    )
    return [
        Sentence(tokens, rename(own, tag_map, types), language)
        for (_, tokens, _), own in zip(rows, converted, strict=True)
    ]


def blocks(path: str | Path) -> Iterator[list[Row]]:
    """The sentences of a CoNLL-like file, without comments.

    Raises:
        UserError: as `read_lines`; a token is empty or contains a space, a sentence is longer than `MAX_SENTENCE_TOKENS`, or
            the file is JSON.
    """
    lines = read_lines(path)
    _check_not_json(lines, path)
    is_tabbed = 2 * sum("\t" in line for line in lines) > sum(map(bool, lines))
    rows: list[Row] = []
    for number, line in enumerate([*(line.rstrip(" ") for line in lines), ""], 1):
        if line.startswith("-DOCSTART-") or not line.strip():
            if len(rows) > MAX_SENTENCE_TOKENS:
                problem = f"a sentence of {len(rows):,} tokens begins here"
                raise UserError(
                    problem, file=path, line=rows[0].number, remedy="write a blank line after each sentence"
                )
            if rows:
                yield rows
            rows = []
        elif rows or not _is_comment(line, is_tabbed):
            rows.append(Row(number, _columns(line, number, path)))


def _columns(line: str, number: int, path: str | Path) -> list[str]:
    columns = [c.strip(" ") for c in line.split("\t")] if "\t" in line else [c for c in line.split(" ") if c]
    if line.startswith(" ") and "\t" not in line:
        columns.insert(0, "")
    _check_token(columns[0], number, path)
    return columns


def _check_token(token: str, number: int, path: str | Path) -> None:
    if not token:
        raise UserError("the token is empty", file=path, line=number, remedy="begin the line with the token")
    if any(c.isspace() and c not in _NO_BREAK_SPACES for c in token):
        remedy = "split it into two tokens, or join its parts with an underscore"
        raise UserError(f"the token `{token[:40]}` holds white space", file=path, line=number, remedy=remedy)


def _is_comment(line: str, is_tabbed: bool) -> bool:
    """Whether the first line of a sentence is a comment, and not the token `#` with its tag."""
    if not line.startswith("#") or line == "#":
        return False
    columns = line.split("\t") if "\t" in line else line.split()
    has_tag = columns[-1] == "O" or TAG.fullmatch(columns[-1]) is not None
    return not has_tag or (is_tabbed and "\t" not in line) or _KEY_VALUE.match(line) is not None


def _check_not_json(lines: Sequence[str], path: str | Path) -> None:
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith(("{", "[")):
        try:
            is_json = isinstance(json.loads(first), (dict, list)) and len(first) > 2
        except ValueError:
            is_json = first.strip() in ("{", "[") and len(lines) > 1 and lines[1].strip().startswith(('"', "{"))
        if is_json:
            remedy = "convert it: token, tab, tag on each line, a blank line after each sentence; or give Parquet"
            raise UserError("holds JSON, not CoNLL", file=path, remedy=remedy)


def _is_parquet(path: str | Path) -> bool:
    if Path(path).suffix == ".parquet":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False  # `read_lines` reports it


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file, without line ends (LF, CRLF, or CR alone) and byte order mark.

    Raises:
        UserError: the file cannot be read, or is not UTF-8 (with the line).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", file=path, remedy="check the path") from e
    if data[:2] in (b"\x1f\x8b", b"PK"):
        raise UserError("is compressed", file=path, remedy="decompress it, e.g. with gunzip or unzip")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = e.object[: e.start].count(b"\n") + 1
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        remedy = f"convert it first, e.g. `iconv -f {encoding} -t utf-8`"
        raise UserError(f"is not UTF-8: byte 0x{e.object[e.start]:02x}", file=path, line=line, remedy=remedy) from None
    lines = [line.removesuffix("\r") for line in text.split("\n" if "\n" in text else "\r")]
    return lines[:-1] if lines[-1] == "" else lines


def rename(tags: Sequence[str], tag_map: Mapping[str, str], types: Sequence[str] | None) -> list[str]:
    """Rename the types of BIO2 tags by `tag_map` (`O` drops an entity), then drop all types that are not in `types`."""
    out = []
    for tag in tags:
        prefix, _, name = tag.partition("-")
        name = tag_map.get(name, name) if name else "O"
        out.append("O" if name == "O" or (types is not None and name not in types) else f"{prefix}-{name}")
    return out


def write_conll(path: str | Path, sentences: Iterable[Sentence]) -> None:
    """Write token, tab, tag. A reader sees the complete new file or the old one.

    Raises:
        UserError: a token is empty or contains white space, or a sentence has unequal numbers of tokens and tags.
    """
    path = Path(path)

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as out:
            for i, sentence in enumerate(sentences, 1):
                out.write(_lines(sentence, i, path))

    replace_file(path, write)


def _lines(sentence: Sentence, number: int, path: Path) -> str:
    if len(sentence.tokens) != len(sentence.tags):
        raise UserError(
            f"sentence {number} has {len(sentence.tokens)} tokens and {len(sentence.tags)} tags", file=path
        )
    for token in sentence.tokens:
        if not token or any(c.isspace() and c not in _NO_BREAK_SPACES for c in token):
            raise UserError(
                f"sentence {number} has the token {token!r}", file=path, remedy="tokens hold no white space"
            )
    return "".join(f"{t}\t{tag}\n" for t, tag in zip(sentence.tokens, sentence.tags, strict=True)) + "\n"
