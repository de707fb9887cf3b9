"""Tiny models with random weights and the real classes of the paper's models: XLM-R, cased mBERT, and a seq2seq translator."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xner_ray.encoders.testing.tiny import vocabulary

POSITIONS = 128
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}


def make_xlm_roberta(folder: Path, words: Iterable[str]) -> Path:
    """Write an XLM-R with its tokenizer, which knows these words, single characters and pairs of letters."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

    pieces = {**dict(vocabulary()), **{f"\u2581{word}": -9.0 for word in sorted(set(words))}, "<mask>": 0.0}
    tokenizer = XLMRobertaTokenizer(vocab=list(pieces.items()), model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS + 2,  # positions begin behind the padding id
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **SIZES,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_cased_bert(folder: Path, words: Iterable[str]) -> Path:
    """Write a BERT with a cased WordPiece tokenizer, which knows these words and single characters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    characters = sorted({piece for piece, _ in vocabulary() if len(piece) == 1})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters)]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, *sorted(set(words))]))}
    BertTokenizer(vocab=vocab, do_lower_case=False, model_max_length=POSITIONS).save_pretrained(folder)
    torch.manual_seed(2)
    config = BertConfig(vocab_size=len(vocab), max_position_embeddings=POSITIONS, pad_token_id=0, **SIZES)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_translator(folder: Path) -> Path:
    """Write a sequence-to-sequence model whose translations are random, but differ from text to text."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration, XLMRobertaTokenizer

    tokenizer = XLMRobertaTokenizer(vocab=[*vocabulary(), ("<mask>", 0.0)], model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": POSITIONS}
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        init_std=1.0,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        **layers,
        **heads,
    )
    model = BartForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(folder)
    return folder
