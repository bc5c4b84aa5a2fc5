"""Configurations: defaults, files, assignments, and the sentence for every wrong setting."""

import json
from pathlib import Path
from typing import get_args

import pytest
import yaml

from instar.cli.settings import WORD_SETTINGS
from instar.config import Config, DataConfig, RunConfig, TrainingConfig, validate
from instar.errors import ConfigError
from instar.nested import flatten, merge_settings, parse_assignment, read_yaml

SMALL = {"data": {"source": "digits"}, "model": {"name": "mlp"}}


def refused(values: dict, message: str, kind: type[Config] = RunConfig) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(kind, values)


def test_defaults_fill_what_is_not_given() -> None:
    config = validate(RunConfig, SMALL)
    assert config.training == TrainingConfig()
    assert (config.data.validation, config.objective, config.seed) == (0.1, "HardLabels()", 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, r"'sed' is not a setting; did you mean 'seed'\?"),
        ({"training": {"epocs": 1}}, r"'training\.epocs' is not a setting; did you mean 'epochs'\?"),
        ({"data": {"source": "x", "subsett": 1}}, r"'data\.subsett' is not a setting; did you mean 'subset'\?"),
        ({"model": {"name": "mlp", "xyz": {}}}, r"'model\.xyz' is not a setting; known are: arguments, name\."),
    ],
)
def test_unknown_keys_get_the_nearest_known_of_their_level(values: dict, message: str) -> None:
    refused(SMALL | values, message)


def test_unknown_keys_below_sections_of_any_kind_get_the_nearest_known() -> None:
    class Outer(Config):
        inner: TrainingConfig | None = None
        listed: tuple[TrainingConfig, ...] = ()

    refused({"listed": [{"momentum": 0.5}, {"momentun": 1}]}, r"'listed\.1\.momentun' is not .* 'momentum'\?", Outer)
    refused({"inner": {"momentun": 1}}, r"'inner\.momentun' is not a setting; did you mean 'momentum'\?", Outer)


def test_missing_fields_are_named() -> None:
    refused({"data": {"source": "digits"}}, r"'model' is required but missing\.")
    refused({"data": {}, "model": {"name": "mlp"}}, r"'data\.source' is required but missing\.")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, r"'epochs': input should be greater than or equal to 1, got 0\."),
        ("epochs", 2.5, r"'epochs': input should be a valid integer.*, got 2\.5\."),
        ("epochs", "many", r"'epochs': input should be a valid integer.*, got 'many'\."),
        ("learning_rate", 0, r"'learning_rate': input should be greater than 0, got 0\."),
        ("learning_rate", float("inf"), r"'learning_rate': input should be a finite number, got inf\."),
        ("learning_rate", "nan", r"'learning_rate': input should be a finite number, got 'nan'\."),
        ("momentum", 1, r"'momentum': input should be less than 1, got 1\."),
        ("weight_decay", -0.1, r"'weight_decay': input should be greater than or equal to 0, got -0\.1\."),
        ("optimiser", "sdg", r"'optimiser': input should be 'sgd' or 'adamw', got 'sdg'\."),
        ("milestones", [1, -1], r"'milestones\.1': input should be greater than or equal to 0, got -1\."),
        ("micro_batches", 200, r"^micro_batches must be at most batch_size \(128\), got 200\.$"),
    ],
)
def test_values_out_of_range_or_type_are_refused(name: str, value: object, message: str) -> None:
    refused({name: value}, message, TrainingConfig)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("validation", 1, r"'validation': input should be less than 1, got 1\."),
        ("keep_fraction", 0, r"'keep_fraction': input should be greater than 0, got 0\."),
        ("drop_labels", 1.1, r"'drop_labels': input should be less than or equal to 1, got 1\.1\."),
        ("subset", 0, r"'subset': input should be greater than or equal to 1, got 0\."),
        ("image_size", [32], r"'image_size\.1' is required but missing\."),
        ("image_size", [32, 0], r"'image_size\.1': input should be greater than or equal to 1, got 0\."),
        ("omit_classes", "cat", r"'omit_classes': input should be a valid tuple, got 'cat'\."),
    ],
)
def test_selections_out_of_range_are_refused(name: str, value: object, message: str) -> None:
    refused({"source": "digits", name: value}, message, DataConfig)


def test_a_section_must_be_a_section() -> None:
    refused(SMALL | {"training": 3}, r"'training': input should be a valid dictionary.*, got 3\.")


def test_a_rule_of_a_section_names_the_section() -> None:
    values = SMALL | {"training": {"batch_size": 2, "micro_batches": 4}}
    refused(values, r"^'training': micro_batches must be at most batch_size \(2\), got 4\.$")


def test_endless_views_cannot_be_remembered() -> None:
    endless = SMALL | {"views": "Flip()", "targets": "memory"}
    refused(endless, r"^targets 'memory' needs num_views when views augment, .*; got num_views none\.$")
    assert validate(RunConfig, endless | {"num_views": 3}).num_views == 3
    assert validate(RunConfig, SMALL | {"targets": "memory"}).targets == "memory"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        validate(RunConfig, SMALL).seed = 3


