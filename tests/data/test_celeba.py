"""CelebA: zip or folder, CSV or original text, aligned frames or squares."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_explorer.data import DatasetError, load_dataset, prepare
from vae_explorer.data.celeba import digest_celeba, read_celeba

STEMS = ("000001", "000002", "000005", "000009")
NAMES = ("Smiling", "Young")
ATTRIBUTES = ((1, -1), (-1, -1), (1, 1), (-1, 1))
PARTITION = (0, 1, 2, 0)


def frame() -> Image.Image:
    """An aligned frame: red outside the central 148x148, blue inside."""
    image = Image.new("RGB", (178, 218), "red")
    image.paste("blue", (15, 35, 163, 183))
    return image


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def put_images(folder: Path, images: dict[str, bytes], *, as_zip: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if as_zip:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for name, content in images.items():
                archive.writestr(f"img_align_celeba/{name}", content)
        return
    (folder / "img_align_celeba").mkdir()
    for name, content in images.items():
        (folder / "img_align_celeba" / name).write_bytes(content)


def put_tables(folder: Path, *, as_csv: bool) -> None:
    attributes = zip(STEMS, ATTRIBUTES, strict=True)
    partition = zip(STEMS, PARTITION, strict=True)
    if as_csv:
        rows = [",".join(("image_id", *NAMES))]
        rows += [f"{stem}.jpg,{a},{b}" for stem, (a, b) in attributes]
        parts = ["image_id,partition", *(f"{stem}.jpg,{part}" for stem, part in partition)]
    else:
        rows = [str(len(STEMS)), " ".join(NAMES)]
        rows += [f"{stem}.jpg {a:2d} {b:2d}" for stem, (a, b) in attributes]
        parts = [f"{stem}.jpg {part}" for stem, part in partition]
    suffix = "csv" if as_csv else "txt"
    (folder / f"list_attr_celeba.{suffix}").write_text("\n".join(rows) + "\n")
    (folder / f"list_eval_partition.{suffix}").write_text("\n".join(parts) + "\n")


def put_celeba(folder: Path, image: Image.Image | None = None) -> None:
    content = encoded(image or frame(), "PNG")
    put_images(folder, {f"{stem}.png": content for stem in STEMS}, as_zip=True)
    put_tables(folder, as_csv=True)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("as_csv", [True, False])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_every_form_gives_the_same_rows(tmp_path, as_zip, as_csv, form):
    suffix = {"JPEG": "jpg"}.get(form, form.lower())
    images = {f"{stem}.{suffix}": encoded(frame(), form) for stem in reversed(STEMS)}
    put_images(tmp_path / "celeba", images, as_zip=as_zip)
    put_tables(tmp_path / "celeba", as_csv=as_csv)
    dataset = prepare("celeba", tmp_path, size=16)
    assert dataset.images.shape == (4, 3, 16, 16)
    assert dataset.split.tolist() == ["train", "val", "test", "train"]
    assert dataset.attribute_names == NAMES
    np.testing.assert_array_equal(dataset.attributes, np.array(ATTRIBUTES) == 1)
    assert dataset.labels is None
    assert dataset.damaged == ()


def test_an_aligned_frame_is_cropped_to_its_central_148(tmp_path):
    put_celeba(tmp_path / "celeba")
    images = prepare("celeba", tmp_path, size=16).images
    assert np.all(images[:, 2] == 255)
    assert np.all(images[:, :2] == 0)


def test_a_square_is_used_whole(tmp_path):
    square = Image.new("RGB", (32, 32), "red")
    square.paste("blue", (0, 16, 32, 32))
    put_celeba(tmp_path / "celeba", square)
    image = prepare("celeba", tmp_path, size=32).images[0]
    assert np.all(image[0, :16] == 255)
    assert np.all(image[2, 16:] == 255)


def test_resizing_is_antialiased(tmp_path):
    stripes = np.zeros((96, 96, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    put_celeba(tmp_path / "celeba", Image.fromarray(stripes))
    image = prepare("celeba", tmp_path, size=16).images[0]
    assert abs(image[:, :, 2:-2].astype(int) - 127).max() < 16


def test_the_default_size_is_64_and_sizes_have_caches_of_their_own(tmp_path):
    put_celeba(tmp_path / "celeba")
    assert prepare("celeba", tmp_path).images.shape[-1] == 64
    prepare("celeba", tmp_path, size=16)
    assert load_dataset("celeba", tmp_path, size=16).images.shape[-1] == 16
    assert load_dataset("celeba", tmp_path).images.shape[-1] == 64


def test_another_source_than_the_cached_one_is_an_error(tmp_path):
    put_celeba(tmp_path / "celeba")
    put_celeba(tmp_path / "other")
    prepare("celeba", tmp_path, size=16)
    assert prepare("celeba", tmp_path, size=16, source=tmp_path / "celeba")
    with pytest.raises(DatasetError, match="was made from"):
        prepare("celeba", tmp_path, size=16, source=tmp_path / "other")


def test_pictures_of_another_shape_or_cut_short_are_listed_as_damaged(tmp_path):
    good = encoded(frame(), "PNG")
    wide = encoded(Image.new("RGB", (300, 200)), "PNG")
    contents = (good, wide, good[: len(good) // 2], b"")
    images = {f"{stem}.png": content for stem, content in zip(STEMS, contents, strict=True)}
    put_images(tmp_path / "celeba", images, as_zip=True)
    put_tables(tmp_path / "celeba", as_csv=True)
    dataset = prepare("celeba", tmp_path, size=16)
    assert dataset.damaged == ("000002.png", "000005.png", "000009.png")
    assert len(dataset.images) == 1


def test_all_that_is_missing_is_listed_at_once(tmp_path):
    with pytest.raises(DatasetError) as error:
        prepare("celeba", tmp_path)
    for name in ("img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.csv"):
        assert name in str(error.value)
    assert str(tmp_path / "celeba") in str(error.value)


TABLE_FAULTS = {
    "no row": ("list_attr_celeba.csv", "image_id,Smiling\n", "has no row for 4 images"),
    "short row": ("list_attr_celeba.csv", "image_id,A,B\n000001.jpg,1\n", "1 values for 2"),
    "a value": ("list_attr_celeba.csv", "image_id,A\n000001.jpg,yes\n", "holds 'yes'"),
    "empty": ("list_attr_celeba.csv", "", "names no attribute"),
    "no text": ("list_attr_celeba.csv", b"\xff\xfe\xff", "cannot be read"),
    "no partition": ("list_eval_partition.csv", "image_id,partition\n", "has no row for 4"),
    "contradicting": (
        "list_attr_celeba.csv",
        "image_id,A\n000001.jpg,1\n000002.jpg,1\n000001.png,-1\n",
        "lines 2 and 4 contradict",
    ),
    "attribute twice": ("list_attr_celeba.csv", "image_id,A,A\n", "column 3 repeats 'A'"),
    "parts contradict": (
        "list_eval_partition.csv",
        "image_id,p\n000001.jpg,0\n000001.jpg,2\n",
        "lines 2 and 3 contradict.*'train' and 'test'",
    ),
    "partition 3": ("list_eval_partition.csv", "image_id,p\n000001.jpg,3\n", "0, 1 or 2"),
    "partition short": ("list_eval_partition.csv", "image_id\n000001.jpg\n", "0, 1 or 2"),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_a_table_that_is_wrong_says_where(tmp_path, fault):
    name, content, message = TABLE_FAULTS[fault]
    put_celeba(tmp_path / "celeba")
    file = tmp_path / "celeba" / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=message) as error:
        prepare("celeba", tmp_path)
    assert name in str(error.value)


def test_tables_saved_again_by_a_spreadsheet_are_read(tmp_path):
    put_celeba(tmp_path / "celeba")
    wanted = prepare("celeba", tmp_path / "wanted", size=16, source=tmp_path / "celeba")
    for name in ("list_attr_celeba.csv", "list_eval_partition.csv"):
        path = tmp_path / "celeba" / name
        text = path.read_text().replace(",", ";").replace("\n", ";;\r\n")
        path.write_bytes(f"\ufeff{text};;\r\n000001.jpg;{text.splitlines()[1][11:]}".encode())
    found = prepare("celeba", tmp_path / "found", size=16, source=tmp_path / "celeba")
    assert found.attribute_names == NAMES
    np.testing.assert_array_equal(found.attributes, wanted.attributes)
    np.testing.assert_array_equal(found.split, wanted.split)


def test_the_digest_is_of_images_and_tables(tmp_path):
    put_celeba(tmp_path / "celeba")
    before = digest_celeba(tmp_path, None)
    assert before == read_celeba(tmp_path, 16, None).digest
    (tmp_path / "celeba" / "README").write_text("not looked at")
    assert digest_celeba(tmp_path, None) == before
    table = tmp_path / "celeba" / "list_eval_partition.csv"
    table.write_text(table.read_text().replace("1", "2"))
    assert digest_celeba(tmp_path, None) != before


def test_a_broken_zip_is_an_error(tmp_path):
    put_celeba(tmp_path / "celeba")
    (tmp_path / "celeba" / "img_align_celeba.zip").write_bytes(b"PK no zip")
    with pytest.raises(DatasetError, match="neither a folder nor a readable zip"):
        prepare("celeba", tmp_path)
