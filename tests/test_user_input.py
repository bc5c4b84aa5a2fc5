"""What users write: settings, files, expressions and arguments of a wrong kind or size."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instar.checks import Count, checked
from instar.config import DataConfig, RunConfig, TrainingConfig, validate
from instar.data import Crop, Shift
from instar.errors import ConfigError, InstarError
from instar.models import CNN, LSTM, MLP, DenseNet, ResNet, build_network, describe_model
from instar.nested import parse_assignment, read_yaml
from instar.objectives import DecoupledKD, HardLabels, SoftTargets, parse_objective
from instar.paths import local_path

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        "a: " + "[" * 3000,
        "a: " + "[" * 3000 + "]" * 3000,
        LAUGHS,
        "a: &a [*a]",
        "a: 1\na: 2",
        "a: 2024-01-01",
        "a: !!binary aGk=",
        "a: !!python/object:os.system x",
        "a: .nan",
        "a: 1e400",
        "x" * (1 << 21),
        "a: {" + ", ".join(f"k{n}: 1" for n in range(11_000)) + "}",
    ],
)
def test_a_file_that_no_configuration_is_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not YAML: ") as refused:
        read_yaml(path)
    assert len(str(refused.value)) < 900


def test_a_few_aliases_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: *a\n")
    assert read_yaml(tmp_path / "c.yaml") == {"a": {"x": 1}, "b": {"x": 1}}
    with pytest.raises(ConfigError, match="is not YAML: it has more than 1 MiB"):
        read_yaml("/dev/zero")


@pytest.mark.parametrize("text", [".a=1", "a..b=1", ".".join(["a"] * 3000) + "=1", "a=" + "[" * 3000, "a=.nan", "a"])
def test_an_assignment_that_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TrainingConfig, {"epochs": True}),
        (TrainingConfig, {"learning_rate": True}),
        (TrainingConfig, {"epochs": 10**12}),
        (TrainingConfig, {"batch_size": 2**70}),
        (TrainingConfig, {"milestones": [True]}),
        (TrainingConfig, {"ema": 10**400}),
        (DataConfig, {"source": "digits", "image_size": [True, 2]}),
        (DataConfig, {"source": "digits", "split_seed": 2**63}),
        (RunConfig, {"data": {"source": "x"}, "model": {"name": "mlp", "arguments": {"a": float("nan")}}}),
        (RunConfig, {"data": {"source": "x"}, "model": {"name": "mlp", "arguments": {"a": {1, 2}}}}),
        (RunConfig, {"data": {"source": "x"}, "model": {"name": "mlp"}, "seed": 2**60}),
        (RunConfig, {"data": {"source": "x"}, "model": {"name": "mlp"}, "store": {"temperature": 1e300}}),
        (RunConfig, {"data": {"source": "x"}, "model": {"name": "mlp"}, "training": "yes"}),
    ],
)
def test_a_setting_of_a_wrong_kind_or_size_is_refused(kind: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        validate(kind, values)


@pytest.mark.parametrize(
    "text",
    [
        "SoftTargets(1e300)",
        "SoftTargets(1e-300)",
        "SoftTargets(1e400)",
        "SoftTargets(True)",
        "SoftTargets('4')",
        "SoftTargets([1])",
        "SoftTargets(None)",
        "SoftTargets(" + "9" * 400 + ")",
        "1*" * 2000 + "HardLabels()",
        "1*" * 500 + "HardLabels()",
        "1e39 * HardLabels()",
        "True * HardLabels()",
        "1e400 * HardLabels()",
        "HardLabels(1)",
        "HardLabels(-1)",
        "HardLabels('x')",
        "DecoupledKD(alpha=1e300)",
        "DecoupledKD(beta=-1)",
        "DecoupledKD(temperature=1e30)",
        "Standardised(3)",
        "UnlabelledSoftTargets(1e300)",
        "PermutedDarkKnowledge(3)",
        "HardLabels(\0)",
        "HardLabels()" + " + HardLabels()" * 400,
        "\udcff",
        "1j * HardLabels()",
    ],
)
def test_an_objective_of_absurd_numbers_or_words_is_one_sentence(text: str) -> None:
    with pytest.raises(InstarError) as refused:
        parse_objective(text)
    assert len(str(refused.value)) < 900


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLP(["a"]),
        lambda: MLP([0]),
        lambda: MLP([-1]),
        lambda: MLP([1.5]),
        lambda: MLP([True]),
        lambda: MLP("ab"),
        lambda: MLP(8),
        lambda: MLP([8], dropout="x"),
        lambda: MLP([8], dropout=float("nan")),
        lambda: MLP([8], 1.0),
        lambda: CNN([0]),
        lambda: CNN(hidden=2**40),
        lambda: ResNet(float("nan")),
        lambda: ResNet(10**9 + 2),
        lambda: LSTM(layers=10**9),
        lambda: DenseNet(units=[10**9]),
        lambda: Shift("a"),
        lambda: Shift(2**40),
        lambda: Crop(mode=3),
        lambda: HardLabels("x"),
        lambda: SoftTargets(None),
        lambda: DecoupledKD("a"),
    ],
)
def test_a_constructor_refuses_a_wrong_kind_or_size(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_numbers_of_other_kinds_become_python_numbers_where_they_say_the_same() -> None:
    model = MLP(np.array([8, 4]), dropout=np.float32(0.5))
    assert model.arguments == {"widths": [8, 4], "dropout": 0.5, "input_dropout": 0.0}
    assert all(type(width) is int for width in model.widths)
    assert MLP([8.0]).widths == [8]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"widths": [2**31 - 1] * 3}, "parameters or more; this machine has no room"),
        ({"widths": [1] * 100_000}, "more than 10,000 tensors of parameters"),
    ],
)
def test_a_network_that_fits_no_machine_is_refused_before(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_network(describe_model("mlp").model_copy(update={"arguments": arguments}), (1, 8, 8), 10, trust=False)


@pytest.mark.parametrize(
    "path",
    [
        "",
        " ",
        "s3://bucket/run",
        "gs://b",
        "s3:/b",
        "file:///x",
        "a\0b",
        "a\nb",
        "\udcff",
        "x" * 300,
        "a/" * 4000,
        3,
        None,
        b"x",
    ],
)
def test_what_is_no_local_path_is_refused(path: object) -> None:
    with pytest.raises(ConfigError, match=r"^out must "):
        local_path(path, "out")


@pytest.mark.parametrize("path", ["runs/a", "./s3:/b", "C:/x", "/a b/ü", Path("x"), "a:b"])
def test_a_local_path_stays_as_it_is(path: str | Path) -> None:
    assert local_path(path) == Path(path)


def test_arguments_of_a_function_are_checked_by_their_annotations() -> None:
    @checked
    def verb(data: object, *, epochs: Count = 1, rates: Sequence[float] = (), jobs: int | str = 1, **more: int) -> Any:
        return epochs, rates, jobs, more

    assert verb(None, epochs=2.0, rates=np.array([1.5]), jobs="ray", x="unchecked") == (
        2,
        [1.5],
        "ray",
        {"x": "unchecked"},
    )
    for name, wrong in (("epochs", "3"), ("epochs", 0), ("rates", [True]), ("rates", "ab"), ("jobs", 1.5)):
        with pytest.raises(ConfigError, match=f"^{name} must be "):
            verb(None, **{name: wrong})
