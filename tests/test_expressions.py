"""Expressions of calls, such as objectives and views, are read without running any code."""

import pytest

from instar.errors import ConfigError, InstarError, MismatchError, nearest
from instar.expressions import example, parse


class Term:
    def __init__(self, value: float = 1, name: str = "") -> None:
        if value == 13:
            raise MismatchError("13 is unlucky")
        self.value, self.name = value, name

    def __add__(self, other: "Term") -> "Term":
        return Term(self.value + other.value, self.name + other.name)

    def __rmul__(self, weight: float) -> "Term":
        return Term(weight * self.value, self.name)


class Lonely:
    def __repr__(self) -> str:
        return "Lonely()"


NAMES = {"Term": Term, "Lonely": Lonely}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Term", 1),
        ("Term()", 1),
        (" Term(3) ", 3),
        ("2 * Term(3)", 6),
        ("-0.5 * Term(4)", -2),
        ("Term(2) + 3 * Term(value=4) + Term", 15),
        ("2 * (Term(1) + Term(2))", 6),
        ("1e-1 * Term(10)", 1),
    ],
)
def test_sums_and_products_are_built(text: str, value: float) -> None:
    assert parse(text, NAMES, "objective").value == value


def test_literals_of_any_kind_are_arguments() -> None:
    assert parse("Term(2, name='x')", NAMES, "objective").name == "x"
    assert parse("list([1, 2.5, None, True, -3])", {"list": list}, "number") == [1, 2.5, None, True, -3]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "Term.__class__",
        "Term().value",
        "lambda: 1",
        "(lambda: Term())()",
        "[Term for _ in (1,)]",
        "Term() - Term()",
        "Term() if 1 else Term()",
        "Term(**{'value': 2})",
        "3",
        "'Term'",
    ],
)
def test_anything_but_sums_of_calls_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"objective '.*' cannot be read at '.*'; an example is Term\(\) \+ Lonely\("):
        parse(text, NAMES, "objective")


@pytest.mark.parametrize(
    "text",
    [
        "Term('x'.upper())",
        "Term(Term.value)",
        "Term([Term(2)])",
        "Term(Term(2) + Term(3))",
        "Term(2 * Term(3))",
        "Term(*[1])",
        "Term(2 ** 8)",
        "Term(x)",
        "Term({[1]: 2})",
        "Term * 2",
    ],
)
def test_arguments_must_be_literals_or_calls(text: str) -> None:
    with pytest.raises(ConfigError, match=r"objective '.*' needs a number or a literal, got '"):
        parse(text, NAMES, "objective")


class Outer(Term):
    def __init__(self, inner: Term, other: Term | None = None) -> None:
        super().__init__(10 * inner.value + (other.value if other else 0))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Outer(Term(2))", 20),
        ("Outer(Term)", 10),
        ("Outer(inner=Term(value=2), other=Outer(Term(3)))", 50),
        ("2 * Outer(Outer(Term(1))) + Term(5)", 205),
    ],
)
def test_calls_may_be_arguments(text: str, value: float) -> None:
    assert parse(text, NAMES | {"Outer": Outer}, "objective").value == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Outer(Tern(2))", r"objective 'Tern' is unknown; did you mean 'Term'\?"),
        ("Outer(Term(__import__('os')))", "objective '__import__' is unknown; known are: Lonely, Outer, Term."),
        ("Outer(Term(valeu=2))", "objective 'Term' cannot be made: .*'valeu'"),
        ("Outer(Lonely())", "objective 'Outer' cannot be made: .*'value'"),
        ("Outer(Term(**{'value': 2}))", r"cannot be read at 'Term\(\*\*{'value': 2}\)'"),
        ("Outer(" * 300 + "Term()" + ")" * 300, "cannot be read"),
    ],
)
def test_what_is_wrong_inside_a_call_is_found(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, NAMES | {"Outer": Outer}, "objective")


def test_a_call_of_a_name_that_is_not_given_is_refused_before_it_runs() -> None:
    with pytest.raises(ConfigError, match=r"objective '__import__' is unknown; known are: Lonely, Term\."):
        parse("__import__('os')", NAMES, "objective")


@pytest.mark.parametrize(
    "text", ["", "Term(", "Term() +", "import os", "Term(); Term()", "Te\0rm", "(" * 500 + ")" * 500]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)view '.*' cannot be read; an example is Term\(\)"):
        parse(text, NAMES, "view")


def test_a_typing_error_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"objective 'Tern' is unknown; did you mean 'Term'\?"):
        parse("2 * Tern(3)", NAMES, "objective")


def test_wrong_arguments_are_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"objective 'Term' cannot be made: .*unexpected keyword argument 'valeu'\."):
        parse("Term(valeu=2)", NAMES, "objective")


@pytest.mark.parametrize("text", ["2 * Lonely()", "Lonely() + Lonely()"])
def test_parts_that_cannot_be_combined_are_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"view '.*' cannot be made: '.* has no meaning\."):
        parse(text, NAMES, "view")


def test_sentences_of_constructors_come_through() -> None:
    with pytest.raises(MismatchError, match="13 is unlucky"):
        parse("Term(13)", NAMES, "objective")


def test_the_example_uses_names_that_are_known() -> None:
    assert parse(example({"Term": Term}), NAMES, "objective").value == 1


def test_nearest_names_one_or_all() -> None:
    assert nearest("epocs", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert nearest("zzz", ["seed", "epochs"]) == "known are: epochs, seed."


def test_every_error_can_be_caught_as_one_kind() -> None:
    assert issubclass(MismatchError, InstarError)
    assert issubclass(InstarError, ValueError)
