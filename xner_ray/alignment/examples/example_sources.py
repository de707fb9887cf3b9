"""Examples that need no alignment: pairs that the user brings, a lexicon matched in target text, a translator.

All three say which target span a name has, so they are cleaner than the bootstrap and cover what its encoder cannot
see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.text.conll import read_lines
from xner_ray.text.words import tokenize_words

Found = tuple[str, str, list[tuple[int, int]]]  # name, sentence, spans
Translate = Callable[[list[str]], list[str]]


def read_pairs(path: str | Path) -> list[Found]:
    """The user's `name, sentence, start, end` (TSV, characters); lines with equal name and sentence are one example.

    Raises:
        UserError: a line that is not four columns, numbers that are none, a span outside the sentence; with file and
            line.
    """
    merged: dict[tuple[str, str], list[tuple[int, int]]] = {}
    remedy = "write name, sentence, start, end, parted by tabs; offsets count characters from 0, the end is exclusive"
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        columns = line.split("\t")
        if len(columns) != 4 or not columns[0].strip():
            problem = f"{len(columns)} columns, expected 4" if len(columns) != 4 else "an empty name"
            raise UserError(problem, file=path, line=number, remedy=remedy)
        name, sentence, *ends = columns
        if not all(e.strip().isdecimal() for e in ends):
            raise UserError(f"`{ends[0]}`, `{ends[1]}` are not offsets", file=path, line=number, remedy=remedy)
        start, end = map(int, ends)
        if not start < end <= len(sentence):
            problem = f"span {start}:{end} does not fit a sentence of {len(sentence)} characters"
            raise UserError(problem, file=path, line=number, remedy=remedy)
        merged.setdefault((name.strip(), sentence), []).append((start, end))
    if not merged:
        raise UserError("holds no example", file=path, key="aligner.examples_file", remedy=remedy)
    return [(name, sentence, sorted(set(spans))) for (name, sentence), spans in merged.items()]


def read_lexicon(path: str | Path) -> list[tuple[str, str]]:
    """`name TAB target name` lines.

    Raises:
        UserError: a line that is not two filled columns; with file and line.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        columns = [c.strip() for c in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise UserError("not two columns", file=path, line=number, remedy="write English name, tab, target name")
        entries.append((columns[0], columns[1]))
    return entries


class Lexicon:
    """Finds target names in text: whole words, cased, longest first; substrings in languages without spaces."""

    def __init__(self, entries: Sequence[tuple[str, str]], language: str):
        self.language = language
        self.names: dict[tuple[str, ...], str] = {}
        self.longest: dict[str, int] = {}
        for name, target in entries:
            key = tuple(target[a:b] for a, b in tokenize_words(target, language))
            if key:
                self.names.setdefault(key, name)
                self.longest[key[0]] = max(self.longest.get(key[0], 0), len(key))

    def find(self, sentence: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """(English name, span) of each hit, without overlap."""
        cut = tokenize_words(sentence, self.language)
        texts = [sentence[a:b] for a, b in cut]
        at = 0
        while at < len(texts):
            for size in range(self.longest.get(texts[at], 0), 0, -1):
                name = self.names.get(tuple(texts[at : at + size]))
                if name is not None and at + size <= len(texts):
                    yield name, (cut[at][0], cut[at + size - 1][1])
                    at += size - 1
                    break
            at += 1


def from_lexicon(lexicon: Lexicon, sources: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[int, Found]]:
    """Examples of the sentences that hold a name, with the number of their pair.

    The source must hold the English name: that tells the country Chad from the lake, and Man from a man.
    """
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        spans: dict[str, list[tuple[int, int]]] = {}
        for name, span in lexicon.find(target):
            spans.setdefault(name, []).append(span)
        for name, found in spans.items():
            if name in source:
                yield row, (name, target, found)


def from_translator(
    mentions: Sequence[Sequence[tuple[int, int]]], targets: Sequence[str], translate: Translate
) -> Iterator[tuple[int, Found]]:
    """Examples whose name is the translation of a mention, as in the paper, with the number of their pair.

    Args:
        mentions: character spans of each target, e.g. what the tagger finds there.
        translate: turns target names into English; each distinct one is asked once.
    """
    texts = sorted({t[a:b] for t, row in zip(targets, mentions, strict=True) for a, b in row})
    english = dict(zip(texts, (name.strip() for name in translate(texts)), strict=True)) if texts else {}
    for row, (target, listed) in enumerate(zip(targets, mentions, strict=True)):
        spans: dict[str, list[tuple[int, int]]] = {}
        for a, b in listed:
            spans.setdefault(target[a:b], []).append((a, b))
        for text, found in spans.items():
            if english[text]:
                yield row, (english[text], target, found)


def load_translator(folder: str, batch: int = 16, longest: int = 48) -> Translate:
    """A transformers seq2seq folder as a function.

    Raises:
        UserError: the folder holds no such model.
    """
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True).eval()
    except (OSError, ValueError) as e:
        problem = f"is no seq2seq model: {str(e).splitlines()[0]}"
        raise UserError(
            problem, file=folder, key="aligner.translator", remedy="give a folder of save_pretrained"
        ) from e

    def translate(texts: list[str]) -> list[str]:
        out: list[str] = []
        for at in range(0, len(texts), batch):
            inputs = tokenizer(
                texts[at : at + batch], return_tensors="pt", padding=True, truncation=True, max_length=longest
            )
            with torch.inference_mode():
                made = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=longest,
                    num_beams=1,
                )
            out += tokenizer.batch_decode(made, skip_special_tokens=True)
        return out

    return translate
