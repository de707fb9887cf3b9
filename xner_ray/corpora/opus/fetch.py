"""Archives of OPUS on disk, each with a receipt.

A file appears under its final name by a rename, after its length, its entries (paths and CRC) and its hash were
checked. The receipt beside it (`de-en.txt.zip.json`) holds URL, ETag, sha256 and license, and is written before the
rename. A file without a receipt was put there by the user: it is checked and gets a receipt, without a download.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from xner_ray.corpora.opus.catalog import Archive
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, metadata_path, write_error
from xner_ray.corpora.opus.http_responses import RemoteFile
from xner_ray.corpora.readers.archive import DOCUMENT_NAMES, entry_names, open_entry, open_text
from xner_ray.errors import UserError
from xner_ray.storage.atomic import move_file, write_json
from xner_ray.storage.fingerprint import hash_file

_BLOCK = 1 << 20
_LICENSE_BYTES = 1 << 16
MAX_UNKNOWN_BYTES = 64 << 30  # of an archive whose size neither server nor catalog knows


@dataclass(frozen=True)
class FetchItem:
    """An archive to fetch, and how much of it is on disk.

    Attributes:
        archive: its row of the catalog.
        url: where it is fetched.
        path: its final place on disk.
        size: bytes; None where neither server nor catalog knows them.
        received: bytes on disk.
        state: `fetched` (with its receipt), `present` (a file without receipt), `partial` or `absent`.
        announced: whether `size` is that of the server. The catalog's is rounded.
    """

    archive: Archive
    url: str
    path: Path
    size: int | None
    received: int
    state: Literal["fetched", "present", "partial", "absent"]
    announced: bool = False

    @property
    def remaining(self) -> int:
        """Bytes to fetch; 0 where the size is not known."""
        return 0 if self.state in ("fetched", "present") else max((self.size or 0) - self.received, 0)

    @property
    def max_bytes(self) -> int:
        """More bytes are not accepted from the server."""
        if self.size is None:
            return MAX_UNKNOWN_BYTES
        return self.size if self.announced else self.size + self.size // 10 + _BLOCK

    @property
    def part(self) -> Path:
        """The incomplete file."""
        return self.path.with_name(self.path.name + ".part")


def receipt_path(path: Path) -> Path:
    """The receipt of a file."""
    return path.with_name(path.name + ".json")


def read_receipt(path: Path) -> dict[str, Any] | None:
    """The receipt of a file; None where the file or its receipt is missing, or the file has another length."""
    try:
        receipt = json.loads(receipt_path(path).read_text(encoding="utf-8"))
        return receipt if receipt["bytes"] == path.stat().st_size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def plan_fetch(
    archive: Archive,
    folder: Path,
    base_url: str | None,
    client: HttpClient,
    listener: ProgressListener,
    overwrite: bool = False,
) -> FetchItem:
    """Find out how much of an archive is on disk, and ask the server for its size unless it has been fetched.

    Args:
        archive: what to fetch.
        folder: the archive is stored at `folder/NAME/VERSION/moses/FILE`.
        base_url: of a mirror, see `Archive.address`.
        client: for the request.
        listener: receives warnings.
        overwrite: fetch again what is on disk.

    Raises:
        UserError: the server does not have the archive or cannot be reached, or its length is not that of the file on disk.
    """
    url, path = archive.address(base_url), folder / archive.path
    if not overwrite and (receipt := read_receipt(path)):
        return FetchItem(archive, url, path, receipt["bytes"], receipt["bytes"], "fetched")
    announced = client.head(url, listener).size
    size = archive.size if announced is None else announced
    if not overwrite and path.exists():
        received = path.stat().st_size
        if announced not in (None, received):
            problem = f"has {received:,} bytes, the archive has {announced:,}"
            raise UserError(problem, file=path, remedy="--again replaces it")
        return FetchItem(archive, url, path, size, received, "present")
    absent = FetchItem(archive, url, path, size, 0, "absent", announced is not None)
    part = absent.part
    received = part.stat().st_size if part.exists() and metadata_path(part).exists() else 0
    return replace(absent, received=received, state="partial") if received else absent


def check_disk_space(items: Iterable[FetchItem], folder: Path) -> None:
    """Raise a UserError if the disk has less space than the items still need."""
    needed = sum(x.remaining for x in items)
    existing = next(x for x in (folder, *folder.absolute().parents) if x.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        problem = f"has {free:,} free bytes, but {needed:,} are to be fetched"
        raise UserError(problem, file=existing, remedy="free space, or choose another --out")


def fetch_archive(item: FetchItem, client: HttpClient, listener: ProgressListener, catalog: str) -> dict[str, Any]:
    """Fetch an archive or the rest of it, check it and write its receipt.

    Args:
        item: what to fetch, see `plan_fetch`.
        client: for the download.
        listener: receives progress and warnings.
        catalog: name of the catalog that lists the archive, for the receipt.

    Returns:
        The receipt.

    Raises:
        UserError: see `HttpClient.download`; or the archive is damaged, and then nothing of it is kept.
    """
    if item.state == "fetched":
        return read_receipt(item.path) or {}
    if item.state == "present":
        return _adopt(item, listener, catalog)
    resumed = item.received > 0
    while True:
        listener.on_start(str(item.archive), "fetching")
        remote = client.download(item.url, item.part, listener, item.max_bytes)
        try:
            entries = check_archive(item.part, item.path.name, str(item.archive), listener)
            break
        except UserError as e:
            item.part.unlink(missing_ok=True)
            metadata_path(item.part).unlink(missing_ok=True)
            if not resumed:
                raise
            # A server may give two files the same ETag. A download in one piece can still succeed.
            listener.on_warning(f"the resumed download is damaged ({e.problem}); starting again")
            resumed = False
    receipt = _receipt(item, item.part, remote, entries, catalog)
    try:
        write_json(receipt_path(item.path), receipt)
        move_file(item.part, item.path)
    except OSError as e:
        raise write_error(e, item.path) from e
    metadata_path(item.part).unlink(missing_ok=True)
    return receipt


def _adopt(item: FetchItem, listener: ProgressListener, catalog: str) -> dict[str, Any]:
    """Check a file that the user has put there, and write its receipt."""
    entries = check_archive(item.path, item.path.name, str(item.archive), listener)
    receipt = _receipt(item, item.path, RemoteFile(item.url), entries, catalog)
    try:
        write_json(receipt_path(item.path), receipt)
    except OSError as e:
        raise write_error(e, item.path) from e
    return receipt


def check_archive(path: Path, final_name: str, title: str, listener: ProgressListener) -> dict[str, int]:
    """Read an archive to its end.

    Args:
        path: the file.
        final_name: its final name; the suffix `.zip` distinguishes a zip from gzip or plain text.
        title: its name for the listener.
        listener: receives progress.

    Returns:
        Bytes of each entry.

    Raises:
        UserError: damaged, truncated, empty, an archive bomb, or an entry has a path outside of the archive.
    """
    listener.on_start(title, "checking")
    zipped = final_name.endswith(".zip")
    names = entry_names(str(path)) if zipped else [final_name.removesuffix(".gz")]
    sizes, read = {}, 0
    for entry in names:
        with open_entry(str(path), entry) if zipped else open_text(str(path)) as stream:
            sizes[entry] = 0
            while block := stream.read(_BLOCK):
                sizes[entry] += len(block)
                read += len(block)
                listener.on_progress(read, None)
    if not any(sizes.values()):
        raise UserError("holds no text", file=path, remedy="fetch another version")
    return sizes


def _receipt(item: FetchItem, file: Path, remote: RemoteFile, entries: dict[str, int], catalog: str) -> dict[str, Any]:
    archive = item.archive
    return {
        "corpus": archive.corpus,
        "version": archive.version,
        "source": archive.source,
        "target": archive.target,
        "format": archive.format,
        "url": item.url,
        "etag": remote.etag,
        "last_modified": remote.last_modified,
        "bytes": file.stat().st_size,
        "sha256": hash_file(file),
        "entries": entries,
        "license": read_license(file, entries) if item.path.name.endswith(".zip") else None,
        "pairs": archive.pairs,
        "catalog": catalog,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def read_license(path: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """Read the license of a zip from its LICENSE, otherwise from its README.

    Returns:
        {"name": str | None, "file": str, "text": str}. `name` is that of a `License:` line or of a well-known license. None
        where the archive has neither file.
    """
    files = [x for x in names if DOCUMENT_NAMES.fullmatch(PurePosixPath(x).name)]
    files.sort(key=lambda x: ("readme" in x.lower(), x))
    texts = {}
    for name in files:
        with open_entry(str(path), name) as stream:
            texts[name] = stream.read(_LICENSE_BYTES).decode("utf-8", "replace").strip()
    texts = {name: text for name, text in texts.items() if text}
    chosen = next((x for x in texts if _license_name(texts[x])), next(iter(texts), None))
    return {"name": _license_name(texts[chosen]), "file": chosen, "text": texts[chosen]} if chosen else None


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
