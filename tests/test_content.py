"""Fingerprints of functions depend on what they compute with, not only on name and bytecode."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from instar.content import Content

SOURCE = """
import numpy as np
SCALE = {scale}
def inner(x):
    return np.{inner}(x)
def outer(x, power={power}):
    return [SCALE * inner(y) ** power for y in x if y in {{1.0, {kept}}}]
def made(offset):
    return lambda x: np.{called}(x) + offset
def recursive(x):
    return recursive(x)
held = [outer, made({offset}), recursive]
"""
USUAL = {"scale": 2, "inner": "exp", "power": 1, "kept": 2.0, "called": "sin", "offset": 0}


def fingerprint(value):
    content = Content()
    content.add(value)
    return content.hexdigest()


def functions(**changed):
    space = {"__name__": "own"}
    exec(SOURCE.format(**(USUAL | changed)), space)
    return fingerprint(space["held"])


def test_a_function_has_the_same_fingerprint_in_every_copy():
    assert functions() == functions()


@pytest.mark.parametrize(
    "changed", [{"scale": 3}, {"inner": "log"}, {"power": 2}, {"kept": 3.0}, {"called": "cos"}, {"offset": 1}], ids=str
)
def test_whatever_a_function_computes_with_changes_its_fingerprint(changed):
    assert functions(**changed) != functions()


def test_lambdas_that_call_other_functions_differ():
    found = [fingerprint(one) for one in (lambda x: 1 + np.exp(x), lambda x: 1 + np.log(x))]
    assert found[0] != found[1]


def test_estimators_without_functions_keep_the_fingerprint_that_they_had():
    fitted = LogisticRegression(C=2.0)
    fitted.classes_, fitted.coef_ = np.arange(2), np.ones((1, 3))
    assert fingerprint([fitted, 1e-6]) == "22ca2135fa20661db3c321d7fe777e38"
