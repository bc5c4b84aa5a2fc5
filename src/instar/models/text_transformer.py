"""A small transformer that reads texts (Vaswani et al. 2017, with the normalisation before each part)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.checks import Count, DropProbability, checked
from instar.errors import ConfigError
from instar.models.dropout import Dropout
from instar.models.word_network import WordNetwork, embed_words, mean_of_words

LONGEST_WAVE_WORDS = 10_000
"""Wavelength of the slowest position code, divided by 2 pi."""


@checked
class TextTransformer(WordNetwork):
    """logits = W m + b, where m is the mean over words of the last of several layers of attention.

    Positions are sines and cosines, so that texts may have any length. Where each word has a label, its own vector of
    the last layer takes the place of m.

    Args:
        layers: layers of attention.
        width: numbers per word.
        heads: heads of attention; `width` is a multiple.
        dropout: probability that a number of a word, or what a layer adds to it, is dropped.
        num_classes: number of logits.
        vocabulary_size: how many words there are, with padding and words that were never seen.

    Raises:
        ConfigError: when `width` is odd, or no multiple of `heads`.

    >>> model = TextTransformer(1, 8, 2, num_classes=2, vocabulary_size=9)
    >>> model(torch.tensor([[3, 5, 8]])).shape
    torch.Size([1, 2])
    """

    reads_each_word = True

    def __init__(
        self,
        layers: Count = 2,
        width: Count = 64,
        heads: Count = 4,
        dropout: DropProbability = 0.1,
        *,
        num_classes: int | None = None,
        vocabulary_size: int | None = None,
    ) -> None:
        if width % heads or width % 2:
            raise ConfigError(f"TextTransformer(width) must be even, and a multiple of {heads} heads, got {width}.")
        self.depth, self.width, self.heads, self.dropout = layers, width, heads, dropout
        arguments = {"layers": layers, "width": width, "heads": heads, "dropout": dropout}
        super().__init__(arguments, num_classes, vocabulary_size)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers for a vocabulary of `input_shape[0]` words."""
        self.embedding = embed_words(input_shape[0], self.width)
        self.drop = Dropout(self.dropout)
        self.layers = nn.ModuleList(_Layer(self.width, self.heads, self.dropout) for _ in range(self.depth))
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, num_classes)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean over words of the last layer, `[batch, width]`."""
        return mean_of_words(self.encode_each(input_ids, attention_mask), attention_mask)

    def encode_each(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last layer, `[batch, words, width]`."""
        words = self.embedding(input_ids) * math.sqrt(self.width)  # as large as the codes of positions
        found = self.drop(words + encode_positions(input_ids.shape[1], self.width, input_ids.device).to(words.dtype))
        for layer in self.layers:
            found = layer(found, attention_mask)
        normal: Tensor = self.norm(found)
        return normal


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.read, self.mix = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.next_norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = Dropout(dropout)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = words.shape
        # three of [batch, head, word, width / heads]
        parts = self.read(self.norm(words)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        words = words + self.drop(self.mix(seen.transpose(1, 2).reshape(batch, length, width)))
        added: Tensor = self.drop(self.dense(self.next_norm(words)))
        return words + added


def encode_positions(length: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return sin(p f) and cos(p f) of positions p for width / 2 frequencies f from 1 to 1/10,000, `[length, width]`.

    >>> encode_positions(2, 2).round(decimals=4).tolist()
    [[0.0, 1.0], [0.8414999842643738, 0.5403000116348267]]
    """
    steps = torch.arange(0, width, 2, device=device)
    frequencies = torch.exp(steps * (-math.log(LONGEST_WAVE_WORDS) / width))
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)
