"""Encoders in plain torch with random weights. The speed depends on the shape only, so no trained weights are needed."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int
    inner: int

    def flops(self, lengths: np.ndarray) -> float:
        """Floating-point operations of a forward pass over rows of these lengths, without padding: weights and attention."""
        n = np.asarray(lengths, np.float64)
        weights = 2 * (4 * self.width**2 + 2 * self.width * self.inner) * n.sum()
        return self.layers * float(weights + 4 * self.width * (n**2).sum())


SHAPES = {
    "xlm-r-large": Shape(24, 1024, 16, 4096),
    "embedded": Shape(12, 384, 12, 1536),
    "small": Shape(2, 64, 4, 128),
}


class Layer(nn.Module):
    """A post-norm encoder layer, as in BERT and XLM-R."""

    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.heads = shape.heads
        self.query, self.key, self.value, self.out = (nn.Linear(shape.width, shape.width) for _ in range(4))
        self.up, self.down = nn.Linear(shape.width, shape.inner), nn.Linear(shape.inner, shape.width)
        self.norms = nn.ModuleList([nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = x.shape
        q, k, v = (f(x).view(rows, length, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        context = scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(rows, length, width)
        x = self.norms[0](x + self.dropout(self.out(context)))
        return self.norms[1](x + self.dropout(self.down(gelu(self.up(x)))))


class Embeddings(nn.Module):
    def __init__(self, shape: Shape, vocabulary: int, positions: int):
        super().__init__()
        self.word_embeddings, self.position_embeddings = (
            nn.Embedding(vocabulary, shape.width),
            nn.Embedding(positions, shape.width),
        )
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.norm(
            self.word_embeddings(ids) + self.position_embeddings(torch.arange(ids.shape[1], device=ids.device))
        )


class Classifier(nn.Module):
    """A token classifier with the part of the interface of transformers that the engine and the training loop use."""

    def __init__(self, shape: Shape, vocabulary: int, labels: int, positions: int = 512, dropout: float = 0.1):
        super().__init__()
        self.shape = shape
        self.config = SimpleNamespace(
            pad_token_id=1, type_vocab_size=1, max_position_embeddings=positions, model_type="bert", num_labels=labels
        )
        self.embeddings = Embeddings(shape, vocabulary, positions)
        self.layers = nn.ModuleList([Layer(shape, dropout) for _ in range(shape.layers)])
        self.head = nn.Linear(shape.width, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Tensor) -> SimpleNamespace:
        x, mask = self.embeddings(input_ids), None
        if attention_mask is not None:
            mask = attention_mask.bool()[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return SimpleNamespace(logits=self.head(x))
