"""Matches of tokens by cosine similarity, for a batch of sentence pairs on a device. Nothing here waits for the device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def gather_rows(states: Tensor, starts: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Pad rows of a flat tensor to a rectangle.

    Args:
        states: [tokens, width].
        starts: int64 [rows], the first token of each row.
        lengths: int64 [rows], number of its tokens.
        longest: the largest length.

    Returns:
        float32 [rows, longest, width], scaled to length 1; arbitrary at padding.
        bool [rows, longest], True at tokens.
    """
    steps = torch.arange(longest, device=states.device)
    is_token = steps < lengths[:, None]
    index = torch.where(is_token, starts[:, None] + steps, 0)
    rows = states.index_select(0, index.flatten()).view(*index.shape, states.shape[1])
    return normalize(rows.float(), dim=-1, eps=1e-9), is_token


def similarity_tables(source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Similarity of all tokens of each pair, from the rows of both sides as `gather_rows` returns them.

    Returns:
        float32 [pairs, longest source, longest target], -inf at padding.
    """
    (source_states, is_source), (target_states, is_target) = source, target
    table = torch.bmm(source_states, target_states.transpose(1, 2))
    return table.masked_fill_(~is_source[:, :, None] | ~is_target[:, None, :], float("-inf"))


def nearest_neighbors(tables: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest neighbor of each token.

    Args:
        tables: of `similarity_tables`. Each side of each pair has a token.

    Returns:
        int32 [pairs, longest source], the nearest target token, by its position in the row.
        int32 [pairs, longest target], the nearest source token, by its position in the row.
        float32 [pairs, longest source], the similarity to the nearest target token.
        All are arbitrary at padding.
    """
    similarity, nearest_target = tables.max(dim=2)
    return nearest_target.int(), tables.argmax(dim=1).int(), similarity
