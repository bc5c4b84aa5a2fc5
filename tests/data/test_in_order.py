"""Work by several threads: the results, errors and order of one thread, a few parts ahead."""

import threading
import time
from collections.abc import Iterator
from itertools import count, islice

import pytest

from instar.data.in_order import map_in_order


def slow_square(number: int) -> int:
    time.sleep((number * 7919 % 5) / 1000)  # so that later parts end before earlier ones
    return number**2


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_the_order_of_the_parts(workers: int) -> None:
    assert list(map_in_order(slow_square, range(60), workers)) == [number**2 for number in range(60)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_comes_after_the_results_before_it(workers: int, error: type[BaseException]) -> None:
    def work(number: int) -> int:
        if number == 5:
            raise error("five")
        return number

    found = map_in_order(work, range(100), workers)
    assert list(islice(found, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(error, match="five"):
        next(found)


def test_two_threads_work_at_a_time() -> None:
    together = threading.Barrier(2, timeout=20)
    assert len(list(map_in_order(lambda _: together.wait(), range(4), workers=2))) == 4


@pytest.mark.parametrize("workers", [1, 4])
def test_parts_are_taken_only_a_few_ahead(workers: int) -> None:
    taken = []

    def parts() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    found = map_in_order(slow_square, parts(), workers)
    for number in range(20):
        assert next(found) == number**2
        assert len(taken) <= number + 2 * workers
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("instar-decoding")]
