"""Archives and files as byte streams: local files and fsspec URLs, zip entries, compressed and plain text.

The first bytes of a file decide how it is read, not its name. Archives are not trusted. Entries are streamed and never
unpacked to disk, and sizes are counted while reading. Every exception of a codec or a remote file system becomes a
`UserError` with the file, the entry and the remedy. Each zip entry has its own file handle, because alternate reads of
two sides through one handle would make a remote file seek and fetch blocks repeatedly.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from xner_ray.corpora.public_hosts import PrivateAddressError, remote_options
from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import hash_file

# Deflate can reach 1,032:1; text of real corpora stays below 30:1. Below BOMB_BYTES every ratio is allowed.
BOMB_RATIO = 200
BOMB_BYTES = 64 << 20

MAX_HASHED_BYTES = 256 << 20  # larger files are identified by size and time instead of content

_FETCH_AGAIN = (
    "fetch the file again, or check it with the tool that packed it: `unzip -t`, `gzip -t`, `xz -t`, `zstd -t`"
)
_MAGIC_BYTES = 16
_ZIP = re.compile(rb"PK(?:\x03\x04|\x05\x06)")
DOCUMENT_NAMES = re.compile(r"(licen[cs]e|copying|readme)\b.*", re.IGNORECASE)
# What ZIP tools of macOS and Windows add.
_LITTER = re.compile(r"(?:^|/)(?:__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)


def _open_zstd(file: Any) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")


_CODECS: tuple[tuple[re.Pattern[bytes], Callable[[Any], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), lambda file: gzip.GzipFile(fileobj=file)),
    (re.compile(rb"\xfd7zXZ\0"), lzma.open),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.open),
    (re.compile(rb"(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)"), _open_zstd),
)


def open_file(path: str, key: str | None = None) -> BinaryIO:
    """Open a local path or fsspec URL as a seekable binary file.

    Args:
        path: e.g. `data/ted.zip`, `s3://bucket/ted.zip`, `https://host/ted.zip`.
        key: the config key that holds the path, for the error.

    Raises:
        UserError: the file does not exist or cannot be read, or fsspec does not know the protocol.
    """
    if "://" not in path and "::" not in path:
        try:
            return open(path, "rb", buffering=1 << 20)
        except (OSError, ValueError) as e:
            what = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be opened: {e}"
            raise UserError(what, file=path, key=key, remedy="give the path of an existing file, or a URL") from None
    import fsspec

    try:
        return fsspec.open(path, "rb", **remote_options(path)).open()
    except FileNotFoundError as e:
        if isinstance(e.__cause__, PrivateAddressError):
            raise e.__cause__.user_error(path) from e
        raise UserError("no such file", file=path, key=key, remedy="check the URL") from None
    except ImportError as e:
        remedy = (
            "install the package it names; `pip install 'xner_ray[aws]'` (s3://) or 'xner_ray[gcp]' (gs://) has it"
        )
        raise UserError(f"no driver for this URL: {e}", file=path, key=key, remedy=remedy) from e
    except Exception as e:  # each file system of fsspec raises its own types (botocore, aiohttp, ...)
        raise UserError(
            f"cannot be opened: {e}", file=path, key=key, remedy="check the URL and the credentials"
        ) from e


def file_identity(path: str) -> dict[str, Any]:
    """Identify the version of a file: by its hash, by size and time if it is large, by its URL if it is remote."""
    local = Path(path.removeprefix("file://"))
    if not local.is_file():
        return {"url": path}  # a missing file is an error of its reader
    if local.stat().st_size <= MAX_HASHED_BYTES:
        return {"sha256": hash_file(local)}
    return {"size": local.stat().st_size, "mtime_ns": local.stat().st_mtime_ns}


class Stream:
    """The bytes of a file or entry.

    Args:
        raw: the stream to read.
        name: file and entry, for errors.
        packed: number of compressed bytes if known (zip).
        counter: the compressed file, whose position counts the compressed bytes.
        closing: everything to close.
    """

    def __init__(self, raw: Any, name: str, packed: int | None = None, counter: Any = None, closing: tuple = ()):
        self.raw, self.name, self.packed, self._counter, self._closing = raw, name, packed, counter, closing
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at the end.

        Raises:
            UserError: the stream is truncated, damaged, encrypted or an archive bomb, or the remote server failed.
        """
        parts, left = [], size
        while left > 0:
            data = self._read_some(left)
            if not data:
                break
            parts.append(data)
            left -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        try:
            data = self.raw.read(size)
            packed = self._counter.tell() if self._counter is not None else self.packed
        except EOFError:
            raise UserError("is truncated", file=self.name, remedy=_FETCH_AGAIN) from None
        except MemoryError:
            raise
        except Exception as e:  # zlib, lzma, zipfile, gzip and fsspec have no common base class
            raise UserError(f"cannot be read: {e or type(e).__name__}", file=self.name, remedy=_FETCH_AGAIN) from e
        self._unpacked += len(data)
        if packed is not None and self._unpacked > BOMB_BYTES and self._unpacked > BOMB_RATIO * max(packed, 1):
            raise UserError(
                f"unpacks to more than {BOMB_RATIO} times its size: this is an archive bomb, not text",
                file=self.name,
                remedy="remove the archive; if it is really text, unpack it and use format `lines`",
            )
        return data

    def close(self) -> None:
        """Close all files."""
        for item in self._closing:
            item.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_text(path: str, key: str | None = None) -> Stream:
    """Open a file as a stream: plain, gzip, bzip2, xz, Zstandard, or a zip with one file.

    Raises:
        UserError: the file cannot be opened, or the zip has not exactly one file besides README and LICENSE.
    """
    file = open_file(path, key)
    try:
        magic = file.read(_MAGIC_BYTES)
        file.seek(0)
    except Exception as e:  # remote files raise any type, see Stream
        file.close()
        remedy = "give a text file, plain or compressed"
        raise UserError(f"cannot be read: {e}", file=path, key=key, remedy=remedy) from e
    if _ZIP.match(magic):
        file.close()
        return _open_only_entry(path, key)
    return _decompressed(Stream(file, path, closing=(file,)), magic)


