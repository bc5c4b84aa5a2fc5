"""Rows without labels beside the training samples, as a verb takes them, and whether a run learns from them."""

from __future__ import annotations

from typing import Any

from instar.config import DataConfig
from instar.data.dataset import Data
from instar.data.synthetic.generator import RowGenerator
from instar.errors import MismatchError
from instar.importing import TypedName
from instar.objectives.objective import Objective
from instar.objectives.schedules import peak_of
from instar.objectives.values import Need


def choose_transfer_rows(
    data: Any, transfer: str | RowGenerator | None, rows: int | None, *, trust: bool
) -> tuple[Any, dict[str, Any]]:
    """Return the data of a verb, and the settings for its transfer rows; loaded data are selected anew instead.

    >>> choose_transfer_rows("digits", "munge", 100, trust=False)
    ('digits', {'data': {'transfer': 'munge', 'transfer_rows': 100}})
    """
    # an object needs no trust
    text = TypedName(str(transfer)) if isinstance(transfer, RowGenerator) else transfer
    given = {name: value for name, value in (("transfer", text), ("transfer_rows", rows)) if value is not None}
    if isinstance(data, Data):
        return (data.select(trust=trust, **given) if given else data), {}
    return data, {"data": given} if given else {}


def refuse_unused_rows(config: DataConfig, objective: Objective, *, has_teacher: bool) -> None:
    """Refuse rows without labels where nothing would be learnt from them.

    Raises:
        MismatchError: when there is no teacher, or all of its terms need labels.
    """
    if config.transfer is None:
        return
    told = f"the rows of data.transfer '{config.transfer}' have no labels"
    if not has_teacher:
        raise MismatchError(f"{told}, and this run has no teacher; use distill with a teacher, or leave them out.")
    of_teacher = [term for weight, term in objective.parts if Need.TEACHER in term.needs and peak_of(weight) > 0]
    if all(Need.LABELS in term.needs for term in of_teacher):
        names = " and ".join(type(term).__name__ for term in of_teacher) or "every term with a weight"
        raise MismatchError(f"{told}, which {names} needs; add SoftTargets to the objective, or leave them out.")
