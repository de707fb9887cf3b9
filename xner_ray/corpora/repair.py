"""Repair of a collection: damaged files of a generation are made again from the corpora of this generation.

A generation depends only on its corpora and on the generations before it, so the files that are made again equal the lost ones.
This needs the corpora as they were: if one has changed since, the file has to come from a backup.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from xner_ray.corpora.collection import Collection, make_report, source_identity
from xner_ray.corpora.generation import Generation, Mapper, build_generation
from xner_ray.corpora.ingest_report import FILE, load_report
from xner_ray.corpora.readers.corpus_reader import Source
from xner_ray.errors import UserError
from xner_ray.storage.atomic import move_file, random_id
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.verify import NOTE, damage_note


def damaged_files(collection: Collection) -> list[Path]:
    """Files of all generations that are gone, or that a reader found damaged, oldest generation first."""
    damaged = []
    for folder in collection.generations():
        present = {p.name for p in folder.iterdir()}
        try:
            report = load_report(folder)
        except UserError:
            report = None
        names = {FILE} if report is None else {*(shard.file for shard in report.shards), *report.files}
        names |= {name.removesuffix(NOTE) for name in present if name.endswith(NOTE)}
        damaged += [folder / n for n in sorted(names) if n not in present or n + NOTE in present or report is None]
    return damaged


def repair(
    collection: Collection, sources: Sequence[Source], mapper: Mapper = map, read_mapper: Mapper | None = None
) -> list[Path]:
    """Make the damaged files of a collection again.

    Args:
        collection: the collection.
        sources: all corpora of the language pair, as they are now.
        mapper: runs the tasks, see `build_generation`.
        read_mapper: see `build_generation`.

    Returns:
        the files.

    Raises:
        UserError: a corpus has changed since its generation, so that the files cannot be made again.
    """
    damaged = damaged_files(collection)
    for folder in dict.fromkeys(file.parent for file in damaged):
        own = [file for file in damaged if file.parent == folder]
        build = partial(build_generation, mapper=mapper, read_mapper=read_mapper)
        _repair_generation(collection, folder, own, sources, build)
    return damaged


def _repair_generation(
    collection: Collection,
    folder: Path,
    damaged: list[Path],
    sources: Sequence[Source],
    build: Callable[..., Generation],
) -> None:
    number = int(folder.name.rpartition("-")[2])
    old = _sources_of_generation(collection, number, damaged[0], sources)
    identities = {source.label: source_identity(source) for source in old}
    staging = {label: collection.staging(label, identity) for label, identity in identities.items()}
    state = collection.state(number, {source.corpus.name for source in old})
    out = collection.root / f"{folder.name}.{random_id()}.tmp"
    out.mkdir()
    try:
        make_report(number, old, build(out, staging, old, state)).save(out)
        hashes = _hashes(folder)
        for file in damaged:
            made = out / file.name
            if not made.is_file() or hash_file(made) != hashes.get(file.name, hash_file(made)):
                raise _irreparable(collection, file, "its corpora give another file now")
            move_file(made, file)
            damage_note(file).unlink(missing_ok=True)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        for path in staging.values():
            shutil.rmtree(path, ignore_errors=True)


def _hashes(folder: Path) -> dict[str, str]:
    """The committed hashes of the files of a generation, as far as its report can be read."""
    try:
        report = load_report(folder)
    except UserError:
        report = None
    return {**{s.file: s.sha256 for s in report.shards}, **report.files} if report else {}


def _sources_of_generation(collection: Collection, number: int, file: Path, sources: Sequence[Source]) -> list[Source]:
    """The sources that a generation was made of, in its order."""
    tree = collection.tree(number)
    by_name = {source.corpus.name: source for source in sources}
    old = []
    for name, version in sorted(tree["corpora"].items(), key=lambda item: item[1]["ordinal"]):
        if version["generation"] == number:
            source = by_name.get(name)
            if source is None:
                raise _irreparable(
                    collection, file, f"the corpus `{name}` is not among the corpora that are ingested now"
                )
            if source_identity(source) != version["identity"]:
                raise _irreparable(collection, file, f"the corpus `{name}` has changed since it was ingested")
            old.append(replace(source, label=version["label"]))
    return old


def _irreparable(collection: Collection, file: Path, reason: str) -> UserError:
    remedy = f"put it back from a backup, or delete {collection.root}: all corpora are then ingested again"
    return UserError(f"is gone or damaged, and cannot be made again: {reason}", file=file, remedy=remedy)