def _open_only_entry(path: str, key: str | None) -> Stream:
    names = entry_names(path, key)
    texts = [x for x in names if not DOCUMENT_NAMES.fullmatch(PurePosixPath(x).name)]
    tmx = [x for x in texts if x.lower().endswith(".tmx")]
    texts = tmx if len(tmx) == 1 else texts
    if len(texts) != 1:
        raise UserError(
            f"is a zip with {len(texts)} files instead of one: {', '.join(sorted(names)[:12]) or 'nothing'}",
            file=path,
            key=key,
            remedy="unpack it and give the path of one file, or write format `moses` for an archive with a file for each side",
        )
    with open_entry(path, texts[0], key) as stream:
        magic = stream.read(_MAGIC_BYTES)
    return _decompressed(open_entry(path, texts[0], key), magic)


def _decompressed(packed: Stream, magic: bytes) -> Stream:
    """The stream itself, or decompressed if its first bytes are those of a codec."""
    opener = next((opener for pattern, opener in _CODECS if pattern.match(magic)), None)
    if opener is None:
        return packed
    unpacked, file = opener(packed.raw), packed.raw if packed.packed is None else None
    return Stream(unpacked, packed.name, packed.packed, counter=file, closing=(unpacked, packed))


def entry_names(path: str, key: str | None = None) -> list[str]:
    """Names of the files in a zip, without what macOS and Windows add (`__MACOSX/`, `.DS_Store`).

    Raises:
        UserError: not a zip, truncated, an entry has a path outside of the archive, or two entries have one name.
    """
    with open_file(path, key) as file, _zip(file, path, key) as archive:
        names = [x.filename for x in archive.infolist() if not x.is_dir()]
    names = [name for name in names if not _LITTER.search(name)]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"has {count} entries with the name `{name}`",
                file=path,
                key=key,
                remedy="pack it again with one of them, or fetch the corpus from its publisher",
            )
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or name[1:2] == ":":
            raise UserError(
                f"entry `{name}` has a path outside of the archive",
                file=path,
                key=key,
                remedy="do not trust this archive; fetch the corpus from its publisher",
            )
    return names


def open_entry(path: str, name: str, key: str | None = None) -> Stream:
    """Open one entry of a zip as a stream, with its own file handle."""
    file = open_file(path, key)
    try:
        archive = _zip(file, path, key)
        # The entry itself states its size, so it is limited by the size of the archive.
        packed = min(archive.getinfo(name).compress_size, file.seek(0, 2))
        return Stream(archive.open(name), f"{path}!{name}", packed=packed, closing=(archive, file))
    except UserError:
        file.close()
        raise
    except Exception as e:  # encrypted, unknown method, contradicting headers: many types, see Stream
        file.close()
        raise UserError(f"cannot be read: {e}", file=f"{path}!{name}", key=key, remedy=_FETCH_AGAIN) from e


def _zip(file: BinaryIO, path: str, key: str | None) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except Exception as e:  # besides BadZipFile also struct.error, OSError, NotImplementedError, UnicodeDecodeError
        what = f"is not a zip, or is truncated: {e}"
        raise UserError(what, file=path, key=key, remedy=f"{_FETCH_AGAIN}; is `format` right?") from e
