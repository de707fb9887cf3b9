"""A tiny encoder for tests: random weights and a tokenizer of single letters, about 2 MB, written in a second.

Two calls write the same bytes. It has the architecture and the tokenizer type of the bundled encoder (BERT; XLM-R's unigram
tokenizer and template for pairs), so tests run the same code paths. Its scores mean nothing.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from xner_ray.encoders.bundled import tokenizer_config, unigram_tokenizer
from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.user_cache import cache_dir

HIDDEN, LAYERS, POSITIONS = 32, 2, 128
SEED = 20


def tiny_folder() -> Path:
    """Return the encoder that `encoder: tiny` names, in the user's cache. The first call writes it, atomically."""
    return create_dir_once(cache_dir() / f"tiny-{SEED}-v1", make_tiny_encoder)


def make_tiny_encoder(folder: str | Path) -> Path:
    """Write config, weights and tokenizer into a folder, which is created if missing.

    Returns:
        The folder.
    """
    import torch
    from transformers import BertConfig, BertModel

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = unigram_tokenizer(vocabulary(), [], ["\t", "\n", "\u00a0", "\u3000"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(POSITIONS), indent=2))
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=2 * HIDDEN,
        max_position_embeddings=POSITIONS,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def vocabulary() -> list[tuple[str, float]]:
    """Return (piece, log probability): single characters of Latin script and GB 2312, and pairs of letters as longer pieces."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    latin = [chr(c) for c in (*range(0x21, 0x7F), *range(0xA1, 0x180))]
    cells = [bytes((row, cell)) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)]
    chinese = [c for cell in cells if (c := cell.decode("gb2312", errors="ignore"))]
    marks = list("\u2581–—‘’“”„、。《》「」『』【】")  # NFKC maps other full-width marks to ASCII
    pairs = [a + b for a in string.ascii_lowercase for b in string.ascii_lowercase]
    word_starts = ["\u2581" + c for c in string.ascii_letters]
    vocabulary = dict.fromkeys(special, 0.0)
    for group, score in ((latin + chinese + marks, -10.0), (pairs + word_starts, -11.0)):
        for piece in group:
            vocabulary.setdefault(piece, score)
    return list(vocabulary.items())
