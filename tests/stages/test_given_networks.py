"""Networks that are given as objects: trained from where they are, as they are, and found again as they were."""

import json

import pytest
import torch
from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.config import RunConfig, TrainingConfig
from instar.data import Loader, load_data
from instar.errors import ConfigError, InstarError, MismatchError
from instar.models import MLP, Normalised, describe_model, load_model, statistics
from instar.procedures.correct_bias import correct_bias
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.export import export
from instar.procedures.inspect import inspect
from instar.procedures.label import label
from instar.procedures.load import load
from instar.procedures.train import train
from instar.runs.files import read_json
from instar.runs.run import Run
from instar.stages.components import GivenObjects
from instar.stages.initial import make_initial
from instar.stages.stage import Stage
from instar.teachers import Module

DIGITS = load_data("digits", subset=150)
PARAMETRISED = nn.utils.parametrizations


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *(layer() for layer in layers))


def linear():
    return nn.Linear(64, 10)


def fitted(given, out, **settings):
    return train(DIGITS, given, out=out, **{"epochs": 1, "batch_size": 32} | settings)


# Modes


def test_layers_given_in_eval_mode_stay_in_it_and_stderr_says_so(tmp_path, capsys):
    given = network(lambda: nn.BatchNorm1d(64), lambda: nn.Dropout(0.5), linear)
    given[1].eval()
    before = {name: value.clone() for name, value in given[1].named_buffers()}
    run = fitted(given, tmp_path / "run", ema=0.5)
    assert "layers that were given in eval mode stay in it: 1." in capsys.readouterr().err
    found = dict(run.model.network[1].named_buffers())
    assert all(torch.equal(value, found[name]) for name, value in before.items())


def test_a_network_given_in_eval_mode_as_a_whole_is_trained_in_train_mode_and_stderr_says_so(tmp_path, capsys):
    given = network(lambda: nn.BatchNorm1d(64), linear).eval()
    run = fitted(given, tmp_path / "run")
    assert "all layers of the student were given in eval mode; they are trained" in capsys.readouterr().err
    assert run.model.network[1].num_batches_tracked == 5
    assert not given.training


def test_frozen_weights_stay_and_statistics_that_move_beside_them_are_named(tmp_path, capsys):
    given = network(lambda: nn.BatchNorm1d(64), linear)
    given[1].requires_grad_(False)
    run = fitted(given, tmp_path / "run", weight_decay=0.1)
    assert torch.equal(run.model.network[1].weight, given[1].weight)
    assert "the weights of 1 are frozen; eval mode would freeze" in capsys.readouterr().err


# Inputs


def test_a_network_that_comes_with_weights_begins_as_the_function_that_it_is(tmp_path):
    given = network(linear)
    told = evaluate(given, DIGITS)
    run = distill(DIGITS, given, given, out=tmp_path / "run", epochs=1, learning_rate=1e-12, objective="SoftTargets(1)")
    assert run.metrics["agreement"] == 1
    assert run.metrics["nll"] == pytest.approx(told["nll"], abs=1e-6)


def test_a_normalised_network_keeps_its_statistics(tmp_path):
    first = train(DIGITS, MLP([8]), out=tmp_path / "first", epochs=1)
    again = fitted(first.model, tmp_path / "again", learning_rate=1e-12)
    assert torch.equal(again.model.mean, first.model.mean)
    assert again.metrics["errors"] == first.metrics["errors"]
    assert Run(tmp_path / "again").config["model"] == first.config["model"]


def test_a_built_architecture_keeps_its_weights(tmp_path):
    built = MLP([8], input_shape=(1, 8, 8), num_classes=10)
    run = fitted(built, tmp_path / "run", learning_rate=1e-12)
    torch.testing.assert_close(dict(run.model.network.named_parameters()), dict(built.named_parameters()))
    assert load_model(Run(tmp_path / "run")).std.tolist() == [1]


