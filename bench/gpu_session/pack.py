"""What a session brings along: the embedded encoder with 4-bit weights and a trimmed vocabulary, and labeled sentence pairs."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

FILE, FOLDER, MAX_BYTES = "encoder.bin", "encoder", 64 * 2**20


def write_pack(out: Path, encoder: str, text: Path | None, language: str, max_pairs: int) -> int:
    """Write encoder, pairs.parquet and pack.json.

    Sources have 20 to 40 tokens. The null model labels the entities, 1.7 per pair.

    Args:
        out: folder of the pack.
        encoder: `embedded`, which is written with 4-bit weights, or an encoder whose folder is copied.
        text: folder of TSV files; None: `xner sample`.
        language: of the targets.
        max_pairs: largest number of pairs.

    Returns:
        The number of pairs.

    Raises:
        SystemExit: the pack is larger than 64 MiB.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bench.inputs import read_text
    from xner_ray.config import AlignerConfig, LabelConfig, TrainingConfig
    from xner_ray.encoders import bundled
    from xner_ray.encoders.load import encoder_folder
    from xner_ray.ner.label_table import label_table
    from xner_ray.ner.tagger import Tagger

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if encoder == "embedded":
        (out / FILE).write_bytes(trim(bundled._read_verified(), ["en", language]))
    else:
        shutil.copytree(encoder_folder(encoder), out / FOLDER)
    settings = {"language": language, "training": TrainingConfig().model_dump()}
    settings |= {"similarity_layer": AlignerConfig().similarity_layer}
    settings |= {"max_batch_tokens": LabelConfig().max_batch_tokens}
    (out / "pack.json").write_text(json.dumps(settings))
    pairs = read_text(text, language, 10 * max_pairs, out / "sample").pairs
    shutil.rmtree(out / "sample", ignore_errors=True)
    tagger = Tagger.load_null(unpack_encoder(out, out / "unpacked"))
    lengths = tagger.tokenizer([s for s, _ in pairs]).ids.lengths
    chosen = np.flatnonzero((lengths >= 20) & (lengths <= 40))[:max_pairs].tolist()
    table = pa.table({"source": [pairs[i][0] for i in chosen], "target": [pairs[i][1] for i in chosen]})
    pq.write_table(label_table(tagger, table, "en"), out / "pairs.parquet")
    shutil.rmtree(out / "unpacked", ignore_errors=True)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    if size > MAX_BYTES:
        raise SystemExit(f"{out} has {size / 2**20:.0f} MiB, at most {MAX_BYTES / 2**20:.0f} are allowed")
    return len(chosen)


def unpack_encoder(pack: Path, out: Path) -> Path:
    """The Hugging Face folder of the encoder in a pack. The 4-bit file is decoded into `out`."""
    if (pack / FOLDER).is_dir():
        return pack / FOLDER
    from xner_ray.encoders.bundled import decode, write_folder

    out.mkdir(parents=True, exist_ok=True)
    write_folder(decode((pack / FILE).read_bytes()), out)
    return out


def trim(data: bytes, languages: Iterable[str]) -> bytes:
    """The 4-bit file with the vocabulary of some languages. Its format is described in `xner_ray.encoders.bundled`."""
    from xner_ray.encoders.vocab_trimming import in_scripts
    from xner_ray.text.languages import script_ranges

    ranges = script_ranges(sorted(languages))
    assert ranges is not None
    (hidden,), (count,) = struct.unpack_from("<i", data, 8), struct.unpack_from("<i", data, 44)
    (blob_length,) = struct.unpack_from("<Q", data, 64)
    offsets = np.frombuffer(data, "<u4", count + 1, 72)
    scores = np.frombuffer(data, "<f4", count, 72 + 4 * (count + 1))
    at = 72 + 4 * (count + 1) + 4 * count
    pieces = [data[at + offsets[i] : at + offsets[i + 1]] for i in range(count)]
    kept = [i for i, piece in enumerate(pieces) if i < 4 or in_scripts(piece.decode(), ranges)]  # four special pieces
    blob = b"".join(pieces[i] for i in kept)
    new_offsets = np.concatenate([[0], np.cumsum([len(pieces[i]) for i in kept])]).astype("<u4")
    header = data[:24] + struct.pack("<i", len(kept)) + data[28:44] + struct.pack("<i", len(kept)) + data[48:64]
    vocabulary = struct.pack("<Q", len(blob)) + new_offsets.tobytes() + scores[kept].tobytes() + blob
    at += blob_length
    _, size = struct.unpack_from("<iI", data, at)
    normalizer = data[at : at + 8 + size]
    return _with_tensors(header + vocabulary + normalizer, data, at + 8 + size, hidden, np.array(kept))


def _with_tensors(start: bytes, data: bytes, at: int, hidden: int, kept: np.ndarray) -> bytes:
    """Append the tensors, with the kept rows of the word embeddings. A row is a whole number of 4-bit blocks."""
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    index: list[tuple[bytes, int, int]] = []
    contents: list[bytes] = []
    for _ in range(count):
        (n,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + n]
        dtype, elements, offset, size = struct.unpack_from("<BIQQ", data, at + 2 + n)
        at += 2 + n + 21
        content = data[offset : offset + size]
        if name == b"emb.word":
            content = np.frombuffer(content, np.uint8).reshape(elements // hidden, -1)[kept].tobytes()
            elements = len(kept) * hidden
        index.append((name, dtype, elements))
        contents.append(content)
    first = len(start) + 4 + sum(2 + len(name) + 21 for name, _, _ in index)
    places = first + np.concatenate([[0], np.cumsum([len(content) for content in contents])])
    head = struct.pack("<i", count)
    for (name, dtype, elements), place, content in zip(index, places.tolist(), contents, strict=False):
        head += struct.pack("<H", len(name)) + name + struct.pack("<BIQQ", dtype, elements, place, len(content))
    return start + head + b"".join(contents)
