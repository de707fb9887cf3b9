"""CoNLL files: read strictly and written atomically.

A line is a token and its tag, separated by a tab or spaces; columns between them are ignored. A blank line ends a
sentence. Tags are BIO2 or of the scheme that the user names (`tag_schemes.py`). Reading is strict, because leniency
would silently change F1: every unclear line is an error with file, line and remedy. Files are read whole, since gold
files have at most megabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xner_ray.config import GoldConfig, TagScheme
from xner_ray.errors import UserError
from xner_ray.storage.atomic import replace_file
from xner_ray.text.tag_schemes import ColumnCheck, to_bio2
from xner_ray.text.words import CharSpan, detokenize, join_tokens

logger = logging.getLogger(__name__)


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
        path: a UTF-8 file, with or without a byte order mark; `-DOCSTART-` lines are skipped. `.parquet`: see `parquet.py`.
        language: ISO 639-1, handed on to the sentences.
        tag_map: types renamed, `O` drops the entity; a type that does not occur is no error.
        types: after the map, only these are kept; all others become O.
        scheme: how entities are tagged, see `tag_schemes.py`; all others than `bio2` are converted to it.

    An entity that a sentence break splits becomes two entities, with a warning in the log. Any other I- that continues no
    entity is an error.

    Raises:
        UserError: a missing column, a tag that is not of the scheme, nested entities, bad UTF-8, no sentence at all; with file
            and line.
    """
    if Path(path).suffix == ".parquet":
        return _from_parquet(path, language, tag_map or {}, types, scheme)
    sentences: list[Sentence] = []
    column_check = ColumnCheck()
    last_tag = "O"  # last tag of the sentence before
    for first, rows in blocks(path):
        raw: list[str] = []
        for number, columns in enumerate(rows, first):
            if len(columns) < 2:
                raise UserError(
                    f"missing column: `{columns[0][:40]}` has no tag",
                    file=path,
                    line=number,
                    remedy="write token, tab, tag on each line, and a blank line between sentences",
                )
            if not raw and last_tag != "O" and columns[-1] == f"I{last_tag[1:]}":
                # CoNLL-2002 contains such an error: a sentence break within an entity. As in conlleval, a new entity begins.
                logger.warning(
                    "%s:%d: a sentence break splits an entity; reading `%s` as B-", path, number, columns[-1]
                )
                columns[-1] = f"B{last_tag[1:]}"
            raw.append(columns[-1])
        column_check.add(rows)
        tags = to_bio2(raw, scheme, path, range(first, first + len(raw)))
        last_tag = tags[-1]
        sentences.append(Sentence([columns[0] for columns in rows], rename(tags, tag_map or {}, types), language))
    if not sentences:
        raise UserError(
            "holds no sentence", file=path, remedy="give a CoNLL file: token, tab, tag; a blank line between sentences"
        )
    column_check.check(path)
    return sentences


def _from_parquet(
    path: str | Path, language: str, tag_map: Mapping[str, str], types: Sequence[str] | None, scheme: TagScheme
) -> list[Sentence]:
    from xner_ray.text.gold_parquet import read_rows

    sentences = []
    for number, (tokens, own) in enumerate(read_rows(path), 1):
        if tokens:
            tags = to_bio2(own, scheme, path, [number] * len(own))
            sentences.append(Sentence(tokens, rename(tags, tag_map, types), language))
    if not sentences:
        raise UserError("holds no sentence", file=path, remedy="give a file with rows")
    return sentences


def blocks(path: str | Path) -> Iterable[tuple[int, list[list[str]]]]:
    """Sentences of a CoNLL-like file: the 1-based number of the first line, and the columns of each line."""
    start = 1
    rows: list[list[str]] = []
    for number, line in enumerate(read_lines(path), 1):
        docstart = line.startswith("-DOCSTART-")
        if docstart or not line.strip(" \t"):
            if rows:
                yield start, rows
            rows = []
            continue
        if not rows:
            start = number
        columns = [c for c in line.split("\t") if c] if "\t" in line else line.split(" ")
        columns = [c for c in columns if c.strip(" ")]
        if any(c.isspace() for c in columns[0]):
            raise UserError(
                f"the token `{columns[0][:40]}` holds white space",
                file=path,
                line=number,
                remedy="split it into two tokens, or join its parts with an underscore",
            )
        rows.append(columns)
    if rows:
        yield start, rows


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file, without line ends (LF or CRLF) and byte order mark.

    Raises:
        UserError: the file cannot be read, or is not UTF-8 (with the line).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", file=path, remedy="check the path") from e
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = e.object[: e.start].count(b"\n") + 1
        remedy = "convert it first, e.g. `iconv -f latin1 -t utf-8`"
        raise UserError(f"is not UTF-8: byte 0x{e.object[e.start]:02x}", file=path, line=line, remedy=remedy) from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
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
        if not token or any(c.isspace() for c in token):
            raise UserError(
                f"sentence {number} has the token {token!r}", file=path, remedy="tokens hold no white space"
            )
    return "".join(f"{t}\t{tag}\n" for t, tag in zip(sentence.tokens, sentence.tags, strict=True)) + "\n"
