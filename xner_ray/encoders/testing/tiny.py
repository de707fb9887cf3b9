"""An encoder for tests: random weights and a tokenizer of letters, about 2 MB, made in a second, the same every time.

It has the shape of the embedded one (BERT, XLM-R's tokenizer with its pair template), so every path runs; it knows
nothing, so no score of it means anything.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

HIDDEN, LAYERS, POSITIONS = 32, 2, 128
SEED = 20


def make_tiny_encoder(folder: str | Path) -> Path:
    """Write config, weights and tokenizer into `folder` (made if missing), config.json last; return it."""
    import torch
    from transformers import BertConfig, BertModel

    from xner_ray.encoders.bundled import tokenizer_config, unigram_tokenizer
    from xner_ray.encoders.quiet import quiet

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = unigram_tokenizer(_pieces(), [], ["\t", "\n", "\u00a0", "\u3000"])
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
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(SEED)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def _pieces() -> list[tuple[str, float]]:
    """Single characters of Latin script and of GB 2312, and pairs of letters, to have words of longer pieces."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    latin = [chr(c) for c in (*range(0x21, 0x7F), *range(0xA1, 0x180))]
    cells = [bytes((row, cell)) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)]
    chinese = [c for cell in cells if (c := cell.decode("gb2312", errors="ignore"))]
    marks = list("\u2581–—‘’“”„、。《》「」『』【】")  # full-width marks become ASCII by NFKC
    pairs = [a + b for a in string.ascii_lowercase for b in string.ascii_lowercase]
    starts = ["\u2581" + c for c in string.ascii_letters]
    pieces = dict.fromkeys(special, 0.0)
    for group, score in ((latin + chinese + marks, -10.0), (pairs + starts, -11.0)):
        for piece in group:
            pieces.setdefault(piece, score)
    return list(pieces.items())


def tiny_folder() -> Path:
    """The encoder that `encoder: tiny` names, in the user's cache; made on the first call, atomically."""
    from xner_ray.storage.atomic import create_dir_once
    from xner_ray.storage.user_cache import cache_dir

    return create_dir_once(cache_dir() / f"tiny-{SEED}-v1", make_tiny_encoder)
