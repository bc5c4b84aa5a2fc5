"""Teachers that were trained elsewhere, by name, with weights in a file and a reader of their own."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import instar as package
from instar.data import Loader, load_data
from instar.errors import ConfigError, MismatchError
from instar.importing import TypedName
from instar.models.readers import Pixels
from instar.runs.run import Run
from instar.teachers import ForeignTeacher, as_teacher

NETWORKS = """
from torch import nn

class Small(nn.Module):
    def __init__(self, channels=4, classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.last = nn.Linear(channels, classes)

    def forward(self, x):
        assert x.shape[2:] == (12, 12)
        return self.last(self.norm(self.conv(x)).relu().mean((2, 3)))

def make(channels=4):
    return Small(channels)
"""

READER = "Pixels(12, mean=[0.5, 0.4, 0.3], std=[0.2, 0.25, 0.3])"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes of pictures, dark and bright, 16 x 16 pixels in colour."""
    from PIL import Image

    draws = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 8)):
        for label, name in enumerate(("bright", "dark")):
            (folder := tmp_path / "pictures" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 120, (16, 16, 3)) + 100 * (1 - label)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a user's, in the working directory, with the weights of a trained network in files."""
    (tmp_path / "foreign_nets.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "foreign_nets", raising=False)
    import foreign_nets

    torch.manual_seed(0)
    network = foreign_nets.Small(channels=6)
    network.norm.running_mean.uniform_(-1, 1)
    torch.save(network.state_dict(), "net.pt")
    torch.save({"epoch": 3, "model": network.state_dict(), "optimiser": {"lr": 0.1}}, "checkpoint.pth")
    save_file(network.state_dict(), "net.safetensors")
    torch.save(nn.DataParallel(network).state_dict(), "parallel.pt")
    return network.eval()


@pytest.mark.parametrize("file", ["net.pt", "net.safetensors", "checkpoint.pth", "parallel.pt"])
@pytest.mark.parametrize("name", ["foreign_nets:Small", "foreign_nets:make"])
def test_it_is_the_network_of_the_file_behind_its_reader(networks, pictures, file, name):
    made = as_teacher(ForeignTeacher(TypedName(name), {"channels": 6}, file, READER))
    batch = Loader(load_data(pictures).train, 5, seed=0).batch(0)
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.25, 0.3])[:, None, None]
    wanted = networks((Pixels(12)(batch.inputs) / 255 - mean) / std)
    torch.testing.assert_close(made.targets(batch).logits(), wanted, rtol=1e-5, atol=1e-5)


def test_a_file_teaches_a_student_of_another_size_by_one_command(instar, networks, pictures):
    teacher = ["--teacher", "foreign_nets:Small", "--teacher-arg", "channels=6", "--teacher-weights", "net.pt"]
    teacher += ["--teacher-reader", READER]
    student = ["--model", "mlp", "--arg", "widths=[8]", "--reader", "Pixels(8)", "--epochs", "2"]
    command = ["distill", pictures, *teacher, *student, "--out", "student"]
    code, _, err = instar(*command)
    assert code == 0, err
    run = Run("student")
    weights = run.weights.read_bytes()
    (recorded,) = run.config["teachers"]
    assert recorded.startswith("ForeignTeacher('foreign_nets:Small', arguments={'channels': 6}, weights='net.pt', ")
    # the same in Python, as arguments and as one value, which are the same run
    named = {"teacher_arguments": {"channels": 6}, "teacher_weights": "net.pt", "teacher_reader": READER}
    model = {"name": "mlp", "arguments": {"widths": [8]}}
    settings: dict[str, Any] = {"epochs": 2, "reader": "Pixels(8)", "trust": True, "show": False}
    one = ForeignTeacher("foreign_nets:Small", {"channels": 6}, "net.pt", READER)
    assert str(one) == recorded
    for teacher, parts in (("foreign_nets:Small", named), (one, {}), (recorded, {})):
        package.distill(str(pictures), teacher, model, out="student", **parts, **settings)
        assert run.weights.read_bytes() == weights
    # by hand: the module itself
    by_hand = package.Module(networks, reader=READER)
    again = package.distill(str(pictures), by_hand, model, out="by-hand", epochs=2, reader="Pixels(8)", show=False)
    assert again.weights.read_bytes() == weights
    code, _, err = instar(*command)  # complete, so it only tells
    assert code == 0, err
    save_file({name: value + 1 for name, value in torch.load("net.pt").items()}, "net2.safetensors")
    code, _, err = instar(*[word if word != "net.pt" else "net2.safetensors" for word in command])
    assert code == 2
    assert "teacher" in err
    code, _, err = instar(*[word if word != READER else "Pixels(12)" for word in command])
    assert code == 2
    assert "teacher" in err


