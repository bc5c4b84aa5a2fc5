"""`instar verify-loss`: what a distillation loss of any code base does, found by experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from instar.analysis.losses.edges import EDGES
from instar.analysis.losses.function import LossFunction, parse_arguments
from instar.analysis.losses.scale import SCALE
from instar.analysis.losses.tested import Finding, Tested
from instar.checks import Temperature, checked
from instar.errors import ConfigError
from instar.importing import import_object

MARKS = {True: "as defined", False: "OTHER", None: ""}


@dataclass(frozen=True)
class LossReport:
    """What a loss function does.

    Args:
        function: name of the function.
        temperature: temperature of most experiments.
        findings: answers, in the order of the experiments.
    """

    function: str
    temperature: float
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [(one.question, MARKS[one.is_defined_so], one.verdict) for one in self.findings]
        widths = [max(len(row[number]) for row in rows) for number in range(2)]
        lines = (f"  {row[0].ljust(widths[0])}  {row[1].ljust(widths[1])}  {row[2]}".rstrip() for row in rows)
        return "\n".join((f"{self.function} at T = {self.temperature:g}", *lines))


@checked
def verify_loss(
    function: str | Callable[..., Any],
    *,
    arguments: str = "student,teacher,labels,temperature",
    temperature: Temperature = 4.0,
) -> LossReport:
    """Say by experiment what a distillation loss does, beside the definition T^2 (1 / n) sum KL(p || q).

    Logits are random; all experiments take less than a second, and none reads the code.

    Source: Hinton, Vinyals and Dean 2015, section 2.

    Args:
        function: function that returns a loss, or the `package.module:name` of one, which is imported.
        arguments: what the function takes, in its order: student, teacher (logits `[examples, classes]`), labels and
            temperature, with or without the name of the parameter, and constants by name, such as
            "y_s=student,y_t=teacher,T=temperature,alpha=0.9".
        temperature: temperature of most experiments; for a function that takes none, the one inside it.

    Raises:
        ConfigError: when the function cannot be imported, fails on plain logits, returns no loss, or
            returns another one in a second call.

    >>> import torch.nn.functional as F
    >>> def mean_divergence(student, teacher, labels, t):
    ...     return F.kl_div((student / t).log_softmax(1), (teacher / t).softmax(1), reduction="batchmean")
    >>> for finding in verify_loss(mean_divergence).findings[:6]:
    ...     print(f"{finding.question}: {finding.verdict}")
    form: KL(teacher || student)
    value: the divergence, which is 0 where student and teacher agree
    T^2: no, so the balance with labels moves with T
    over examples: mean
    over classes: sum
    factor of the definition: 0.0625
    """
    found = import_object(function, "loss function") if isinstance(function, str) else function
    if not callable(found) or isinstance(found, type):
        raise ConfigError(f"{function!r} is no function; give a function that makes and calls it.")
    name = function if isinstance(function, str) else getattr(found, "__qualname__", type(found).__name__)
    tested = Tested(LossFunction(found, parse_arguments(arguments)), temperature)
    if not bool(tested.answer.gradient.any()):
        raise ConfigError(f"no gradient flows from the loss of {name} into the student's logits.")
    if not torch.allclose(tested.function(tested.sample).gradient, tested.answer.gradient, equal_nan=True):
        raise ConfigError(
            f"{name} has another gradient for the same logits in a second call; leave out what is random (dropout) or "
            "remembers earlier calls."
        )
    findings = tuple(finding for ask in (*SCALE, *EDGES) for finding in ask(tested))
    return LossReport(name, temperature, findings)
