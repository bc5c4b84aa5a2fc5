"""Manifests: what they hold, which plans they resume, and what is refused."""

import json

import pytest
import torch

from instar.errors import StoreError
from instar.runs.files import write_json
from instar.targets import Manifest, PartDescription, TargetStore, TeacherDescription
from instar.targets.manifest import MANIFEST_FILE, STORE_FORMAT, Shard, read_manifest
from instar.targets.shards import checksum_of_ids, ids_file

IDS = torch.tensor([0, 2])


def plan(version="0.1", teacher=None, data=None, classes=("a", "b"), **train):
    """Return a plan with one part; keywords are fields of the part."""
    described = {"source": "numbers", "fingerprint": "f", "samples": 2, "rows_per_shard": 16384}
    answering = {"names": ("runs/teacher",), "fingerprint": "t"} | (teacher or {})
    parts = {"train": PartDescription(**described | train)}
    return Manifest(
        version=version, teacher=TeacherDescription(**answering), data=data or {}, classes=classes, parts=parts
    )


@pytest.fixture
def folder(tmp_path):
    TargetStore.start(tmp_path / "store", plan(), {})
    return tmp_path / "store"


def changed(folder, change):
    """Change the manifest in a folder."""
    content = json.loads((folder / MANIFEST_FILE).read_text())
    change(content)
    write_json(folder / MANIFEST_FILE, content)


def finished(folder):
    store = TargetStore.start(folder, plan(), {})
    store.write(store.pieces()[0], torch.zeros(2, 4, dtype=torch.uint8))
    store.finish()
    return store


def test_a_manifest_reads_back(folder):
    assert read_manifest(folder) == plan()
    assert read_manifest(folder).format == STORE_FORMAT
    assert finished(folder).manifest == read_manifest(folder)
    assert read_manifest(folder).complete


def test_the_same_plan_takes_the_store_up_again(folder):
    before = (folder / MANIFEST_FILE).read_bytes()
    store = finished(folder)
    named = (folder / MANIFEST_FILE).read_bytes()
    assert before != named
    again = TargetStore.start(folder, plan(), {})
    assert again.complete
    assert again.fingerprint == TargetStore(folder).fingerprint
    assert store.manifest == again.manifest
    assert (folder / MANIFEST_FILE).read_bytes() == named


def test_a_start_that_was_killed_is_resumed(tmp_path):
    chosen = plan(ids=checksum_of_ids(IDS))
    (tmp_path / f".{MANIFEST_FILE}.1.partial").write_text("{")
    (tmp_path / ".lock").touch()
    TargetStore.start(tmp_path, chosen, {"train": IDS})
    written = ids_file(tmp_path, "train").read_bytes()
    ids_file(tmp_path, "train").unlink()  # killed after the manifest, before the ids
    assert TargetStore.start(tmp_path, chosen, {"train": IDS}).manifest == chosen
    assert ids_file(tmp_path, "train").read_bytes() == written


def test_where_the_data_and_the_teacher_lay_and_the_version_do_not_matter(folder):
    elsewhere = plan(version="9", data={"source": "/elsewhere"}, teacher={"names": ("other/place",)})
    assert TargetStore.start(folder, elsewhere, {}).manifest == plan()


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (plan(teacher={"fingerprint": "u"}), "teacher.fingerprint was 't', now 'u'"),
        (plan(teacher={"combine": "arithmetic"}), "teacher.combine was 'geometric', now 'arithmetic'"),
        (plan(teacher={"precision": "bfloat16"}), "teacher.precision was 'float32', now 'bfloat16'"),
        (plan(classes=("a", "c")), r"classes was \['a', 'b'\], now \['a', 'c'\]"),
        (plan(fingerprint="g"), "parts.train.fingerprint was 'f', now 'g'"),
        (plan(samples=3), "parts.train.samples was 2, now 3"),
        (plan(ids="1234"), "parts.train.ids was 'all', now '1234'"),
        (plan(views="Crop(2)", num_views=3), r"num_views was 1, now 3; parts.train.views was 'Identity\(\)', now"),
        (plan(view_seed=4), "parts.train.view_seed was 0, now 4"),
        (plan(keep="top:1", temperature=4), "keep was 'all', now 'top:1'; parts.train.temperature was None, now 4.0"),
        (plan(draw_seed=1), "parts.train.draw_seed was 0, now 1"),
        (plan(dtype="float32"), "parts.train.dtype was 'float16', now 'float32'"),
        (plan(positions=(7,)), r"parts.train.positions was \[\], now \[7\]"),
        (plan(rows_per_shard=32768), "parts.train.rows_per_shard was 16384, now 32768"),
    ],
)  # fmt: skip
def test_another_plan_is_refused_and_what_differs_is_named(folder, other, sentence):
    with pytest.raises(StoreError, match=rf"another target store than requested \(.*{sentence}.*\); choose another fo"):
        TargetStore.start(folder, other, {})


