"""The layers of a network by name: dotted names of modules, and the friendly names of an `Architecture`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from instar.errors import MismatchError
from instar.models.architecture import Architecture
from instar.models.layer_gradients import GRADIENT, INPUTS
from instar.models.normalised import unwrap

MAX_NEAREST_NAMES = 3
"""Names that an error suggests."""

MAX_LISTED_NAMES = 12
"""Names that an error lists where none is near."""


@dataclass(frozen=True, eq=False)
class LayerNames:
    """Layers by name, in the order of their network, which may be elsewhere.

    Args:
        names: the names.
        stages: those of the stages of an `Architecture`.
        who: what has the layers, for error messages.

    >>> LayerNames(("layer1", "layer2"), (), "the student").find("layer*")
    ['layer1', 'layer2']
    """

    names: tuple[str, ...]
    stages: tuple[str, ...]
    who: str

    def find(self, pattern: str) -> list[str]:
        """Return the names that a pattern matches, in the order of the network.

        `*`, `?` and `[12]` stand for letters other than dots, and `{0,12}` for one of several words.

        Raises:
            MismatchError: when there is none; suggests the nearest names.
        """
        if pattern in self.names:
            return [pattern]
        # each word in braces must name a layer, so that a wrong one is not left out without a word
        matches = [self._match(one) for one in expand_braces(pattern)]
        return [name for name in self.names if any(name in names for names in matches)]

    def _match(self, pattern: str) -> list[str]:
        parts = pattern.split(".")
        if found := [name for name in self.names if _matches(name.split("."), parts)]:
            return found
        raise MismatchError(f"{self.who} has no layer '{pattern}'; {self.suggest(pattern)}.")

    def suggest(self, pattern: str) -> str:
        """Return what to do about a pattern that matches nothing, as a clause."""
        near = difflib.get_close_matches(pattern, self.names, n=MAX_NEAREST_NAMES, cutoff=0.5)
        outer = [name for name in self.names if "." not in name]
        hint = f"the nearest are {quote_names(near)}" if near else f"it has {quote_names(outer)}"
        return f"{hint}; instar layers lists all"


@dataclass(frozen=True, eq=False)
class Layers(LayerNames):
    """The layers of a network by name, in the order in which the network lists them.

    Dotted names are those of `named_modules`; those of an `Architecture` follow, such as "stage2". A name of both is
    that of the architecture.

    Args:
        names: the names.
        stages: those of the stages of an `Architecture`.
        who: what has the layers, for error messages.
        modules: the layers by name.
        network: the network itself.

    >>> from instar.models import ResNet
    >>> layers = Layers.of(ResNet(14, input_shape=(3, 8, 8), num_classes=10), "the student")
    >>> layers.stages, layers.find("blocks.?")
    (('stage1', 'stage2', 'stage3'), ['blocks.0', 'blocks.1', 'blocks.2', 'blocks.3', 'blocks.4', 'blocks.5'])
    >>> layers.find("stage4")
    Traceback (most recent call last):
    instar.errors.MismatchError: the student has no layer 'stage4'; the nearest are 'stage3', 'stage2', 'stage1'; \
instar layers lists all.
    """

    modules: Mapping[str, nn.Module]
    network: nn.Module

    @classmethod
    def of(cls, network: nn.Module, who: str) -> Layers:
        """Return the layers of a network, without those of its `Normalised` wrapper."""
        inner = unwrap(network)
        friendly, stages = name_groups(inner)
        found = {**name_modules(inner), **friendly}
        return cls(tuple(found), stages, who, found, inner)

    def select(self, names: Collection[str]) -> dict[str, nn.Module]:
        """Return the modules of some names, of which some may ask for gradients."""
        return {
            name: self.network if name == GRADIENT + INPUTS else self.modules[name.removeprefix(GRADIENT)]
            for name in names
        }


def name_groups(network: nn.Module) -> tuple[dict[str, nn.Module], tuple[str, ...]]:
    """Return the friendly names of an `Architecture` with the module that ends each group, and the names of its stages.

    >>> name_groups(nn.Linear(2, 2))
    ({}, ())
    """
    if not isinstance(network, Architecture) or not network.is_built:
        return {}, ()
    groups = network.groups()
    logits = groups[-1][0] if groups else ""  # the last group returns the logits, which are no feature
    found = {name: module for name, module in groups if name != logits}  # modules may share a name: the last one counts
    return found, find_stages(found)


def find_stages(names: Collection[str]) -> tuple[str, ...]:
    """Return those names that are of stages.

    >>> find_stages(["stem", "stage1", "stage2"])
    ('stage1', 'stage2')
    """
    return tuple(name for name in names if fnmatchcase(name, "stage[0-9]*"))


def name_modules(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules inside a network by their dotted names; a module under several names has all of them.

    >>> list(name_modules(nn.Sequential(nn.ReLU(), nn.ReLU())))
    ['0', '1']
    """
    return {name: module for name, module in network.named_modules(remove_duplicate=False) if name}


def quote_names(names: Collection[str]) -> str:
    """Return names in quotes, the first dozen of them.

    >>> quote_names(["a", "b"])
    "'a', 'b'"
    """
    shown = ", ".join(f"'{name}'" for name in list(names)[:MAX_LISTED_NAMES])
    return shown + (", ..." if len(names) > MAX_LISTED_NAMES else "")


def expand_braces(pattern: str) -> list[str]:
    """Return the patterns that a pattern with words in braces stands for.

    >>> expand_braces("layer.{0,12}.output"), expand_braces("stage?")
    (['layer.0.output', 'layer.12.output'], ['stage?'])
    """
    before, opened, rest = pattern.partition("{")
    words, closed, after = rest.partition("}")
    if not (opened and closed):
        return [pattern]
    ends = expand_braces(after)
    return [f"{before}{word.strip()}{end}" for word in words.split(",") for end in ends]


def _matches(name: list[str], pattern: list[str]) -> bool:
    return len(name) == len(pattern) and all(map(fnmatchcase, name, pattern))
