"""The sample on disk: OPUS Moses archives, CoNLL gold files and a manifest.

Everything is streamed through temporary files that are renamed at the end. So memory does not grow with the number of
pairs, and a reader never sees an incomplete file. Zip entries have a fixed date, so the same arguments give the same
bytes (with one release of zlib and of CLDR).
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.sample.generate import Span
from xner_ray.sample.generate import pairs as generate_pairs
from xner_ray.sample.names import DEFAULT, LANGUAGES
from xner_ray.storage.atomic import make_folder, replace_file, write_json
from xner_ray.storage.fingerprint import hash_file
from xner_ray.text.languages import get_language

CORPORA = {
    "SampleNews": ("news", "politics", "business", "sport"),
    "SampleTalks": ("science", "travel", "culture"),
    "SampleSubtitles": ("dialogue",),
}
_CORPUS_OF = {domain: corpus for corpus, domains in CORPORA.items() for domain in domains}
_DATE = (1980, 1, 1, 0, 0, 0)
_README = """{corpus} v1, {pair}

A made-up parallel corpus in Moses format, written by xner_ray.sample from hand-written frames and lists of names.
Names are combined at random: no sentence says anything about a real person, company or place.
"""
_LICENSE = "CC0 1.0 Universal: https://creativecommons.org/publicdomain/zero/1.0/\n"
_PROGRESS_EVERY = 10_000
_CHINESE = re.compile(r"[A-Za-z0-9]+|\S")
# Hyphens, apostrophes and decimal points stay inside a word (foto's, 't, 14:30). Only English separates 's.
_WORDS = re.compile(r"(?<!\w)['’]\w\b|\d+(?:[.,:-]\d+)+|\w+(?:[-.'’]\w+)*|\S")
_ENGLISH = re.compile(r"['’]s\b|\d+(?:[.,:-]\d+)+|\w+(?:[-.]\w+|['’](?!s\b)\w+)*|\S")
_FRENCH = re.compile(rf"{get_language('fr').elision}|\d+(?:[.,:-]\d+)+|\w+(?:[-.'’]\w+)*|\S")
_OUTSIDE = {"en": _ENGLISH, "fr": _FRENCH}
_ENTITY_WORDS = re.compile(r"\w+(?:[-.'’]\w+)*-?['’]?|\S")


def tokens(text: str, entities: Sequence[Span], language: str) -> list[tuple[str, str]]:
    """Split a sentence into (token, BIO2 tag).

    A token never crosses the boundary of an entity, and an inflected name is one token. In Chinese and Japanese each character is
    a token, but ASCII letters and digits stay together.
    """
    spaced = get_language(language).uses_spaces
    outside = _OUTSIDE.get(language, _WORDS) if spaced else _CHINESE
    inside = _ENTITY_WORDS if spaced and language != "fr" else outside
    result: list[tuple[str, str]] = []
    done = 0
    for start, end, kind in entities:
        result += ((word, "O") for word in outside.findall(text[done:start]))
        for n, word in enumerate(inside.findall(text[start:end])):
            result.append((word, f"{'I' if n else 'B'}-{kind}"))
        done = end
    result += ((word, "O") for word in outside.findall(text[done:]))
    return result


def write_sample(
    out: Path,
    pairs: int,
    seed: int,
    languages: Sequence[str] = DEFAULT,
    gold_sentences: int = 3000,
    eval_sentences: int = 300,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict:
    """Write archives, gold files and `MANIFEST.json` into a folder.

    Args:
        out: folder, created if missing; existing files are replaced.
        pairs: number of pairs per language, in all three corpora.
        seed: any integer; with the other arguments it determines all bytes.
        languages: target languages, some of `names.LANGUAGES`.
        gold_sentences: labelled English training sentences, generated independently of the corpora.
        eval_sentences: sentences of each evaluation file (English dev, each target language).
        progress: called regularly with (language, pairs done, all pairs).

    Returns:
        The manifest.

    Raises:
        UserError: a language is unknown or repeated, a count is below 1, or the folder cannot be written.
    """
    _check(languages, pairs=pairs, gold_sentences=gold_sentences, eval_sentences=eval_sentences)
    out = Path(out)
    entries: dict[str, dict] = {}
    try:
        for language in languages:
            for path, count in _archives(out, language, pairs, seed, progress):
                entries[path.relative_to(out).as_posix()] = {"pairs": count}
        for path, part, language, count, own_seed in _gold(out, languages, gold_sentences, eval_sentences, seed):
            _write_conll(path, part, language, count, own_seed)
            entries[path.relative_to(out).as_posix()] = {"sentences": count}
        for name, entry in entries.items():
            entry["bytes"] = (out / name).stat().st_size
            entry["sha256"] = hash_file(out / name)
        manifest = {
            "format": 1,
            "seed": seed,
            "pairs_per_language": pairs,
            "languages": list(languages),
            "gold_sentences": gold_sentences,
            "eval_sentences": eval_sentences,
            "files": dict(sorted(entries.items())),
        }
        write_json(out / "MANIFEST.json", manifest)
    except OSError as error:
        problem = f"the sample cannot be written: {error.strerror or error}"
        raise UserError(
            problem, file=error.filename or out, remedy="choose a writable folder with enough free space"
        ) from error
    return manifest


def _check(languages: Sequence[str], **counts: int) -> None:
    for key, count in counts.items():
        if count < 1:
            raise UserError(f"{count} is too few", key=key, remedy="give at least 1")
    if isinstance(languages, str) or not languages or len(set(languages)) != len(languages):
        raise UserError("languages must be a list without repeats", key="languages", remedy="for example ['de', 'zh']")
    for language in languages:
        if language not in LANGUAGES[1:]:
            remedy = f"use some of {', '.join(LANGUAGES[1:])}"
            raise UserError(f"unknown language {language!r}", key="languages", remedy=remedy)


def _archives(
    out: Path, language: str, total: int, seed: int, progress: Callable[[str, int, int], None] | None
) -> list[tuple[Path, int]]:
    """Write the pairs of one language into corpora by domain; a corpus without pairs gets no archive."""
    pair = "-".join(sorted(("en", language)))
    sides = ("en", language)
    counts = dict.fromkeys(CORPORA, 0)
    target = {corpus: out / corpus / "v1" / "moses" / f"{pair}.txt.zip" for corpus in CORPORA}
    make_folder(out)
    with tempfile.TemporaryDirectory(prefix=".sample.", dir=out) as scratch:
        plain = {(corpus, side): Path(scratch, f"{corpus}.{side}") for corpus in CORPORA for side in sides}
        with ExitStack() as stack:
            files = {
                key: stack.enter_context(path.open("w", encoding="utf-8", newline="\n")) for key, path in plain.items()
            }
            for done, sample in enumerate(islice(generate_pairs(language, "train", seed), total), start=1):
                corpus = _CORPUS_OF[sample.domain]
                counts[corpus] += 1
                files[corpus, "en"].write(sample.source + "\n")
                files[corpus, language].write(sample.target + "\n")
                if progress is not None and (done % _PROGRESS_EVERY == 0 or done == total):
                    progress(language, done, total)
        for corpus, path in target.items():
            if counts[corpus]:
                _zip(path, corpus, pair, {side: plain[corpus, side] for side in sides})
    return [(target[corpus], count) for corpus, count in counts.items() if count]


def _zip(path: Path, corpus: str, pair: str, sides: dict[str, Path]) -> None:
    def entry(name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, _DATE)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        return info

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry("README"), _README.format(corpus=corpus, pair=pair))
            archive.writestr(entry("LICENSE"), _LICENSE)
            for side, plain in sides.items():
                info = entry(f"{corpus}.{pair}.{side}")
                info.file_size = plain.stat().st_size
                with open(plain, "rb") as source, archive.open(info, "w") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)

    replace_file(path, write)


def _gold(
    out: Path, languages: Sequence[str], gold: int, evaluation: int, seed: int
) -> list[tuple[Path, str, str, int, int | str]]:
    """(path, part, language, sentences, seed) of each gold file; the seeds differ from those of the corpora."""
    folder = out / "gold"
    return [
        (folder / "en.train.conll", "train", "en", gold, f"{seed}/gold"),
        (folder / "en.dev.conll", "eval", "en", evaluation, f"{seed}/dev"),
        *((folder / f"{language}.eval.conll", "eval", language, evaluation, seed) for language in languages),
    ]


def _write_conll(path: Path, part: str, language: str, count: int, seed: int | str) -> None:
    def blocks() -> Iterable[str]:
        for sample in islice(generate_pairs("de" if language == "en" else language, part, seed), count):
            text, entities = sample.target, sample.target_entities
            if language == "en":
                text, entities = sample.source, sample.source_entities
            yield "".join(f"{token}\t{tag}\n" for token, tag in tokens(text, entities, language)) + "\n"

    _replace(path, blocks())


def _replace(path: Path, blocks: Iterable[str]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(blocks)

    replace_file(path, write)