def test_a_warm_start_keeps_the_statistics_of_the_run_that_it_starts_from(tmp_path):
    first = train(DIGITS, MLP([8]), out=tmp_path / "first", epochs=1)
    others = load_data("digits", subset=20)
    values = {"data": others.config, "model": describe_model(MLP([8])), "start": str(first.path)}
    config = RunConfig(**values, training=TrainingConfig(epochs=1, learning_rate=1e-12))
    again = Stage(config, tmp_path / "again", GivenObjects(others), show=False).run()
    assert not torch.equal(statistics(others.train)[0], first.model.mean)
    assert torch.equal(again.model.mean, first.model.mean)
    assert again.metrics["errors"] == first.metrics["errors"]


def test_wrapping_a_network_standardises_its_inputs(tmp_path):
    run = fitted(Normalised(network(linear), *statistics(DIGITS.train)), tmp_path / "run")
    assert torch.equal(run.model.mean, statistics(DIGITS.train)[0])


# What a later verb makes of the folder


class Heads(nn.Module):
    """Its shapes do not depend on its arguments, and its last layer hides what lies before it."""

    def __init__(self, heads=1):
        super().__init__()
        self.heads, self.first, self.last = heads, nn.Linear(64, 32), nn.Linear(32, 10)
        nn.init.zeros_(self.last.weight)

    def forward(self, inputs):
        hidden = self.first(inputs.flatten(1)).view(len(inputs), self.heads, -1)
        return self.last(hidden.softmax(-1).flatten(1))


def four_heads() -> nn.Module:
    return Heads(4)


def unannotated():
    return Heads(4)


@pytest.mark.parametrize("given", [lambda: Heads(4), lambda: network(linear)])
def test_a_network_that_its_description_does_not_make_is_asked_for_and_never_guessed(tmp_path, capsys, given):
    given = given()
    run = fitted(given, tmp_path / "run", learning_rate=0.01)
    assert "description does not make it again" in capsys.readouterr().err
    assert read_json(run.path / "model.json")["needs_network"] is True
    with pytest.raises(ConfigError, match=r"was given as a Python object.*give network="):
        load_model(Run(run.path), trust=True)
    again = load_model(Run(run.path), network=given)
    assert torch.equal(again(DIGITS.test.inputs()), run.model(DIGITS.test.inputs()))


def test_a_network_that_its_description_makes_is_made(tmp_path, capsys):
    run = fitted(Heads(), tmp_path / "run")
    assert "description" not in capsys.readouterr().err
    assert "needs_network" not in read_json(run.path / "model.json")
    assert evaluate(str(run.path), DIGITS, trust=True)["errors"] == run.metrics["errors"]


def test_another_network_of_the_same_shapes_is_refused(tmp_path):
    run = fitted(Heads(4), tmp_path / "run", learning_rate=0.01)
    with pytest.raises(MismatchError, match="is not the trained one"):
        load_model(Run(run.path), network=Heads(2))


def test_a_class_that_has_changed_since_is_refused(tmp_path, monkeypatch):
    run = fitted(Heads(), tmp_path / "run", learning_rate=0.01)
    monkeypatch.setattr(Heads, "forward", lambda self, inputs: self.last(self.first(inputs.flatten(1))))
    with pytest.raises(MismatchError, match="is not the trained one"):
        load_model(Run(run.path), trust=True)


def test_a_network_may_be_named_by_the_function_that_makes_it(tmp_path):
    run = train(DIGITS, f"{__name__}:four_heads", out=tmp_path / "run", epochs=1, learning_rate=0.01, trust=True)
    assert evaluate(str(run.path), DIGITS, trust=True)["errors"] == run.metrics["errors"]
    assert load_model(Run(run.path), trust=True).network.heads == 4
    assert load_model(Run(run.path), trust=True, network=f"{__name__}:unannotated").network.heads == 4


