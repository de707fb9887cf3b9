"""Aligns words with SimAlign or AWESOME-align. Runs in the environment of the peer (`peer_env.py`).

    python -m bench.peer_aligners METHOD ENCODER LAYER < pairs.json > links.json

METHOD is `inter`, `itermax` or `mwmf` of SimAlign, or `awesome`. ENCODER is a Hugging Face folder of a BERT model.
Imports nothing of xner_ray. Reads `[[source tokens, target tokens], ...]` and writes
`{"seconds": S, "links": [[[i, j, score], ...], ...]}`. The seconds do not include loading and a first pair.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

Pair = tuple[list[str], list[str]]
Links = list[list[tuple[int, int, float]]]
BATCH = 32  # AWESOME-align's default


def simalign(method: str, encoder: str, layer: int) -> Callable[[list[Pair]], Links]:
    """SimAlign aligns one pair at a time; its links have no score."""
    from simalign import SentenceAligner

    letter = {"inter": "a", "mwmf": "m", "itermax": "i"}[method]
    aligner = SentenceAligner(encoder, "bpe", matching_methods=letter, device="cpu", layer=layer)
    return lambda pairs: [
        [(i, j, 1.0) for i, j in aligner.get_word_aligns(source, target)[method]] for source, target in pairs
    ]


def awesome(encoder: str, layer: int) -> Callable[[list[Pair]], Links]:
    """AWESOME-align's model and extraction with its defaults, as in its `run_align.py`.

    Its own loader reads only WordPiece vocabularies and `.bin` weights, so weights and tokenizer are loaded here.
    """
    import torch
    from awesome_align import modeling
    from awesome_align.configuration_bert import BertConfig
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from torch.nn.utils.rnn import pad_sequence

    tokenizer = Tokenizer.from_file(str(Path(encoder) / "tokenizer.json"))
    first, last, modeling.PAD_ID = (tokenizer.token_to_id(t) for t in ("<s>", "</s>", "<pad>"))
    modeling.CLS_ID, modeling.SEP_ID = first, last
    model = modeling.BertForMaskedLM(BertConfig.from_pretrained(str(Path(encoder) / "config.json")))
    missing = model.load_state_dict(load_file(Path(encoder) / "model.safetensors"), strict=False).missing_keys
    if missing_weights := [key for key in missing if key.startswith("bert.") and not key.startswith("bert.pooler")]:
        raise SystemExit(f"{encoder} lacks {missing_weights[:3]}")
    model.eval()

    def pieces(words: list[str]) -> tuple[torch.Tensor, list[int]]:
        ids = [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
        word_indices = [i for i, row in enumerate(ids) for _ in row]
        return torch.tensor([first, *chain.from_iterable(ids), last]), word_indices

    def batches(pairs: list[Pair]) -> Iterator[list]:
        for start in range(0, len(pairs), BATCH):
            source, target = (list(map(pieces, side)) for side in zip(*pairs[start : start + BATCH], strict=True))
            padded = [pad_sequence([ids for ids, _ in s], True, modeling.PAD_ID) for s in (source, target)]
            maps = [[word_indices for _, word_indices in side] for side in (source, target)]
            yield model.get_aligned_word(
                *padded, *maps, "cpu", 0, 0, align_layer=layer, test=True, output_prob=True
            )  # fmt: skip

    def align(pairs: list[Pair]) -> Links:
        links = chain.from_iterable(batches(pairs))
        return [[(i, j, float(score)) for (i, j), score in row.items()] for row in links]

    return align


def main() -> None:
    method, encoder, layer = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pairs = json.load(sys.stdin)
    align = awesome(encoder, layer) if method == "awesome" else simalign(method, encoder, layer)
    align(pairs[:1])
    began = time.perf_counter()
    links = align(pairs)
    json.dump({"seconds": time.perf_counter() - began, "links": links}, sys.stdout)


if __name__ == "__main__":
    main()
