"""Weights and buffers of a student of the user's: those that no run can hold, and those whose size inputs decide."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from instar.compute.inputs import Inputs
from instar.compute.packed import are_packed
from instar.config import RunConfig
from instar.data.columns.cell_rows import CELLS
from instar.data.columns.held import INPUTS
from instar.data.columns.sounds import WAVES
from instar.data.columns.split_texts import SPLIT_TEXT
from instar.data.dataset import Data
from instar.errors import ConfigError
from instar.models.copying import copy_network
from instar.models.failures import refuse_failure
from instar.models.fitted import Fitted
from instar.models.modes import in_eval_mode
from instar.models.normalised import Normalised, set_reader, unwrap
from instar.models.probe import NUM_PROBE_INPUTS
from instar.models.readers.as_is import AsIs
from instar.models.readers.cells import Cells
from instar.models.readers.given_words import GivenWords
from instar.models.readers.named import Named
from instar.models.readers.reader import Reader
from instar.models.readers.saved import read_description
from instar.models.readers.words import Words
from instar.runs.run import Run
from instar.seeds import seed_everything


def refuse_odd_weights(network: nn.Module) -> None:
    """Refuse weights that optimisers or the files of a run cannot hold, and a network without trained weights.

    Raises:
        ConfigError: names the weight or buffer.
    """
    state = network.state_dict()  # all that a run folder holds of a network
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"'{name}' of the student is a {type(value).__name__}, and run folders hold tensors alone; return a "
                "tensor from get_extra_state."
            )
        found = _oddity(value)
        if found:
            raise ConfigError(f"'{name}' of the student is {found}; weights and buffers must be dense real tensors.")
    if left := [name for name, _ in network.named_parameters() if name not in state]:
        raise ConfigError(f"'{left[0]}' of the student is not in its state_dict, so a run folder would lack it.")
    if isinstance(unwrap(network), Fitted):  # its buffers are fitted
        return
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError("no weight of the student is trained: all are frozen (requires_grad), or there are none.")


def _oddity(value: Tensor) -> str:
    if value.is_meta:  # what accelerate and transformers make before weights are loaded
        return "on the device 'meta', without values"
    if value.is_quantized:
        return "quantised"
    if value.layout != torch.strided:
        return f"sparse ({str(value.layout).removeprefix('torch.')})"
    return "complex" if value.is_complex() else ""


def size_lazy_layers(network: nn.Module, config: RunConfig, data: Data, reader: Reader) -> nn.Module:
    """Return a network whose lazy layers have sizes; a network without lazy layers is returned as it is.

    A few training inputs determine the sizes. The new weights depend on the run's seed.

    Raises:
        ConfigError: when a weight cannot be stored or trained.
    """
    refuse_odd_weights(network)
    if not is_lazy_network(network):
        return network
    made = copy_network(network).cpu()  # the user's own stays as it was given
    seed_everything(config.seed, "initial weights")
    model = set_reader(made, choose_student_reader(made, reader, data))
    size_layers(model, few_inputs(data, model.reader))
    return made


def is_lazy_network(network: nn.Module) -> bool:
    """Return whether any weight or buffer has no size yet, because its layer has seen no inputs."""
    return any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers()))


def size_layers(model: Normalised, inputs: Inputs) -> None:
    """Size lazy layers for raw inputs `[n, ...]`."""
    with refuse_failure("student", inputs), torch.no_grad(), in_eval_mode(model):
        model(inputs)


def few_inputs(data: Data, reader: Reader) -> Inputs:
    """Return a few raw training inputs of a reader, `[n, ...]`."""
    ids, source = data.train.ids[:NUM_PROBE_INPUTS], data.train.source
    return reader.gather(lambda column: source.take(column, ids))


def few_columns(data: Data) -> dict[str, Inputs]:
    """Return the values of all columns for a few training samples, `[n, ...]`."""
    ids, source = data.train.ids[:NUM_PROBE_INPUTS], data.train.source
    return {name: source.take(name, ids) for name in source.column_names}


def choose_student_reader(network: nn.Module | None, reader: Reader, data: Data, start: Run | None = None) -> Reader:
    """Return the reader of a student, fitted to the training samples, with the names of its inputs if they are several.

    Args:
        network: network that the user gave; one that is `Normalised` has a reader.
        reader: reader of the configuration.
        data: data that it reads.
        start: run whose weights are the initial ones, so that their reader has learnt already; None: there is none.

    Raises:
        ConfigError: when a student would read a column beside the inputs.
    """
    source = data.train.source
    if isinstance(network, Normalised) and reader == AsIs():
        reader = network.reader
    if reader == AsIs() and source.input_texts:
        reader = Words(column=source.input_names[0], pair=next(iter(source.input_names[1:]), None))
    if reader == AsIs() and source.input_names == (SPLIT_TEXT,):
        reader = GivenWords()
    if reader == AsIs() and source.input_names == (CELLS,):
        reader = Cells()
    if reader == AsIs() and source.input_names and not are_packed(source.input_names):
        # by name, so that the run refuses data without one of them; a language model takes single texts too
        reader = Named(**{name: AsIs(name) for name in source.input_names})
    if WAVES in reader.columns:
        source.find(WAVES)  # refuses data without sound
    # frames are made of the sound, so whoever has frames to predict has the sound too
    own = (INPUTS, WAVES, *source.input_names)
    if beside := [column for column in reader.columns if column not in own]:
        raise ConfigError(
            f"a student must read the inputs of the data, because it has nothing else when it is used; its reader "
            f"names the column '{beside[0]}'. Only a teacher may read it; to train on this column, load it as the "
            "inputs."
        )
    learnt = None if start is None else read_description(start).knowledge
    return reader.fitted(data.train) if learnt is None else reader.with_knowledge(learnt)
