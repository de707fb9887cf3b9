"""Times a peer in its own environment (`peers_align.py`): loads the tool, then aligns all pairs once per line on stdin.

    python -m bench.peer_worker simalign|awesome ENCODER LAYER cpu|cuda CORE PAIRS.json WORK

Imports nothing of xner_ray. AWESOME-align supports only BERT's WordPiece tokenizer and pickled weights. So it gets an adapter
around the encoder's tokenizer.json, and the weights as a pickle. Alignment is its own `word_align` with its batch size of 32.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path


class Simalign:
    """One pair after another, as in its README. `a` is argmax in both directions, the fastest method and that of `Similarity`."""

    def __init__(self, encoder: str, layer: int, device: str, pairs: list, work: Path):
        from simalign import SentenceAligner

        self.pairs = pairs
        self.aligner = SentenceAligner(
            model=encoder, token_type="bpe", matching_methods="a", device=device, layer=layer
        )

    def __call__(self) -> int:
        return sum(bool(self.aligner.get_word_aligns(s, t)["inter"]) for s, t in self.pairs)


class Awesome:
    def __init__(self, encoder: str, layer: int, device: str, pairs: list, work: Path):
        from awesome_align import modeling
        from awesome_align.configuration_bert import BertConfig
        from awesome_align.modeling import BertForMaskedLM

        folder = pickled(Path(encoder), work / "awesome")
        self.tokenizer = Tokenizer(folder)
        modeling.PAD_ID = self.tokenizer.pad_token_id
        modeling.CLS_ID, modeling.SEP_ID = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        config = BertConfig.from_pretrained(str(folder))
        self.model = BertForMaskedLM.from_pretrained(str(folder), config=config)
        data, self.out = work / "awesome.txt", work / "awesome.out"
        data.write_text("".join(f"{s} ||| {t}\n" for s, t in pairs), encoding="utf-8")
        self.options = argparse.Namespace(
            data_file=str(data), output_file=str(self.out), batch_size=32, num_workers=0, device=device,
            align_layer=layer, extraction="softmax", softmax_threshold=0.001, output_prob_file=None,
            output_word_file=None,
        )  # fmt: skip

    def __call__(self) -> int:
        from awesome_align.run_align import word_align

        word_align(self.options, self.model, self.tokenizer)
        return sum(bool(line.strip()) for line in self.out.read_text().splitlines())


class Tokenizer:
    """The methods of a BertTokenizer that AWESOME-align calls, for any tokenizer.json."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer as Backend

        self.backend = Backend.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "config.json").read_text())
        self.max_len = config["max_position_embeddings"]
        first, *_, last = self.backend.encode("a").ids
        self.cls_token_id, self.sep_token_id = first, last
        self.pad_token_id = config["pad_token_id"]
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        self.unk_token_id = model.get("unk_id") or self.backend.token_to_id(model.get("unk_token") or "<unk>")

    def tokenize(self, word: str) -> list:
        return self.backend.encode(word, add_special_tokens=False).tokens

    def convert_tokens_to_ids(self, tokens: list) -> list:
        return [self.unk_token_id if i is None else i for i in map(self.backend.token_to_id, tokens)]

    def prepare_for_model(self, ids: list, return_tensors: str, max_length: int) -> dict:
        import torch

        return {"input_ids": torch.tensor([[self.cls_token_id, *ids[: max_length - 2], self.sep_token_id]])}


def pickled(encoder: Path, out: Path) -> Path:
    """Copy a BERT folder with its weights as a pickle."""
    import shutil

    import torch
    from safetensors.torch import load_file

    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(encoder / name, out / name)
    weights = load_file(encoder / "model.safetensors")
    torch.save({k if k.startswith("bert.") else f"bert.{k}": v for k, v in weights.items()}, out / "pytorch_model.bin")
    return out


def main() -> None:
    name, encoder, layer, device, core, pairs, work = sys.argv[1:]
    os.sched_setaffinity(0, [int(core)])
    import torch

    torch.set_num_threads(1)
    peer_class = {"simalign": Simalign, "awesome": Awesome}[name]
    peer = peer_class(encoder, int(layer), device, json.loads(Path(pairs).read_text(encoding="utf-8")), Path(work))
    print("bench: ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        aligned = peer()
        seconds = time.perf_counter() - began
        assert aligned > len(peer.pairs if name == "simalign" else [0]) / 2, f"{name} aligned {aligned} pairs only"
        print("bench:", seconds, flush=True)


if __name__ == "__main__":
    main()
