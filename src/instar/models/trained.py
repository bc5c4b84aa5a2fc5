"""Writing and loading of the trained model in a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from instar.compute.inputs import Shapes, as_lists, as_shapes
from instar.config import ModelConfig, validate
from instar.errors import ConfigError, RunError, say, shortened
from instar.importing import LIBRARY_PREFIXES, names_an_import
from instar.models.build import MODELS, build_network
from instar.models.causal_lm import CausalLM
from instar.models.copying import copy_network
from instar.models.normalised import Normalised, unwrap
from instar.models.probe import refuse_another_network
from instar.models.readers.as_is import AsIs
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import Reader, read_shape
from instar.models.readers.saved import read_description, save_knowledge
from instar.models.saved_tokenizer import TOKENIZER_FILE
from instar.models.sizes import refuse_larger
from instar.runs.documents import ModelFile, TokenizerFile
from instar.runs.files import write_json, write_tensors
from instar.runs.run import Run


class TrainedRun(Run):
    """A run folder with its model.

    Args:
        path: path of the folder.
        trust: allow a model class outside `instar.models` to be imported.
        network: a network of the same architecture, if the model was given as a Python object, or its import path.
    """

    def __init__(self, path: str | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> None:
        super().__init__(path)
        self._trust, self.network = trust, network

    @cached_property
    def model(self) -> Normalised:
        """The trained model, in eval mode."""
        return load_model(self, trust=self._trust)


def attach_network(subject: Any, network: nn.Module | str | None, *, trust: bool = False) -> Any:
    """Return a run folder with the network that loading it needs; without `network`, return `subject` unchanged.

    Raises:
        ConfigError: when a network is given for anything but a run folder.
        RunError: when the path is not a run folder.
    """
    if network is None:
        return subject
    if not isinstance(subject, str | Path | Run):
        raise ConfigError(f"network= is for a run folder, got {type(subject).__name__}.")
    return TrainedRun(subject.path if isinstance(subject, Run) else subject, trust=trust, network=network)


def lend_network(member: Any, network: nn.Module | str | None) -> Any:
    """Attach a network to one of several runs, if it needs one or combines runs that may; return others as they are.

    Raises:
        RunError: when the run cannot be read.
    """
    if network is None or not isinstance(member, str | Path | Run):
        return member
    path = member.path if isinstance(member, Run) else Path(member)
    # a network that was attached to this run alone wins over the one for all runs
    if not (path / "config.json").is_file() or (isinstance(member, Run) and network_of(member) is not None):
        return member
    # an ensemble has no model.json, and passes the network on to its members
    has_model = (path / "model.json").is_file()
    needs_network = not has_model or Run(path).document("model.json", ModelFile).needs_network
    return TrainedRun(path, network=network) if needs_network else member


def network_of(run: Run) -> nn.Module | str | None:
    """Return the network that was attached to a run, if any."""
    return run.network if isinstance(run, TrainedRun) else None


def save_model(
    run: Run,
    model: Normalised,
    config: ModelConfig,
    input_shape: Shapes,
    classes: tuple[str, ...],
    *,
    dtype: str | Mapping[str, str] | None = None,
    needs_network: bool = False,
) -> None:
    """Write the weights of a model, and the description to build its network again.

    Args:
        run: run to write to.
        model: model with its weights.
        config: configuration of the network.
        input_shape: shape of one raw input, or of several by the names that the reader of the model gives them.
        classes: class names.
        dtype: type of the raw inputs, such as "uint8", or types by name; None: unknown.
        needs_network: whether the configuration builds another network, so that loading needs the network itself.
    """
    write_tensors(run.weights, model.state_dict())
    description = config.model_dump() | {"input_shape": as_lists(input_shape), "classes": list(classes)}
    # left out where they say nothing, as in the files of older versions
    described = {"dtype": dtype, "needs_network": needs_network, "reader": model.reader != AsIs() and str(model.reader)}
    save_knowledge(run, model.reader)
    if isinstance(model.network, CausalLM) and model.network.tokenizer_files is not None:
        write_json(run.path / TOKENIZER_FILE, {"tokenizer": model.network.tokenizer_files})
    write_json(run.path / "model.json", description | {name: value for name, value in described.items() if value})


def load_model(run: Run, *, trust: bool = False, network: nn.Module | str | None = None) -> Normalised:
    """Return the trained model of a run folder, in eval mode.

    Args:
        run: a run with weights.
        trust: allow a class outside `instar.models` to be imported.
        network: for a run whose model was given as a Python object: a network of the same architecture, which is
            copied, or the `package.module:name` of a class or function that builds one. None: the attached network.

    Raises:
        ConfigError: when the class is not trusted, or the run needs its network and none was given.
        RunError: when weights are missing, truncated, or belong to another network.
        MismatchError: when the network computes other logits than the trained one.
    """
    network = network_of(run) if network is None else network
    tensors, _ = run.tensors(run.weights.name)
    description = read_description(run)
    model = restore_model(tensors, description, str(run.path), trust=trust, network=network)
    if not refuse_another_network(run, model) and network is None and "network" in run.fingerprints:
        say(
            f"instar: the network of '{run.path}' was given as a Python object, and the run has no probe to verify "
            f"that '{shortened(description.name)}' builds it again; if it does not, give network=."
        )
    # the folder of the student or of the data may have gone
    if isinstance(model.network, CausalLM) and (run.path / TOKENIZER_FILE).is_file():
        model.network.tokenizer_files = run.document(TOKENIZER_FILE, TokenizerFile).tokenizer
    return model


def restore_model(
    tensors: Mapping[str, Tensor],
    description: ModelFile,
    where: str,
    *,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> Normalised:
    """Build a model from its description and load weights into it; return it in eval mode.

    Args:
        tensors: weights by name, with mean and std of the inputs.
        description: content of `model.json`.
        where: origin of the weights, for error messages.
        trust: allow a class outside `instar.models` to be imported.
        network: a network of the same architecture, which is copied, or its import path; None: build it.

    Raises:
        ConfigError: when the class is not trusted, or the network is needed and was not given.
        RunError: when the weights belong to another network.
    """
    # a reader of the user's that is not trusted is no damage of the folder
    own = parse_reader(description.reader, trust=trust) if names_an_import(description.reader) else None
    try:
        config = validate(ModelConfig, {"name": description.name, "arguments": description.arguments})
        reader = own or parse_reader(description.reader)
        if description.knowledge is not None:
            reader = reader.with_knowledge(description.knowledge)
        shape = read_shape(reader, as_shapes(description.input_shape))
    except ConfigError as error:
        raise RunError(f"the model described in '{where}' cannot be built: {error}") from None
    if config.name.startswith(LIBRARY_PREFIXES):  # the weights are in the run, so they are not read twice
        config = config.model_copy(update={"arguments": {**config.arguments, "pretrained": False}})
    if network is None and description.needs_network:
        raise ConfigError(
            f"the network of '{where}' was given as a Python object, and '{config.name}' does not build it again; give "
            "network= (--network): the module, or the package.module:name of a function that returns it."
        )
    if isinstance(network, nn.Module):
        made = copy_network(network).cpu()
    elif network is None or isinstance(network, str):
        named = config if network is None else ModelConfig(name=network)
        made = _build_described(
            named, shape, reader, tuple(description.classes), tensors, where, trust=trust, given=network is not None
        )
    else:
        raise ConfigError(f"network= must be a module or its package.module:name, got {type(network).__name__}.")
    # the statistics of the run count, not those of a network that was given with others
    made = unwrap(made)
    _take_dtypes(made, tensors)
    # what is missing here is named by load_state_dict below
    mean, std = tensors.get("mean", torch.zeros(1)), tensors.get("std", torch.ones(1))
    model = Normalised(made, mean, std, reader, _named_statistics(tensors))
    if "output_scale.mean" in tensors:  # of a model that predicts numbers
        model.scale_outputs(0.0, 1.0)
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = shortened(" ".join(str(error).split()), 400)
        raise RunError(f"the weights of '{where}' do not fit its model '{config.name}': {reason}.") from None
    return model.eval()


def _named_statistics(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    # of several inputs: "statistics.NAME.mean" and "statistics.NAME.std"
    names = [key.split(".")[1] for key in tensors if key.startswith("statistics.") and key.endswith(".mean")]
    both = {name: [tensors.get(f"statistics.{name}.{part}") for part in ("mean", "std")] for name in names}
    return {name: (mean, std) for name, (mean, std) in both.items() if mean is not None and std is not None}


def _build_described(
    config: ModelConfig,
    shape: Shapes,
    reader: Reader,
    classes: tuple[str, ...],
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    trust: bool,
    given: bool,
) -> nn.Module:
    def make() -> nn.Module:
        return build_network(config, shape, classes, trust=trust, declared=not given, sizes=reader.sizes())

    if config.name not in MODELS:  # the user trusts this code
        return make()
    refuse_larger(make, tensors, where, config.name)  # the folder may be a stranger's
    try:
        return make()
    except Exception as error:
        if given:  # the user's mistake, and no damage of the folder
            raise
        raise RunError(f"the model described in '{where}' cannot be built: {shortened(error).rstrip('.')}.") from None


def _take_dtypes(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    # load_state_dict rounds values to the dtype of the network: a float64 or bfloat16 network is built as float32
    for name, mine in network.state_dict(keep_vars=True).items():
        theirs = tensors.get(f"network.{name}")
        if isinstance(mine, Tensor) and not is_lazy(mine) and theirs is not None and mine.dtype != theirs.dtype:
            mine.data = mine.data.to(theirs.dtype)
