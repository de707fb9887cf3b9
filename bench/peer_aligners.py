"""Word alignments by SimAlign and AWESOME-align; runs in their own environments (`peer_env.py`), so it imports none of ours.

    python -m bench.peer_aligners METHOD ENCODER LAYER < pairs.json > links.json

METHOD is `inter`, `itermax` or `mwmf` of SimAlign, or `awesome`. The encoder is a Hugging Face folder of BERT's shape, the same
for all. Reads `[[source tokens, target tokens], ...]` and writes `{"seconds": S, "links": [[[i, j, score], ...], ...]}`; loading
the encoder and a first pair are not in the seconds.
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
    """AWESOME-align's model and extraction with its defaults. Its command reads WordPiece vocabularies and `.bin` weights
    only, so weights and tokenizer are loaded here; what `run_align.py` does with them is below.
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
    if lacking := [key for key in missing if key.startswith("bert.") and not key.startswith("bert.pooler")]:
        raise SystemExit(f"{encoder} lacks {lacking[:3]}")
    model.eval()

    def pieces(words: list[str]) -> tuple[torch.Tensor, list[int]]:
        ids = [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
        of = [i for i, row in enumerate(ids) for _ in row]
        return torch.tensor([first, *chain.from_iterable(ids), last]), of

    def batches(pairs: list[Pair]) -> Iterator[list]:
        for at in range(0, len(pairs), BATCH):
            source, target = (list(map(pieces, side)) for side in zip(*pairs[at : at + BATCH], strict=True))
            padded = [pad_sequence([ids for ids, _ in s], True, modeling.PAD_ID) for s in (source, target)]
            maps = [[of for _, of in side] for side in (source, target)]
            yield model.get_aligned_word(
                *padded, *maps, "cpu", 0, 0, align_layer=layer, test=True, output_prob=True
            )  # fmt: skip

    def align(pairs: list[Pair]) -> Links:
        found = chain.from_iterable(batches(pairs))
        return [[(i, j, float(score)) for (i, j), score in row.items()] for row in found]

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
