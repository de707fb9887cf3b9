"""Archives of OPUS onto the disk, each with a receipt that says what it is.

A file under its own name is whole and was checked: it appears by a rename, after its length, its entries (path and CRC) and
its hash. The receipt beside it (`de-en.txt.zip.json`) holds address, ETag, sha256 and license; it is written first, so a
file without one was put there by somebody else: it is checked and gets one, without being fetched again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from xner_ray.corpora.opus.catalog import Archive
from xner_ray.corpora.opus.download import Http, Watch, no_room, told_path
from xner_ray.corpora.opus.http_responses import Remote
from xner_ray.corpora.readers.archive import entry_names, open_entry, open_text
from xner_ray.errors import UserError
from xner_ray.storage.atomic import move_file, write_json
from xner_ray.storage.fingerprint import hash_file

_BLOCK = 1 << 20
_LICENSE_BYTES = 1 << 16
_LICENSE_NAMES = re.compile(r"(licen[cs]e|copying|readme)\b.*", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """An archive that is wanted, and what is there of it.

    size: bytes, None when neither the server nor the catalog says. there: bytes that have arrived. state: `fetched` (with
    its receipt), `present` (a file without one), `partial` or `absent`.
    """

    archive: Archive
    url: str
    path: Path
    size: int | None
    there: int
    state: str

    @property
    def left(self) -> int:
        """Bytes to fetch, as far as it is known."""
        return 0 if self.state in ("fetched", "present") else max((self.size or 0) - self.there, 0)

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


def receipt_path(path: Path) -> Path:
    """Where the receipt of a file lies."""
    return path.with_name(path.name + ".json")


def read_receipt(path: Path) -> dict[str, Any] | None:
    """The receipt of a file that is as long as its receipt says; None where there is no such file or receipt."""
    try:
        receipt = json.loads(receipt_path(path).read_text(encoding="utf-8"))
        return receipt if receipt["bytes"] == path.stat().st_size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def plan(archive: Archive, folder: Path, base_url: str | None, http: Http, watch: Watch, again: bool = False) -> Item:
    """What fetching an archive would take; asks the server for its size unless it is here already.

    Args:
        folder: the archive goes to `folder/NAME/VERSION/moses/FILE`.
        base_url: of a mirror, see Archive.address.
        again: replace what is there.

    Raises:
        UserError: the server does not have it, cannot be reached, or has a file of another length than the one that is here.
    """
    url, path = archive.address(base_url), folder / archive.path
    if not again and (receipt := read_receipt(path)):
        return Item(archive, url, path, receipt["bytes"], receipt["bytes"], "fetched")
    told = http.look(url, watch).size
    size = archive.size if told is None else told
    if not again and path.exists():
        there = path.stat().st_size
        if told not in (None, there):
            raise UserError(f"has {there:,} bytes, the archive has {told:,}", file=path, remedy="--again replaces it")
        return Item(archive, url, path, size, there, "present")
    part = Item(archive, url, path, size, 0, "partial").part
    there = part.stat().st_size if part.exists() and told_path(part).exists() else 0
    return Item(archive, url, path, size, there, "partial" if there else "absent")


def check_room(items: Iterable[Item], folder: Path) -> None:
    """Raises: UserError when the disk has less room than the items still need."""
    needed = sum(x.left for x in items)
    there = next(x for x in (folder, *folder.absolute().parents) if x.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        problem = f"has room for {free:,} bytes, but {needed:,} are to be fetched"
        raise UserError(problem, file=there, remedy="make room, or choose another --out")


def fetch(item: Item, http: Http, watch: Watch, catalog: str) -> dict[str, Any]:
    """Fetch one archive, or what is left of it, check it and write its receipt.

    Args:
        catalog: where the archive was found, for the receipt.

    Returns:
        the receipt.

    Raises:
        UserError: see Http.download; or the archive is damaged, and nothing of it stays.
    """
    if item.state == "fetched":
        return read_receipt(item.path) or {}
    if item.state == "present":
        return _take_in(item, watch, catalog)
    resumed = item.there > 0
    while True:
        watch.begin(str(item.archive), "fetching")
        remote = http.download(item.url, item.part, watch)
        try:
            entries = check(item.part, str(item.archive), watch, item.path.name)
            break
        except UserError as e:
            item.part.unlink(missing_ok=True)
            told_path(item.part).unlink(missing_ok=True)
            if not resumed:
                raise
            # A server that gives one ETag to two files: in one piece it may well be whole.
            watch.note(f"put together from two downloads it is damaged ({e.problem}); it starts anew")
            resumed = False
    receipt = _receipt(item, item.part, remote, entries, catalog)
    try:
        write_json(receipt_path(item.path), receipt)
        move_file(item.part, item.path)
    except OSError as e:
        raise no_room(e, item.path) from e
    told_path(item.part).unlink(missing_ok=True)
    return receipt


def _take_in(item: Item, watch: Watch, catalog: str) -> dict[str, Any]:
    """A receipt for a file that somebody else has put there."""
    entries = check(item.path, str(item.archive), watch, item.path.name)
    receipt = _receipt(item, item.path, Remote(item.url), entries, catalog)
    try:
        write_json(receipt_path(item.path), receipt)
    except OSError as e:
        raise no_room(e, item.path) from e
    return receipt


def check(path: Path, told: str, watch: Watch, name: str) -> dict[str, int]:
    """Read an archive to its end: the bytes of its entries by name.

    Args:
        told: what the watcher is told it is.
        name: what it will be called; `.zip` tells a zip from gzip or plain text.

    Raises:
        UserError: damaged, truncated, a bomb, or with entries outside of the archive.
    """
    watch.begin(told, "checking")
    zipped = name.endswith(".zip")
    names = entry_names(str(path)) if zipped else [name.removesuffix(".gz")]
    sizes, read = {}, 0
    for entry in names:
        with open_entry(str(path), entry) if zipped else open_text(str(path)) as stream:
            sizes[entry] = 0
            while block := stream.read(_BLOCK):
                sizes[entry] += len(block)
                read += len(block)
                watch.at(read, None)
    if not any(sizes.values()):
        raise UserError("holds no text", file=path, remedy="fetch another version")
    return sizes


def _receipt(item: Item, file: Path, remote: Remote, entries: dict[str, int], catalog: str) -> dict[str, Any]:
    archive = item.archive
    return {
        "corpus": archive.corpus,
        "version": archive.version,
        "source": archive.source,
        "target": archive.target,
        "format": archive.format,
        "url": item.url,
        "etag": remote.etag,
        "last_modified": remote.modified,
        "bytes": file.stat().st_size,
        "sha256": hash_file(file),
        "entries": entries,
        "license": license(file, entries) if item.path.name.endswith(".zip") else None,
        "pairs": archive.pairs,
        "catalog": catalog,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def license(path: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """What LICENSE, else README, of a zip say about the license: `name` where a line or a known license tells it, `text`.

    Returns:
        {"name": str | None, "file": str, "text": str}; None where the archive has neither file.
    """
    found = [x for x in names if _LICENSE_NAMES.fullmatch(PurePosixPath(x).name)]
    found.sort(key=lambda x: ("readme" in x.lower(), x))
    texts = {}
    for name in found:
        with open_entry(str(path), name) as stream:
            texts[name] = stream.read(_LICENSE_BYTES).decode("utf-8", "replace").strip()
    told = {x: y for x, y in texts.items() if y}
    named = next((x for x in told if _license_name(told[x])), next(iter(told), None))
    return {"name": _license_name(told[named]), "file": named, "text": told[named]} if named else None


def _license_name(text: str) -> str | None:
    line = re.search(r"^\s*licen[cs]e\s*:\s*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    if line:
        return line[1]
    known = re.search(
        r"\bCC[- ]?(?:0|BY(?:-(?:SA|NC|ND))*)(?:[- ]?v?\d\.\d)?\b|\bpublic domain\b|\b[AL]?GPL(?:[- ]?v?\d(?:\.\d)?)?\b"
        r"|\bcreative commons [\w -]+?(?= licen[cs]e|[.,;(\n]|$)|\bMIT licen[cs]e\b|\bApache licen[cs]e\b",
        text,
        re.IGNORECASE,
    )
    return known[0].strip() if known else None
