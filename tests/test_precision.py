import pytest
import torch

from instar.precision import autocast, library


@pytest.mark.parametrize(
    ("name", "inside"), [("float32", "highest"), ("float32-fast", "medium"), ("bfloat16", "medium")]
)
def test_the_library_is_used_inside_and_restored(name, inside: str) -> None:
    with library(name):
        assert torch.get_float32_matmul_precision() == inside
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_inner_choice_wins_and_the_outer_comes_back() -> None:
    with library("float32-fast"):
        with library("float32"):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"


def test_the_library_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), library("float32-fast"):
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("name", "dtype"), [("float32", torch.float32), ("float32-fast", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_autocast_decides_the_type_of_products(name, dtype: torch.dtype) -> None:
    with autocast(name, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