def test_a_folder_names_no_function_that_does_not_say_that_it_makes_networks(tmp_path):
    with pytest.raises(ConfigError, match="annotate it"):
        train(DIGITS, f"{__name__}:unannotated", out=tmp_path / "run", epochs=1, trust=True)


def test_a_folder_cannot_have_any_function_called(tmp_path):
    run = fitted(Heads(), tmp_path / "run")
    description = read_json(run.path / "model.json") | {"name": "shutil:rmtree", "arguments": {"path": str(tmp_path)}}
    (run.path / "model.json").write_text(json.dumps(description))
    with pytest.raises(InstarError):
        load_model(Run(run.path), trust=True)
    assert run.path.is_dir()


def test_an_older_folder_without_a_probe_still_opens_and_stderr_says_what_is_not_known(tmp_path, capsys):
    run = fitted(Heads(), tmp_path / "run")
    (run.path / "probe.safetensors").unlink()
    assert load_model(Run(run.path), trust=True)(DIGITS.test.inputs()).shape == (len(DIGITS.test), 10)
    assert "has no probe to verify that" in capsys.readouterr().err


class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.LazyLinear(10))


def test_a_class_with_lazy_layers_is_made_and_made_again(tmp_path):
    run = train(DIGITS, f"{__name__}:Lazy", out=tmp_path / "run", epochs=1, trust=True)
    assert torch.equal(run.model.mean, statistics(DIGITS.train)[0])
    assert evaluate(str(run.path), DIGITS, trust=True)["errors"] == run.metrics["errors"]


# Odd ones


class Returns(nn.Module):
    """Returns what a function makes of its logits."""

    def __init__(self, change):
        super().__init__()
        self.layer, self.change, self.unused = linear(), change, nn.Linear(1, 1)

    def forward(self, inputs):
        return self.change(self.layer(inputs.flatten(1)))