def test_a_configuration_survives_json_and_yaml() -> None:
    config = validate(
        RunConfig,
        {
            "data": {"source": "a/b", "image_size": [8, 9], "omit_classes": ["3"], "subset": 10},
            "model": {"name": "mlp", "arguments": {"widths": [5, 6], "dropout": 0.5}},
            "teachers": ["runs/a", "runs/b"],
            "training": {"milestones": [1, 2.5], "gradient_clip": 1},
        },
    )
    dumped = config.model_dump(mode="json")
    assert validate(RunConfig, config.model_dump()) == config
    assert validate(RunConfig, json.loads(json.dumps(dumped))) == config
    assert validate(RunConfig, yaml.safe_load(yaml.safe_dump(dumped))) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"the configuration file '.*c\.yaml' is not YAML: "),
        (b"a: 2024-99-99", r"the configuration file '.*c\.yaml' is not YAML: "),
        (b"\x89PNG\xff\xfe", r"the configuration file '.*c\.yaml' is not YAML: "),
        (b"", r"the configuration file '.*c\.yaml' must contain a mapping, got NoneType\."),
        (b"- 1\n- 2", r"the configuration file '.*c\.yaml' must contain a mapping, got list\."),
    ],
)
def test_files_that_hold_no_configuration_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_files_that_are_missing_or_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the configuration file '.*none\.yaml' cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"the configuration file '.*' cannot be read: Is a directory"):
        read_yaml(tmp_path)


def test_a_file_is_read_with_its_numbers_and_letters(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("training:\n  learning_rate: 1e-3\nmodel: {name: mlp, arguments: {p: 5e-1, who: Zoë}}".encode())
    values = read_yaml(path)
    assert values["training"] == {"learning_rate": 0.001}
    assert values["model"]["arguments"] == {"p": 0.5, "who": "Zoë"}


def test_keys_that_are_no_words_are_refused() -> None:
    refused({1: 2, **SMALL}, "'1': keys should be strings")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=3", ["seed"], 3),
        ("training.epochs=3", ["training", "epochs"], 3),
        ("training.learning_rate=1e-3", ["training", "learning_rate"], 0.001),
        ("training.learning_rate=-2.5E+2", ["training", "learning_rate"], -250.0),
        ("model.arguments.widths=[1200, 1e2]", ["model", "arguments", "widths"], [1200, 100.0]),
        ("training.gradient_clip=null", ["training", "gradient_clip"], None),
        ("data.train_on_all=true", ["data", "train_on_all"], True),
        ("data.source=a=b", ["data", "source"], "a=b"),
        ("views=Crop(4) + Flip()", ["views"], "Crop(4) + Flip()"),
        ("data.source=e10", ["data", "source"], "e10"),
    ],
)
def test_assignments_are_read_as_yaml(text: str, path: list[str], value: object) -> None:
    found = parse_assignment(text)
    assert found == (path, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["epochs", "=3", ""])
def test_assignments_need_a_name_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^'{text}' must have the form name=value\.$"):
        parse_assignment(text)


@pytest.mark.parametrize("value", ["[1", "2024-99-99", "{a"])
def test_values_that_cannot_be_read_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^the value of 'a\.b' cannot be read: "):
        parse_assignment(f"a.b={value}")


def test_merge_lays_level_upon_level_and_changes_neither() -> None:
    base, over = {"a": {"b": 1, "c": {"d": 2}}, "e": {"f": 1}}, {"a": {"c": {"d": 3, "g": 4}}, "e": 5}
    before = json.dumps([base, over])
    assert merge_settings(base, over) == {"a": {"b": 1, "c": {"d": 3, "g": 4}}, "e": 5}
    assert json.dumps([base, over]) == before


def test_flatten_names_every_value_once() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [2]}) == {"a.b.c": 1, "a.d": {}, "e": [2]}


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("data.unlabelled=no", {"unlabelled": "no"}),
        ("data.unlabelled=-1", {"unlabelled": -1}),
        ("data.unlabelled=007", {"unlabelled": "007"}),
        ("data.unlabelled=null", {"unlabelled": None}),
        ("data.classes=[yes, no, 1.0, 012, 3]", {"classes": ("yes", "no", "1.0", "012", "3")}),
        ("data.omit_classes=[3]", {"omit_classes": ("3",)}),
        ('data.label_column="on"', {"label_column": "on"}),
        ("data.stream=no", {"stream": False}),
        ("data.image_size=[48, 64]", {"image_size": (48, 64)}),
    ],
)
def test_words_of_the_data_stay_as_they_were_typed(typed: str, values: dict) -> None:
    path, value = parse_assignment(typed, WORD_SETTINGS)
    found = validate(DataConfig, {"source": "a/b", path[-1]: value})
    assert {name: getattr(found, name) for name in values} == values


def test_a_truth_value_for_a_word_says_how_to_write_the_word() -> None:
    refused({"source": "a/b", "classes": [True, False]}, "put words such as yes and no in quotes", DataConfig)


def test_word_settings_are_those_that_hold_texts() -> None:
    texts = {name for name, field in DataConfig.model_fields.items() if "Literal" not in str(field.annotation)}
    texts = {name for name in texts if str in leaves(DataConfig.model_fields[name].annotation)}
    texts.remove("source_arguments")  # only its names are texts; its values are whatever the function takes
    assert {f"data.{name}" for name in texts} == set(WORD_SETTINGS)


def leaves(annotation: object) -> set[object]:
    return {annotation}.union(*map(leaves, get_args(annotation)))
