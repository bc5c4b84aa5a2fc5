"""Causal language models of Transformers, from a local folder or the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Shape, Shapes, describe_shapes
from instar.compute.packed import PACKED_INPUTS, are_packed
from instar.compute.projected import Projected
from instar.data.instructions.encoding import InstructionTokenizer
from instar.errors import MismatchError
from instar.foreign import from_config, from_pretrained, from_weights, read_config
from instar.models.architecture import TextNetwork
from instar.models.generation import generate_text
from instar.models.lstm import require_tokens
from instar.models.saved_tokenizer import tokenizer_folder

TRANSFORMERS_PREFIX = "transformers:"
"""Prefix of the names of Transformers models, before a folder or Hub id."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class CausalLM(nn.Module, TextNetwork):
    """z_t = W h_t with the last hidden states h_t of a Transformers model for the tokens x_1 ... x_t.

    A model may have more rows in W than tokens, as padding to a round number. Padding rows get no logits, so they have
    no probability and are not trained.

    Attributes:
        tokenizer_files: files of the tokenizer that it was trained with, by name; None: those of its folder.

    Args:
        path: folder or Hub id of a configuration, and of weights if `pretrained`.
        pretrained: start with the weights of the model; otherwise with new weights of the same architecture.
        input_shape: (positions,), or the shapes of packed texts by name; None: as many as the model allows.
        num_classes: number of tokens in the vocabulary; None: those of the model's tokenizer, or all rows of W.
        classes: tokens of the data, which must equal those of the model's tokenizer if it has one.

    Raises:
        ConfigError: when transformers is not installed, or cannot load the model.
        MismatchError: when the model allows fewer positions, has fewer tokens or another tokenizer than the data, or
            lacks weights.
    """

    def __init__(
        self,
        path: str,
        pretrained: bool = True,
        *,
        input_shape: Shapes | None = None,
        num_classes: int | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.path, self.pretrained = path, pretrained
        self.tokenizer_files: dict[str, str] | None = None
        self.model = _load(path, pretrained).train()  # Transformers returns pretrained models in eval mode
        self.tokens = read_tokens(path)
        # equal numbers are not enough: another tokenizer of the same size would give each number another meaning
        if classes and self.tokens:
            refuse_other_tokens(self.tokens, f"model '{path}'", tuple(classes), "the data")
        allowed = getattr(self.model.config, "max_position_embeddings", None)
        if input_shape is not None:
            shape = _shape_of_tokens(input_shape, path)
            require_tokens(shape, TRANSFORMERS_PREFIX + path)
            if allowed is not None and shape[0] > allowed:
                raise MismatchError(f"model '{path}' allows {allowed} positions, but the data have {shape[0]}.")
        rows = len(self.head.weight)
        self.num_classes = num_classes or len(self.tokens) or rows
        if rows < self.num_classes:
            raise MismatchError(f"model '{path}' has {rows} tokens, but the data have {self.num_classes}.")
        self.projects = _ends_with(self.model, self.head)

    @property
    def head(self) -> nn.Linear:
        """Output layer, from the last hidden states to logits."""
        layer: nn.Linear = self.model.get_output_embeddings()
        return layer

    def forward(
        self,
        inputs: Tensor | None = None,
        *,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        project: bool = False,
    ) -> Tensor | Projected:
        """Return logits `[batch, position, classes]` of tokens `[batch, position]`.

        Args:
            inputs: tokens of one text per row.
            input_ids: tokens of several texts per row, see `PACKED_INPUTS`.
            position_ids: position of each of these tokens in its text.
            project: return `Projected` in place of logits.
        """
        tokens = inputs if input_ids is None else input_ids
        assert tokens is not None, "a language model is called with tokens"
        given = {"input_ids": tokens.long(), "use_cache": False}
        if position_ids is not None:
            given["position_ids"] = position_ids.long()
        if not self.projects:
            logits: Tensor = self.model(**given).logits
            return logits[..., : self.num_classes]
        # the model without its head, which would compute the logits of all positions at once
        hidden = self.model.base_model(**given).last_hidden_state
        weight: Tensor = self.head.weight
        bias: Tensor | None = self.head.bias
        if len(weight) > self.num_classes:
            weight, bias = weight[: self.num_classes], None if bias is None else bias[: self.num_classes]
        projected = Projected(hidden, weight, bias)
        return projected if project else projected.logits()

    def generate(self, prompts: Any, **options: Any) -> Any:
        """Return what the model writes behind prompts; see `TextNetwork.generate`."""
        if isinstance(prompts, Tensor):
            return self.model.generate(input_ids=prompts.long(), **options)
        with tokenizer_folder(self.tokenizer_files, self.path) as folder:
            tokenizer = InstructionTokenizer(folder)
        return generate_text(self.model, tokenizer, prompts, **options)


def _shape_of_tokens(shape: Shapes, path: str) -> Shape:
    if not isinstance(shape, Mapping):
        return shape
    if not are_packed(shape):
        raise MismatchError(
            f"model '{path}' takes tokens, or several texts per window as {' and '.join(PACKED_INPUTS)}; got "
            f"{describe_shapes(shape)}."
        )
    return shape[PACKED_INPUTS[0]]


def _load(path: str, pretrained: bool) -> Any:
    config, kind = read_config(path, "model"), "AutoModelForCausalLM"
    if not pretrained:
        return from_config(kind, config, path, "model", dtype=torch.float32)
    model, missing = from_weights(kind, path, config)
    if missing:
        raise MismatchError(
            f"'{path}' lacks weights of {type(model).__name__}, such as '{min(missing)}', so it is no trained language "
            "model yet; train it first, or train new weights with --arg pretrained=false."
        )
    return model


@torch.no_grad()
def _ends_with(model: Any, head: nn.Module) -> bool:
    # measured, because some models, such as Gemma 2, cap the output of their head
    if not isinstance(head, nn.Linear):
        return False
    was_training = model.training
    model.eval()  # dropout would make the two calls differ
    tokens = torch.arange(len(head.weight))[None, :2]
    # new weights give logits so small that a cap would not show
    hook = head.register_forward_hook(lambda *arguments: 1e4 * arguments[-1])
    expected = model(input_ids=tokens, use_cache=False).logits
    found = head(model.base_model(input_ids=tokens, use_cache=False).last_hidden_state)
    hook.remove()
    model.train(was_training)
    return expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-3)


def read_tokens(path: str) -> tuple[str, ...]:
    """Return the tokens of the tokenizer in a model's folder; empty if there is no tokenizer."""
    # a Hub id cannot be looked at without a request, so Transformers is asked
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in _TOKENIZER_FILES):
        return ()
    tokenizer = from_pretrained("AutoTokenizer", path, "the tokenizer of model")
    return tuple(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))


def refuse_other_tokens(ours: tuple[str, ...], mine: str, theirs: tuple[str, ...], other: str) -> None:
    """Refuse two models, or a model and data, with different tokens.

    Raises:
        MismatchError: when the tokens differ; names both sides and the first difference.
    """
    if ours == theirs:
        return
    pairs = enumerate(zip(ours, theirs, strict=False))
    at = next((index for index, (one, another) in pairs if one != another), min(len(ours), len(theirs)))
    first, second = (repr(some[at]) if at < len(some) else "missing" for some in (ours, theirs))
    raise MismatchError(
        f"the tokenizer of {mine} ({len(ours)} tokens) differs from that of {other} ({len(theirs)} tokens): token {at} "
        f"is {first} in the former and {second} in the latter."
    )