class Locked(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.words = (word for word in "a generator")


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


class Forgets(nn.Linear):
    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[prefix + "weight"] = self.weight.detach()


class Changes(nn.Linear):
    """Changes in forward what `change` says."""

    def __init__(self, change, buffer=None, *, persistent=False):
        super().__init__(64, 10)
        self.register_buffer("kept", buffer, persistent=persistent)
        self.change, self.last = change, None

    def forward(self, inputs):
        logits = super().forward(inputs)
        return self.change(self, logits) if self.training else logits if self.kept is None else logits + self.kept.sum()


def made(layer, logits):
    layer.made = nn.Parameter(torch.ones(10))
    return logits * layer.made


def grown(layer, logits):
    layer.kept = torch.cat([layer.kept, logits.detach()])
    return logits


def moved(layer, logits):
    layer.kept = layer.kept + 1
    return logits


def chained(layer, logits):
    before, layer.last = layer.last, logits
    return logits if before is None else logits + before


def patched():
    given = Returns(nn.Identity())
    given.forward = lambda inputs: given.layer(inputs.flatten(1))  # of the original, whoever is asked
    return given


def tied():
    given = network(lambda: nn.Linear(64, 64), lambda: nn.Linear(64, 64), linear)
    given[2].weight = given[1].weight
    return given


def hooked():
    given = network(linear)
    given[1].register_forward_hook(lambda module, inputs, output: output * 2)
    return given


def of_inference():
    with torch.inference_mode():
        return network(linear)


TRAINED = {
    "weight_norm": lambda: network(lambda: nn.utils.weight_norm(linear())),
    "spectral_norm": lambda: network(lambda: nn.utils.spectral_norm(linear())),
    "parametrised": lambda: network(lambda: PARAMETRISED.weight_norm(linear())),
    "orthogonal": lambda: network(lambda: PARAMETRISED.orthogonal(linear())),
    "lazy": lambda: network(lambda: nn.LazyLinear(16), nn.LazyBatchNorm1d, lambda: nn.LazyLinear(10)),
    "tied": tied,
    "hooked": hooked,
    "float64": lambda: network(linear).double(),
    "bfloat16": lambda: network(linear).bfloat16(),
    "script": lambda: torch.jit.script(network(linear)),
    "inference": of_inference,
    "dict": lambda: Returns(lambda logits: {"logits": logits, "hidden": logits[:, :3]}),
    "tuple": lambda: Returns(lambda logits: (logits, logits.mean())),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TRAINED)
def test_an_odd_network_is_trained_and_its_folder_gives_its_metrics_again(tmp_path, kind):
    given = TRAINED[kind]()
    run = fitted(given, tmp_path / "run", ema=0.5)
    assert "notes" not in run.result
    assert read_json(run.path / "cost.json")["multiply_adds"]
    again = load_model(Run(run.path), network=TRAINED[kind]())
    assert evaluate(Module(again), DIGITS)["errors"] == run.metrics["errors"]


REFUSED = {
    "extra state": (lambda: network(lambda: Extra(64, 10)), "is a dict, and run folders hold tensors alone"),
    "uncopiable": (lambda: network(lambda: Locked(64, 10)), "cannot copy the module"),
    "frozen": (lambda: network(linear).requires_grad_(False), "no weight of the student is trained"),
    "no weights": (network, "no weight of the student is trained"),
    "complex": (lambda: network(lambda: nn.Linear(64, 10, dtype=torch.complex64)), "is complex"),
    "sparse": (lambda: network(lambda: nn.Embedding(8, 3, sparse=True)), "cannot take inputs of shape"),
    "[B, 1, C]": (lambda: Returns(lambda logits: logits[:, None]), r"logits of shape \[2, 1, 10\].*expected \[2, 10\]"),
    "[B, C, 1, 1]": (lambda: Returns(lambda logits: logits[..., None, None]), r"expected \[2, 10\]"),
    "scalar": (lambda: Returns(lambda logits: logits.sum()), r"logits of shape \[\]"),
    "words": (lambda: Returns(lambda logits: "logits"), "must return logits"),
    "two tensors": (lambda: Returns(lambda logits: (logits, logits)), "must return logits"),
    "detached": (lambda: Returns(lambda logits: logits.detach()), "cannot be trained"),
    "no state": (lambda: network(lambda: Forgets(64, 10)), "is not in its state_dict"),
    "another's layers": (patched, "depend on no weight of the student"),
    "made in forward": (lambda: network(lambda: Changes(made)), r"makes, removes or resizes '1\.made' of the student"),
    "grown": (lambda: network(lambda: Changes(grown, torch.zeros(0, 10), persistent=True)), r"resizes '1\.kept'"),
    "moved outside": (lambda: network(lambda: Changes(moved, torch.zeros(10))), "is not in its state_dict"),
    "keeps its graph": (lambda: network(lambda: Changes(chained)), "backward through the graph a second time"),
    "arguments": (lambda: nn.Bilinear(64, 64, 10), "cannot take inputs of shape"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_network_that_cannot_be_trained_is_refused_before_the_first_step(tmp_path, kind):
    make, message = REFUSED[kind]
    with pytest.raises(InstarError, match=message) as refused:
        fitted(make(), tmp_path / "run")
    assert len(str(refused.value)) < 400
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["weight_norm", "parametrised"])
@pytest.mark.filterwarnings("ignore")
def test_norms_of_computed_weights_are_not_bounded_without_a_word(tmp_path, kind):
    with pytest.raises(ConfigError, match=r"the weight of 'network\.1' is computed from others"):
        fitted(TRAINED[kind](), tmp_path / "run", max_norm=1.0)


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 4, "micro_batches": 4}])
@pytest.mark.parametrize("given", [lambda: network(lambda: nn.BatchNorm1d(64), linear), Heads])
def test_batch_statistics_of_a_single_sample_are_refused_and_nothing_else_is(tmp_path, settings, given):
    few = load_data("digits", subset=9)
    given = given()
    if isinstance(given, Heads):
        assert train(few, given, out=tmp_path / "run", epochs=1, **settings).complete
        return
    with pytest.raises(MismatchError, match="cannot be trained on a single sample"):
        train(few, given, out=tmp_path / "run", epochs=1, **settings)