def test_named_classes_of_a_module_are_matched_with_those_of_the_data(instar, networks, pictures):
    networks.last.weight.data, networks.last.bias.data = (
        networks.last.weight.data.flip(0),
        networks.last.bias.data.flip(0),
    )
    torch.save(networks.state_dict(), "flipped.pt")
    teacher = ["--teacher", "foreign_nets:Small", "--teacher-arg", "channels=6", "--teacher-reader", READER]
    student = ["--model", "mlp", "--arg", "widths=[8]", "--epochs", "1"]
    runs = {"net.pt": "[bright, dark]", "flipped.pt": "[dark, bright]"}
    for file, classes in runs.items():
        named = ["--teacher-weights", file, "--teacher-classes", classes]
        code, _, err = instar("distill", pictures, *teacher, *named, *student, "--out", f"of-{file}")
        assert code == 0, err
    assert Run("of-net.pt").weights.read_bytes() == Run("of-flipped.pt").weights.read_bytes()
    by_hand = {"teacher_classes": ["dark", "bright"], "teacher_reader": READER}
    model = {"name": "mlp", "arguments": {"widths": [8]}}
    again = package.distill(str(pictures), networks, model, out="by-hand", epochs=1, show=False, **by_hand)
    assert again.weights.read_bytes() == Run("of-net.pt").weights.read_bytes()
    for classes, said in (
        ("[dark, bright, red]", "returns 2 logits, and 3 names of its classes are given: dark, bright, red"),
        ("[dark, light]", "The teacher has dark, light; the data have bright, dark"),
        ("dark,bright", "must be a list of different names, such as [dog, cat], got 'dark,bright'"),
    ):
        named = ["--teacher-weights", "net.pt", "--teacher-classes", classes]
        code, _, err = instar("distill", pictures, *teacher, *named, *student, "--out", "no")
        assert code == 2, err
        assert said in err


def test_grey_images_for_a_network_of_rgb_images_name_the_setting(instar, networks, tmp_path):
    from PIL import Image

    for name, grey in (("bright", 200), ("dark", 20)):
        (folder := tmp_path / "grey" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (12, 12), grey + number).save(folder / f"{number}.png")
    small = ["--model", "foreign_nets:Small", "--epochs", "1"]
    teacher = ["--teacher", "foreign_nets:Small"]
    for words in (
        ["train", *small],
        ["train", *small, "--reader", READER],
        ["distill", *teacher, "--model", "mlp", "--arg", "widths=[4]"],
        ["distill", *teacher, "--teacher-reader", READER, "--model", "mlp", "--arg", "widths=[4]"],
    ):
        verb, *others = words
        # its argument `classes=2` is their number, and gets it
        command = [verb, "grey", "--set", "data.test=0.25", *others, "--epochs", "1", "--out", "run"]
        code, _, err = instar(*command)
        assert code == 2
        assert "; set data.channels=3 to read all images as RGB." in err
    code, _, err = instar(*command, "--set", "data.channels=3")
    assert code == 0, err


