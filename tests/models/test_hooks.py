"""Outputs of hidden layers are those of the call, and nothing of it stays behind."""

import gc
import weakref

import pytest
import torch
from torch import nn

from instar.errors import MismatchError
from instar.models import CNN, MLP, ResNet, WideResNet
from instar.models.hooks import keep_outputs
from instar.models.layer_shapes import describe_layers
from instar.models.named_layers import Layers
from instar.models.normalised import Normalised


def kept(network, *names, inputs=None):
    layers = Layers.of(network, "the student").select(names)
    with keep_outputs(layers, "the student") as found:
        network(torch.zeros(2, 3) if inputs is None else inputs)
    return found


@pytest.mark.parametrize(
    "network",
    [
        ResNet(14, 4, input_shape=(1, 8, 8), num_classes=3),
        WideResNet(10, 1, input_shape=(1, 8, 8), num_classes=3),
        CNN([4, 6], 8, input_shape=(1, 8, 8), num_classes=3),
        MLP([5, 4], input_shape=(1, 8, 8), num_classes=3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_friendly_names_give_the_features_of_an_architecture(network):
    network.eval()
    inputs = torch.randn(2, 1, 8, 8)
    _, wanted = network.features(inputs)
    # two copies of a tensor: a later ReLU in place would change the feature of an earlier layer
    found = kept(network, *wanted, inputs=inputs)
    torch.testing.assert_close(found, wanted)


def test_dotted_names_are_those_inside_the_normalised_network():
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))
    model = Normalised(network, torch.zeros(1), torch.ones(1))
    assert list(Layers.of(model, "it").modules) == ["0", "1", "1.0", "1.1"]
    assert kept(model, "1.0")["1.0"].shape == (2, 4)
    assert Layers.of(model, "it").find("1.*") == ["1.0", "1.1"]
    assert Layers.of(model, "it").find("[01]") == ["0", "1"]


def test_the_nearest_names_are_suggested():
    layers = Layers.of(ResNet(14, input_shape=(1, 8, 8), num_classes=3), "the teacher")
    with pytest.raises(MismatchError, match=r"has no layer 'stag2'; the nearest are 'stage2'.*instar layers"):
        layers.find("stag2")
    with pytest.raises(MismatchError, match=r"no layer 'encoder\.\*'; it has 'stem', 'blocks'"):
        layers.find("encoder.*")


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(self.layer(inputs))


class Pair(nn.Module):
    def forward(self, inputs):
        return inputs, inputs


class Alone(nn.Module):
    def forward(self, inputs):
        return (inputs + 1,)


class Unpacked(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, inputs):
        return self.layer(inputs)[0]


class Fails(nn.Module):
    def forward(self, inputs):
        raise ValueError("it fails")


@pytest.mark.parametrize(
    ("network", "name", "sentence"),
    [
        (Twice(), "layer", "calls its layer 'layer' twice"),
        (Twice(), "unused", "does not call its layer 'unused'"),
        (Unpacked(Pair()), "layer", "must return one tensor, got a tuple with 2 tensors"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True)), "0", "changes the output of '0' in place"),
    ],
)
def test_what_is_not_one_tensor_is_refused(network, name, sentence):
    with torch.no_grad(), pytest.raises(MismatchError, match=sentence):
        kept(network, name)
    assert not any(module._forward_hooks for module in network.modules())


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.twice, self.layer, self.pair, self.codes = nn.Linear(3, 3), nn.Linear(3, 5), Pair(), Codes()

    def forward(self, inputs):
        found = self.layer(self.twice(self.twice(inputs)))
        self.pair(found), self.codes(found)
        return found


class Codes(nn.Module):
    def forward(self, inputs):
        return inputs.argmax(1, keepdim=True)


def test_layers_are_listed_with_their_shapes_and_why_terms_cannot_read_some():
    model = Normalised(Several(), torch.zeros(1), torch.ones(1))
    found = {
        layer.name: (layer.shape, layer.parameters, layer.note) for layer in describe_layers(model, torch.zeros(2, 3))
    }
    assert found == {
        "twice": ((3,), 12, "called more than once"),
        "layer": ((5,), 20, None),
        "pair": (None, 0, "returns a tuple"),
        "codes": ((1,), 0, "returns int64"),
    }
    # what is listed as readable is what a term can read
    assert kept(model, "layer")["layer"].shape[1:] == found["layer"][0]


def test_a_tuple_of_one_tensor_is_that_tensor():
    assert torch.equal(kept(Unpacked(Alone()), "layer")["layer"], torch.ones(2, 3))


def test_an_error_leaves_no_hooks():
    network = nn.Sequential(nn.Linear(3, 3), Fails())
    with pytest.raises(ValueError, match="it fails"):
        kept(network, "0")
    assert not any(module._forward_hooks for module in network.modules())


def test_nothing_refers_to_the_outputs_after_the_call():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    gc.collect()
    gc.disable()  # so that a cycle would keep them
    try:
        found = kept(network, "0")
        reference = weakref.ref(found["0"])
        del found
        assert reference() is None
        gone = weakref.ref(network)
        del network
        assert gone() is None
    finally:
        gc.enable()