def test_weights_that_the_logits_do_not_depend_on_are_named(tmp_path, capsys):
    fitted(Returns(nn.Identity()), tmp_path / "run")
    assert "the logits do not depend on unused.weight, unused.bias" in capsys.readouterr().err


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("given", [lambda: MLP([8]), lambda: network(linear)])
def test_training_where_gradients_are_off_is_training(tmp_path, off, given):
    on = fitted(given(), tmp_path / "on")
    with off():
        found = fitted(given(), tmp_path / "off")
    assert found.metrics == on.metrics


def test_a_teacher_that_changes_its_inputs_is_refused(tmp_path):
    class InPlace(nn.Module):
        def forward(self, inputs):
            return inputs.mul_(0.5).flatten(1)[:, :10]

    with pytest.raises(MismatchError, match="the teacher changes its inputs in place"):
        distill(DIGITS, InPlace(), MLP([8]), out=tmp_path / "run", epochs=1)


def test_a_failed_measurement_is_a_note_and_never_costs_a_run(tmp_path, capsys, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("there is no clock")

    monkeypatch.setattr("instar.stages.finish.write_cost", fails)
    monkeypatch.setattr("instar.stages.finish.keep_examples", fails)
    run = distill(DIGITS, network(linear), MLP([8]), out=tmp_path / "run", epochs=1)
    assert [note.rpartition(" is missing: ")[2] for note in run.result["notes"]] == ["there is no clock."] * 2
    assert "instar: The cost is missing: there is no clock." in capsys.readouterr().err


def test_every_verb_that_loads_a_run_takes_its_network_and_asks_for_it(tmp_path):
    run = fitted(Heads(4), tmp_path / "run", learning_rate=0.01)
    folder, named = str(run.path), {"network": f"{__name__}:unannotated", "trust": True}
    verbs = {
        "evaluate": lambda **given: evaluate(folder, DIGITS, **given),
        "load": lambda **given: load(folder, **given),
        "export": lambda **given: export(folder, "safetensors", data=DIGITS, **given),
        "correct_bias": lambda **given: correct_bias(folder, ["0"], out=tmp_path / "b", offset=1, data=DIGITS, **given),
        "label": lambda **given: label(DIGITS, folder, out=tmp_path / "store", show=False, **given),
        "distill": lambda **given: distill(DIGITS, folder, MLP([4]), out=tmp_path / "s", epochs=1, **given),
    }
    for verb in verbs.values():
        with pytest.raises(ConfigError, match="give network="):
            verb(trust=True)
        verb(**named)
    assert evaluate(folder, DIGITS, **named)["errors"] == run.metrics["errors"]
    asked = inspect(folder, trust=True)
    assert asked.state == "complete"
    assert "give network=" in asked.notes[0]
    assert not inspect(folder, **named).notes
    with pytest.raises(ConfigError, match="give network="):
        evaluate(str(tmp_path / "b"), DIGITS, trust=True)
    with pytest.raises(ConfigError, match=r"network= is for a run folder, got Linear\."):
        evaluate(linear(), DIGITS, network=Heads(4))


def test_processes_do_not_wait_for_weights_that_the_logits_do_not_depend_on():
    config = RunConfig(data=DIGITS.config, model=describe_model(Returns(nn.Identity())))
    initial = make_initial(config, Returns(nn.Identity()), DIGITS, None, trust=False)
    accelerator = make_accelerator()
    assert initial.rehearse(Loader(DIGITS.train, 32, seed=0), config.training, accelerator) == [
        "unused.weight",
        "unused.bias",
    ]
    assert accelerator.ddp_handler.find_unused_parameters