def test_another_part_is_refused(folder):
    one = plan()
    other = one.model_copy(update={"parts": {**one.parts, "test": one.parts["train"]}})
    with pytest.raises(StoreError, match=r"parts\.test\.samples was None, now 2"):
        TargetStore.start(folder, other, {})


@pytest.mark.parametrize("name", ["results.csv", "config.json", "train-00000.safetensors"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        StoreError, match=f"'{tmp_path}' exists and is not a target store; choose a new or an empty folder"
    ):
        TargetStore.start(tmp_path, plan(), {})
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match="exists and is not a target store; choose a new or an empty folder"):
        TargetStore.start(tmp_path / "store", plan(), {})
    with pytest.raises(StoreError, match=r"is not a target store: it has no manifest\.json"):
        TargetStore(tmp_path / "store")


def test_a_folder_without_a_manifest_is_no_store(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match=f"'{folder}' is not a target store: it has no manifest.json"):
            TargetStore(folder)


def test_a_newer_format_is_refused_before_its_unknown_fields(folder):
    changed(folder, lambda content: content.update(format=STORE_FORMAT + 1, colour="blue"))
    sentence = (
        f"in store format {STORE_FORMAT + 1}, and this version of Instar reads up to {STORE_FORMAT}; upgrade Instar"
    )
    with pytest.raises(StoreError, match=sentence):
        TargetStore(folder)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1', "[]", "3", "null", '"store"', "{}"])
def test_a_damaged_manifest_is_refused(folder, text):
    (folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(StoreError, match=f"the manifest of '{folder}' is damaged: "):
        TargetStore(folder)


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="is damaged: "):
        TargetStore(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(colour="blue"), "'colour' is not a setting"),
        (lambda c: c["parts"]["train"].update(sampels=3), r"'parts\.train\.sampels' is not .*mean 'samples'"),
        (lambda c: c["parts"]["train"].update(samples=0), r"'parts\.train\.samples': .*, got 0"),
        (lambda c: c["parts"]["train"].update(dtype="int8"), r"'parts\.train\.dtype': .*, got 'int8'"),
        (lambda c: c["parts"]["train"].update(temperature=-1), r"'parts\.train\.temperature': .*, got -1"),
        (lambda c: c.pop("classes"), "'classes' is required but missing"),
        (lambda c: c["teacher"].pop("fingerprint"), r"'teacher\.fingerprint' is required but missing"),
    ],
)
def test_fields_that_mean_nothing_are_refused(folder, change, sentence):
    changed(folder, change)
    with pytest.raises(StoreError, match=f"the manifest of '{folder}' is damaged: .*{sentence}"):
        TargetStore(folder)


@pytest.mark.parametrize(
    ("keep", "sentence"), [("most", "keep must be 'all', 'top:K' or"), ("top:3", "than the 2 that")]
)
def test_a_choice_of_classes_that_means_nothing_is_an_error_of_the_store(folder, keep, sentence):
    changed(folder, lambda c: c["parts"]["train"].update(keep=keep))
    with pytest.raises(StoreError, match=f"'{folder}'.*{sentence}"):
        TargetStore(folder).missing()


def test_the_fingerprint_tells_what_is_inside(folder):
    one = finished(folder)
    expected = TargetStore(folder).fingerprint
    assert one.fingerprint == expected
    shard = one.manifest.parts["train"].shards[0]
    assert isinstance(shard, Shard)
    changed(folder, lambda c: c["parts"]["train"]["shards"][0].update(checksum="0" + shard.checksum[1:]))
    other = TargetStore(folder).fingerprint
    changed(folder, lambda c: c["parts"]["train"]["shards"][0].update(checksum=shard.checksum))
    assert other != expected == TargetStore(folder).fingerprint
    changed(folder, lambda c: c.update(data={"source": "/elsewhere"}))
    assert TargetStore(folder).fingerprint == expected
    changed(folder, lambda c: c["teacher"].update(fingerprint="u"))
    assert TargetStore(folder).fingerprint != expected


def test_the_fingerprint_of_a_store_that_was_finished_since_is_new(folder):
    store = TargetStore(folder)
    before = store.fingerprint
    store.write(store.pieces()[0], torch.zeros(2, 4, dtype=torch.uint8))
    store.finish()
    assert store.fingerprint == TargetStore(folder).fingerprint != before


def test_rows_are_cut_into_shards():
    part = plan(samples=10, num_views=3, rows_per_shard=8).parts["train"]
    assert (part.rows, part.num_shards) == (30, 4)
    assert [list(part.shard_rows(index)) for index in (0, 3)] == [list(range(8)), list(range(24, 30))]
    assert plan(samples=8, rows_per_shard=8).parts["train"].num_shards == 1


def test_a_row_holds_a_record_for_every_position():
    assert plan(positions=(3, 5), keep="top:32", temperature=1).parts["train"].width(1000) == 15 * 132
    assert plan().parts["train"].width(3) == 8
