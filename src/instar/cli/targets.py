"""`label`, and `targets info | verify | merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.options import (
    CombineOption,
    ConfigOption,
    DataArgument,
    JsonOption,
    NumViewsOption,
    SetOption,
    StoreArgument,
    TeacherOption,
    TrustOption,
    ViewsOption,
)
from instar.cli.output import print_result, print_store
from instar.cli.settings import configure, read_flags, read_share


def label(
    data: DataArgument = None,
    *,
    out: Annotated[str, typer.Option("--out", help="the target store; run the same command again to resume it")],
    teacher: TeacherOption = None,
    views: ViewsOption = None,
    num_views: NumViewsOption = None,
    keep: Annotated[str, typer.Option("--keep", help="all, top:K or sample:N classes")] = "all",
    dtype: Annotated[str, typer.Option("--dtype", help="float32, float16 or bfloat16")] = "float16",
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="of top:K, sample:N and arithmetic means; 1 if not given")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the views, and of the classes drawn")] = 0,
    held_out: Annotated[bool, typer.Option(help="label the validation and test samples too")] = True,
    combine: CombineOption = None,
    precision: Annotated[
        str, typer.Option("--precision", help="arithmetic of the teacher: float32, float32-fast, bfloat16")
    ] = "float32",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="samples that are asked about at a time")
    ] = 256,
    share: Annotated[
        str, typer.Option("--share", help="i/n: make the i-th n-th alone, to merge; the same command shares by itself")
    ] = "1/1",
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Ask a teacher once: write what it says about every sample and view to a target store.

    Example: instar label digits --teacher runs/teacher --keep top:5 --temperature 4 --out runs/targets
    """
    from instar.errors import ConfigError
    from instar.procedures.label import label as ask

    if not teacher:
        raise ConfigError("label needs a teacher; give --teacher with a run folder.")
    for setting in settings or []:
        if not setting.startswith("data."):
            raise ConfigError(f"label takes settings of the data alone, such as data.validation=0, got '{setting}'.")
    store = ask(
        configure(config, {"model": {"name": ""}} | read_flags(data, *[None] * 6), settings).data,
        list(teacher),
        out=out,
        views="Identity()" if views is None else views,
        num_views=num_views,
        keep=keep,
        dtype=dtype,  # type: ignore[arg-type]  # checked inside
        temperature=temperature,
        seed=seed,
        held_out=held_out,
        combine=combine or "geometric",  # type: ignore[arg-type]  # checked inside
        precision=precision,  # type: ignore[arg-type]  # checked inside
        batch_size=batch_size,
        share=read_share(share),
        trust=trust,
    )
    print_store(store, as_json)


def info(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say whose answers a store holds, about what, how large it is, and whether it is complete."""
    print_store(store, as_json)


def verify(
    store: StoreArgument,
    teacher: TeacherOption = None,
    data: Annotated[str | None, typer.Option("--data", help="the data, where they have moved")] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="rows of each part that the teacher is asked again")] = 256,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Compare every checksum, and ask the teacher again about random rows."""
    from instar.procedures.target_stores import verify_targets

    found = verify_targets(store, teacher=list(teacher) if teacher else None, data=data, rows=rows, trust=trust)
    print_result(found.as_dict(), found, as_json)


def merge(
    stores: Annotated[list[str], typer.Argument(help="target stores that were labelled with --share")],
    out: Annotated[str, typer.Option("--out", help="the folder of the whole store")],
    as_json: JsonOption = False,
) -> None:
    """Put the shards of several stores of one plan into one."""
    from instar.procedures.target_stores import merge_targets

    print_store(merge_targets(stores, out).path, as_json)