def test_the_other_verbs_take_its_parts_too(instar, networks, pictures):
    teacher = ["--teacher", "foreign_nets:make", "--teacher-arg", "channels=6", "--teacher-weights", "net.pt"]
    teacher += ["--teacher-reader", READER, "--teacher-classes", "[dark,bright]"]
    student = ["--model", "mlp", "--arg", "widths=[4]", "--epochs", "1"]
    for command in (
        ["label", pictures, *teacher, "--out", "store"],
        ["targets", "verify", "store", *teacher, "--rows", "4"],
        ["train", pictures, *student, "--reader", "Pixels(8)", "--out", "plain"],
        ["evaluate", "plain", *teacher],
        ["tune", pictures, *teacher, *student, "--temperatures", "1,2", "--weights", "0", "--seeds", "2", "--out", "t"],
        [
            "born-again",
            pictures,
            *student,
            "--reader",
            "Pixels(8)",
            "--generations",
            "1",
            "--no-controls",
            "--out",
            "b",
        ],
    ):
        code, out, err = instar(*command)
        assert code == 0, f"{command}: {err}"
        if command[0] == "evaluate":
            assert "agreement" in out
    assert Run("b/generation-1").config["reader"] == "Pixels(8)"


def test_what_does_not_fit_is_refused_in_a_sentence(networks, pictures):
    class Own(nn.Module):
        pass

    torch.save(networks, "whole.pt")
    torch.save({"a": networks.state_dict(), "b": networks.state_dict()}, "two.pt")
    Path("broken.pt").write_bytes(b"nothing")
    Path("broken.safetensors").write_bytes(b"nothing")
    few = dict(networks.state_dict())
    few["extra"] = few.pop("last.weight")
    torch.save(few, "few.pt")
    torch.save({f"a.{name}": value for name, value in few.items()}, "prefixed.pt")
    arguments = {"channels": 6}
    for given, file, said in (
        ({"channels": 4}, "net.pt", "size mismatch"),
        (arguments, "few.pt", "missing 'last.weight'; unexpected 'extra'"),
        (arguments, "prefixed.pt", r"missing 'conv\.weight'.*; unexpected 'a\.conv\.weight'"),
        (arguments, "two.pt", "several with them: 'a', 'b'"),
        (arguments, "whole.pt", "would run its code"),
        (arguments, "broken.pt", "broken.pt"),
        (arguments, "broken.safetensors", "no file of weights"),
        (arguments, "missing.pt", "cannot be read"),
        ({"chanels": 6}, "net.pt", "did you mean 'channels'"),
    ):
        with pytest.raises((ConfigError, MismatchError), match=said):
            as_teacher(ForeignTeacher("foreign_nets:Small", given, file), trust=True)
    with pytest.raises(ConfigError, match="--trust"):
        as_teacher("foreign_nets:Small")
    with pytest.raises(ConfigError, match="not annotated"):  # a file may name any function
        as_teacher("foreign_nets:make", trust=True)
    with pytest.raises(ConfigError, match="a run folder has its own"):
        package.label(str(pictures), "runs/a", teacher_reader="Pixels(4)", out="no")
    with pytest.raises(ConfigError, match="got 2 teachers"):
        package.label(str(pictures), ["a:B", "a:C"], teacher_weights="net.pt", out="no")
    with pytest.raises(ConfigError, match="did you mean 'teacher_reader'"):
        package.label(str(pictures), "a:B", teacher_raeder="Pixels(4)", out="no")
    assert not Path("no").exists()


def test_several_are_texts_of_their_own(networks, pictures):
    texts = [f"ForeignTeacher('foreign_nets:Small', {{'channels': 6}}, 'net.pt', {READER})", "foreign_nets:Small"]
    with pytest.raises(ConfigError, match="--trust"):
        as_teacher(texts[0])
    one = as_teacher(TypedName(texts[0]))
    assert (
        one.fingerprint()
        == as_teacher(ForeignTeacher("foreign_nets:Small", {"channels": 6}, "net.pt", READER), trust=True).fingerprint()
    )
    data = load_data(pictures)
    texts[1] = texts[0].replace("Pixels(12,", "Pixels((12, 12),")
    run = package.distill(data, texts, package.models.MLP([4]), out="two", epochs=1, trust=True, show=False)
    assert len(run.config["teachers"]) == 2
