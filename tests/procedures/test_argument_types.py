"""Numbers, truth values and words of a wrong kind are refused by every verb before it looks at anything."""

import inspect
from random import Random
from typing import Any

import pytest

import instar
from instar.checks import find_check
from instar.errors import ConfigError, InstarError

VERBS = {
    name: getattr(instar, name)
    for name in (
        *("born_again", "compare", "correct_bias", "demo", "distill", "ensemble", "evaluate", "export", "inspect"),
        *("load", "predict", "train", "tune", "verify_targets"),
    )
} | {f"specialists.{name}": getattr(instar.specialists, name) for name in ("cluster", "combine", "evaluate")}
WRONG = ({"a": 1}, object(), [[]], 1 + 2j, float("nan"), (None,))


@pytest.mark.parametrize("verb", VERBS)
def test_a_value_of_a_wrong_kind_is_refused_by_name(verb: str, tmp_path: Any) -> None:
    function, random = VERBS[verb], Random(verb)
    hints = inspect.get_annotations(inspect.unwrap(function), eval_str=True)
    parameters = inspect.signature(function).parameters
    needed = {name: str(tmp_path / "no") for name, each in parameters.items() if each.default is each.empty}
    needed = {name: value for name, value in needed.items() if parameters[name].kind.name in _NAMED}
    simple = [name for name in parameters if parameters[name].kind.name in _NAMED and find_check(hints[name])]
    assert simple
    for name in simple:
        for value in random.sample(WRONG, 3):
            given = {other: wanted for other, wanted in needed.items() if find_check(hints[other]) is None}
            with pytest.raises(ConfigError, match=f"^{name} must be"):
                function(**given | {name: value}, **_rest(needed, given, name))
    assert not list(tmp_path.iterdir())


_NAMED = ("KEYWORD_ONLY", "POSITIONAL_OR_KEYWORD")


def _rest(needed: dict[str, str], given: dict[str, str], name: str) -> dict[str, Any]:
    """Return what else must be there and is checked too: names of classes, a number of clusters, ..."""
    usual = {"classes": ["3"], "to": "onnx", "clusters": 2}
    return {other: usual[other] for other in needed if other not in given and other != name}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda out: instar.born_again("digits", "mlp", out=out, generations="x"),
            "generations must be a number",
        ),
        (lambda out: instar.tune("digits", "t", "mlp", out=out, seeds=2.5), "seeds must be a whole number"),
        (lambda _: instar.compare("a", "b", resamples="many"), "resamples must be a number"),
        (lambda _: instar.compare("a", "b", resamples=-1), "resamples must be at least 1"),
        (lambda out: instar.correct_bias("run", "38", out=out), "classes must be a sequence"),
        (lambda out: instar.demo(out, seeds=0), "seeds must be a whole number of at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(call: Any, said: str, tmp_path: Any) -> None:
    with pytest.raises(InstarError, match=said):
        call(tmp_path / "no")
    assert not (tmp_path / "no").exists()
