"""Stages on this machine: values in order, and the first error."""

from functools import partial

import pytest

from instar.jobs import run_all


@pytest.mark.parametrize("workers", [1, 2])
def test_values_come_in_the_order_of_the_tasks(workers):
    ended = {}
    tasks = [partial(pow, 2, exponent) for exponent in range(5)]
    assert run_all(tasks, workers, done=ended.__setitem__) == [1, 2, 4, 8, 16]
    assert ended == {index: 2**index for index in range(5)}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_is_raised(workers):
    with pytest.raises(ZeroDivisionError):
        run_all([partial(divmod, 1, 0), *(partial(pow, 2, exponent) for exponent in range(4))], workers)


def test_nothing_to_do_is_done():
    assert run_all([], workers=2) == []
