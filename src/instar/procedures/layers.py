"""`instar layers`: names, shapes and sizes of the layers that terms of hidden layers can name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from instar.checks import checked
from instar.compute.inputs import Inputs, as_shapes
from instar.errors import ConfigError, nearest
from instar.models.build import MODELS
from instar.models.layer_shapes import Layer, describe_layers
from instar.models.normalised import Normalised
from instar.models.trained import load_model
from instar.runs.documents import ModelFile
from instar.runs.run import Run
from instar.stages.arguments import DataLike, ModelLike
from instar.stages.components import resolve_components
from instar.stages.configuration import configure
from instar.stages.initial import make_initial
from instar.stages.run_data import as_run, read_run_data
from instar.stages.weights import few_inputs


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network.

    Args:
        layers: layers in the order of the network.
    """

    layers: tuple[Layer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {"layers": [asdict(layer) for layer in self.layers]}

    def __str__(self) -> str:
        rows = [("layer", "group", "kind", "output", "parameters", "")]
        for layer in self.layers:
            shape = "" if layer.shape is None else " x ".join(map(str, layer.shape)) or "a number"
            rows.append((layer.name, layer.group or "", layer.kind, shape, f"{layer.parameters:,}", layer.note or ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)


@checked
def layers(
    model: ModelLike | Run | Path,
    *,
    data: DataLike | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
) -> LayerTable:
    """Return the layers of a model, by the names that terms such as `AttentionTransfer` read.

    Args:
        model: run folder; or a model as `train` takes it: a family, its name with arguments, an architecture or a
            module.
        data: result of `load_data`, or its argument, for the shapes; a run folder needs none.
        settings: settings of the data by dotted name, such as `{"data.label_column": "left"}`.
        network: network of a run folder that needs it: a module, or the `package.module:name` of a function that makes
            it.
        trust: allow classes outside Instar.

    Raises:
        ConfigError: when there is no such model, shapes of a family are asked for without data, or there are settings
            for a run folder.
        RunError: when a run folder has no model.

    >>> from instar.models import ResNet
    >>> found = layers(ResNet(8, 4), data="digits")
    >>> [(layer.group, layer.shape) for layer in found.layers if layer.group in ("stage1", "stage3")]
    [('stage1', (4, 8, 8)), ('stage3', (16, 2, 2))]
    """
    folder = model if isinstance(model, Run) or not isinstance(model, str | Path) else Path(model) / "config.json"
    if isinstance(folder, Run) or (isinstance(folder, Path) and folder.is_file()):
        run = as_run(model)
        assert run is not None, "it has a configuration"
        if settings:
            raise ConfigError("settings are those of data for a model that is not trained; a run reads data as it did.")
        return _of_run(run, data, network, trust=trust)
    refuse_other_than_models(model)
    if network is not None:
        raise ConfigError("network= is for a run folder; give the module itself as the model.")
    if data is None:
        if isinstance(model, nn.Module) and any(True for _ in model.parameters()):
            return LayerTable(tuple(describe_layers(model, None)))
        raise ConfigError("the layers of a model that is not trained need data (--data), which give its shapes.")
    given = configure("layers", {"data": data, "model": model}, None, {}, settings, trust=trust)
    components = resolve_components(given.config, given.objects, trust=trust)
    initial = make_initial(
        components.config, components.network, components.data, None, None, components.reader,
        trust=trust or given.trust_model,
    )  # fmt: skip
    return LayerTable(tuple(describe_layers(initial.model, initial.probe)))


def refuse_other_than_models(model: object) -> None:
    """Refuse the name of something that has no layers, such as a target store, before data are asked for.

    Raises:
        ConfigError: names the nearest families.
    """
    name = model.get("name") if isinstance(model, Mapping) else getattr(model, "name", model)
    if not isinstance(name, str | Path) or name in MODELS or ":" in str(name):
        return
    if (Path(name) / "config.json").is_file():
        raise ConfigError(f"'{name}' is a run folder, which has its own arguments; leave out those given.")
    if Path(name).exists():
        raise ConfigError(
            f"'{name}' has no layers, because it is no run folder of a network; give one, or a family such as resnet."
        )
    raise ConfigError(f"'{name}' is no run folder, and no family of models; {nearest(str(name), MODELS)}")


def _of_run(run: Run, data: Any, network: nn.Module | str | None, *, trust: bool) -> LayerTable:
    model = load_model(run, trust=trust, network=network)
    return LayerTable(tuple(describe_layers(model, _inputs_of(run, model, data, trust=trust))))


def _inputs_of(run: Run, model: Normalised, data: Any, *, trust: bool) -> Inputs:
    if data is not None:
        return few_inputs(read_run_data(run, data, trust=trust), model.reader)
    if (example := model.reader.make_example()) is not None:
        return example
    described = run.document("model.json", ModelFile)
    shapes, dtype = as_shapes(described.input_shape), described.dtype
    types = dtype if isinstance(dtype, dict) else {}
    if isinstance(shapes, tuple):
        return torch.zeros(2, *shapes, dtype=_as_dtype(dtype if isinstance(dtype, str) else None))
    # zeros will do, because only shapes are read
    return {name: torch.zeros(2, *shape, dtype=_as_dtype(types.get(name))) for name, shape in shapes.items()}


def _as_dtype(name: str | None) -> torch.dtype:
    found = getattr(torch, name, None) if name else None
    return found if isinstance(found, torch.dtype) else torch.float32
