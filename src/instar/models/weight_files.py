"""Weights of a network from a file that other programs wrote: safetensors, or a state dict of PyTorch."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from instar.errors import ConfigError, MismatchError, shortened
from instar.paths import local_path

MAX_NAMED_WEIGHTS = 3
"""Weights of a kind that an error message names."""


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load all weights of a network from a file, whose names and shapes must be those of the network.

    Args:
        network: network to change in place.
        path: `.safetensors`, or a file of `torch.save(network.state_dict(), path)`. A file of several state dicts, such
            as a checkpoint with an optimiser, must hold exactly one with the names of this network. All names may have
            one prefix, such as the `module.` of DataParallel or the `model.` of Lightning.

    Raises:
        ConfigError: when the file cannot be read without running code.
        MismatchError: when names or shapes differ; names the missing and the unexpected weights.

    >>> import tempfile
    >>> file, network = tempfile.mkdtemp() + "/weights.pt", nn.Linear(2, 2)
    >>> torch.save({"epoch": 3, "model": network.state_dict()}, file)
    >>> load_weights(again := nn.Linear(2, 2), file)
    >>> torch.equal(again.weight, network.weight)
    True
    """
    own = network.state_dict()
    found = _choose_state(read_weight_file(path), own.keys(), str(path))
    for name, value in found.items():
        if isinstance(value, Tensor) and isinstance(own.get(name), Tensor):
            _refuse_other_numbers(name, value, own[name], path)
    try:
        missing, unexpected = network.load_state_dict(found, strict=False)
    except Exception as error:  # shapes that differ, or extra state that the network does not take
        reason = " ".join(str(error).split()).rpartition("state_dict for ")[2]
        raise MismatchError(f"the weights in '{path}' do not fit: {shortened(reason, 400)}.") from None
    if missing or unexpected:
        differences = [
            f"{kind} {_name_some(names)}" for kind, names in (("missing", missing), ("unexpected", unexpected)) if names
        ]
        raise MismatchError(
            f"the weights in '{path}' are not those of {type(network).__name__}: {'; '.join(differences)}. Give the "
            "arguments that the network was trained with, or another file."
        )


def _refuse_other_numbers(name: str, value: Tensor, own: Tensor, path: str | Path) -> None:
    # torch would cut fractions or imaginary parts off, and take the steps of a quantised weight for its values
    kinds = [
        "complex numbers" if one.is_complex() else "floats" if one.is_floating_point() else "whole numbers"
        for one in (value, own)
    ]
    if kinds[0] != kinds[1]:
        raise MismatchError(
            f"the weight '{name}' in '{path}' holds {kinds[0]} ({value.dtype}), and that of the network {kinds[1]} "
            f"({own.dtype}); a quantised file is of another network, so give the weights before quantisation."
        )


def read_weight_file(path: str | Path) -> dict[str, Any]:
    """Return the content of a file of weights, on the CPU; no code in it runs.

    Raises:
        ConfigError: when it is missing, damaged, or could only be read by running its code.
    """
    file = local_path(path, "weights")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"the weights '{path}' cannot be read: {error.strerror or shortened(error)}.") from None
    except pickle.UnpicklingError:
        raise ConfigError(
            f"'{path}' holds more than weights, such as a whole module, and reading it would run its code; save the "
            "weights alone: torch.save(network.state_dict(), file)."
        ) from None
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ConfigError(f"'{path}' is no file of weights: {shortened(error)}.") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"'{path}' must hold a state dict, weights by name, got {type(content).__name__}.")
    return _with_text_names(content)


def _choose_state(content: Mapping[str, Any], names: Any, path: str) -> Mapping[str, Any]:
    if any(isinstance(value, Tensor) for value in content.values()):
        return _without_prefix(content, set(names))
    # a checkpoint of a training; which of its parts the weights are, their names tell, and not those of the parts
    parts = {name: _with_text_names(part) for name, part in content.items() if isinstance(part, Mapping)}
    states = {name: _without_prefix(part, set(names)) for name, part in parts.items()}
    fitting = [name for name, state in states.items() if state.keys() == set(names)]
    if len(fitting) == 1:
        return dict(states[fitting[0]])
    found = f"several with them: {_name_some(fitting)}" if fitting else f"only {_name_some(list(map(str, content)))}"
    raise MismatchError(
        f"'{path}' must hold one state dict with the names of the network's weights, and holds {found}; save the "
        "weights alone: torch.save(network.state_dict(), file)."
    )


def _with_text_names(content: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in content.items()}


def _without_prefix(content: Mapping[str, Any], names: set[str]) -> Mapping[str, Any]:
    # DataParallel, torch.compile and others put a word before all names, which then fit in one way only
    first = min(names, key=len, default="")
    prefixes = {name.removesuffix(first) for name in content if name.endswith(f".{first}")}
    for prefix in prefixes:
        if content.keys() == {prefix + name for name in names}:
            return {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def _name_some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED_WEIGHTS
    return ", ".join(f"'{name}'" for name in names[:MAX_NAMED_WEIGHTS]) + (f" and {more} more" if more > 0 else "")
