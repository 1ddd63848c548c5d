from __future__ import annotations

import csv
import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.support import PROJECT
from vae_explorer import workspace
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.cli import main, transfer
from vae_explorer.data import ImageDataset
from vae_explorer.data.files import open_image_files
from vae_explorer.faces import align, find_faces
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.preprocessing import fit_garment, fit_image

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"


@pytest.fixture
def pictures(digits: ImageDataset, tmp_path: Path) -> Path:
    """A folder of a hundred digits, some in folders of their own."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for row in range(100):
        name = f"more/{row:03d}.png" if row % 7 == 0 else f"{row:03d}.png"
        Image.fromarray(digits.images[row, 0]).save(folder / name)
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_z(rows: list[dict[str, str]], prefix: str = "z") -> np.ndarray:
    names = [name for name in rows[0] if name.removeprefix(prefix).isdigit()]
    return np.array([[row[name] for name in names] for row in rows], np.float32)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# There and back


@pytest.mark.parametrize("name", [VAE, DEEP, AUTOENCODER])
def test_a_table_holds_what_the_encoder_says(
    checkpoint_root: Path,
    pictures: Path,
    digits: ImageDataset,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "latents.csv"
    assert run("encode", name, pictures, "--out", out) == 0
    assert "Encoded 100 of 100 images" in capsys.readouterr().out
    rows = read_csv(out)
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    order = [int(Path(row["file"]).stem) for row in rows]
    images = digits.take(np.array(order)).astype(np.float32) / 255
    z_mean, z_log_var = encode(load_checkpoint(name).model, images)
    # Not the very same: batches of other sizes are summed in another order.
    np.testing.assert_allclose(read_z(rows), z_mean, rtol=1e-4, atol=1e-5)
    if z_log_var is None:
        assert not any(column.startswith("log_var") for column in rows[0])
    else:
        np.testing.assert_allclose(read_z(rows, "log_var"), z_log_var, rtol=1e-4, atol=1e-5)


def test_encoded_and_decoded_is_the_reconstruction_and_a_fixed_place_comes_back(
    checkpoint_root: Path, pictures: Path, tmp_path: Path
) -> None:
    table, folder, again = (tmp_path / name for name in ("a.csv", "decoded", "b.csv"))
    assert run("encode", VAE, pictures, "--out", table) == 0
    assert run("decode", VAE, table, "--out", folder) == 0
    z, model = read_z(read_csv(table)), load_checkpoint(VAE).model
    paths = sorted(folder.iterdir())
    assert [path.name for path in paths[:2]] == ["000001-001.png", "000002-002.png"]
    decoded = np.stack([np.asarray(Image.open(path)) for path in paths])
    wanted = to_uint8(decode(model, z))[..., 0]
    np.testing.assert_allclose(decoded.astype(int), wanted, atol=1)
    # What was decoded is encoded as the very pixels say.
    assert run("encode", VAE, folder, "--out", again, "--as-is") == 0
    found = encode(model, decoded[:, None].astype(np.float32) / 255)[0]
    np.testing.assert_allclose(read_z(read_csv(again)), found, rtol=1e-4, atol=1e-5)


def test_a_zip_will_do_for_a_folder(checkpoint_root: Path, pictures: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in pictures.rglob("*.png"):
            archive.write(path, path.relative_to(pictures))
    for source in (pictures, tmp_path / "pictures.zip"):
        assert run("encode", VAE, source, "--out", tmp_path / f"{source.name}.csv") == 0
    first, second = (tmp_path / f"{name}.csv" for name in ("pictures", "pictures.zip"))
    assert first.read_bytes() == second.read_bytes()


def test_a_line_may_lack_the_name_of_its_picture(checkpoint_root: Path, tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_text("z1,z2,file\n0.5,7,a.png\n1,2\n")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000001-a.png",
        "000002.png",
    ]


@pytest.mark.parametrize(
    "table",
    [
        "z1;z2;file\r\n-1;0,5;a.png\r\n;;\r\n2;1;b.png\r\n",
        "Z1\t Z2\tFile\t\n-1\t0,5 \ta.png\t\n\t\t\t\n2\t1\tC:\\x\\b.png\n",
        '"z1","z2","file"\r"-1","0,5","a.png"\r"2","1","b.png"\r',
        'sep=;\nz1;z2;file\n−1;0.5;a.png\n2;1.0;"b.png"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_decoded_as_spreadsheets_save_it(
    checkpoint_root: Path, tmp_path: Path, table: str, encoding: str
) -> None:
    (tmp_path / "plain.csv").write_text("z1,z2,file\n-1,0.5,a.png\n2,1,b.png\n")
    (tmp_path / "saved.csv").write_bytes(table.encode(encoding))
    for name in ("plain", "saved"):
        assert run("decode", VAE, tmp_path / f"{name}.csv", "--out", tmp_path / name) == 0
    plain, saved = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("plain", "saved")
    )
    assert plain.keys() == {"000001-a.png", "000002-b.png"}
    assert saved == plain


def test_columns_may_stand_in_any_order_beside_others(
    checkpoint_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "z.csv").write_text("label,z2,row_id,z1\nBag,0.5,7,-1\n\nCoat,1,8,2\n")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 0
    z = np.array([[-1, 0.5], [2, 1]], np.float32)
    wanted = to_uint8(decode(load_checkpoint(VAE).model, z))[..., 0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000001.png",
        "000002.png",
    ]
    for path, pixels in zip(sorted((tmp_path / "out").iterdir()), wanted, strict=True):
        np.testing.assert_allclose(np.asarray(Image.open(path)).astype(int), pixels, atol=1)


def test_a_checkpoint_may_be_a_path(
    published_checkpoints: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "none")
    out = tmp_path / "latents.csv"
    assert run("encode", published_checkpoints / VAE, pictures, "--out", out) == 0
    assert len(read_csv(out)) == 100


# What is left out, and what is refused


def test_pictures_that_cannot_be_read_are_counted_and_named(
    checkpoint_root: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "torn.png").write_bytes((pictures / "001.png").read_bytes()[:60])
    (pictures / "words.jpg").write_text("no picture")
    (pictures / "notes.txt").write_text("not looked at")
    assert run("encode", VAE, pictures, "--out", tmp_path / "out.csv") == 0
    told = capsys.readouterr().out
    assert "Encoded 100 of 102 images" in told
    assert "2 left out: cannot be read" in told
    assert "left out: torn.png: " in told
    assert "left out: words.jpg: not an image" in told
    assert "notes.txt" not in told
    assert len(read_csv(tmp_path / "out.csv")) == 100


def test_files_that_are_no_images_are_counted_and_named(
    checkpoint_root: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "notes.txt").write_text("text")
    (pictures / "001.png").rename(pictures / "no_ending")
    (pictures / "gone").symlink_to(tmp_path / "nowhere")
    assert run("encode", VAE, pictures, "--out", tmp_path / "out.csv") == 0
    captured = capsys.readouterr()
    assert "Encoded 100 of 100 images" in captured.out
    assert "2 other files left out" in captured.err
    assert "notes.txt: not a supported image" in captured.err
    assert "gone: a broken link" in captured.err
    assert "no_ending" in {row["file"] for row in read_csv(tmp_path / "out.csv")}


def test_where_nothing_can_be_encoded_nothing_is_written(
    checkpoint_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    assert run("encode", VAE, tmp_path / "pictures", "--out", tmp_path / "out.csv") == 2
    assert "has no images" in capsys.readouterr().err
    (tmp_path / "pictures" / "notes.txt").write_text("text")
    assert run("encode", VAE, tmp_path / "pictures", "--out", tmp_path / "out.csv") == 2
    assert "1 file of other kinds (notes.txt)" in capsys.readouterr().err
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    assert run("encode", VAE, tmp_path / "pictures", "--out", tmp_path / "out.csv") == 2
    assert "None of these images can be encoded" in capsys.readouterr().err
    assert run("encode", VAE, tmp_path / "nowhere", "--out", tmp_path / "out.csv") == 2
    assert "does not exist" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lacks z1"),
        ("z1,z3\n1,2\n", "lacks z2"),
        ("z1,z2,z3\n1,2,3\n", "more than 2 dimensions"),
        ("z1,z2\n", "no rows below its header"),
        ("z1,z2\n1,2\n1,two\n", "line 3: every z must be a number"),
        ("z1,z2\n1\n", "line 2: every z must be a number"),
        ("z1,z2\n1,nan\n", "line 2: every z must be finite"),
        ("z1,z2\n1,1e39\n", "line 2: every z must be finite"),
        ("z1,z2\n1,\n", r"line 2.*column 2 \(z2\) is empty"),
        ("z1;z2\n\n1;two\n", r"line 3.*column 2 \(z2\) holds 'two'"),
        ("z1,z2\n0,5,1,5\n", "line 2: 4 cells for 2 names"),
        ("z1;z2\n0,5;1\n2;1.5\n", "line 3 has a decimal point, and line 2 a comma"),
        ("z1;z2\n1.234,5;1\n", "line 2: every z must be a number"),
        ("z1,z2,Z1\n1,2,3\n", "two columns z1"),
        ('z1,z2\n1,"2\n', "line 2: this row cannot be read"),
        ("z1,z2\n1,\0\n", "line 2|cannot be read"),
    ],
)
def test_a_table_that_cannot_be_decoded_leaves_nothing(
    checkpoint_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    reason: str,
) -> None:
    (tmp_path / "z.csv").write_text(text, encoding="utf-8")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 2
    assert re.search(reason, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["z.csv"]


def test_a_decoder_that_overflows_says_where(
    checkpoint_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overflow(*_: object) -> None:
        raise ValueError("The decoder overflows: z reaches 1e+30.")

    monkeypatch.setattr(transfer, "decode", overflow)
    (tmp_path / "z.csv").write_text("z1,z2\n1,2\n1e30,2\n", encoding="utf-8")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 2
    assert "Images 1 to 2: The decoder overflows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there_or_no_text_is_refused(
    checkpoint_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 2
    assert "cannot be read: No such file" in capsys.readouterr().err
    (tmp_path / "z.csv").write_bytes(b"\xff\xfe\x00")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_already_is_kept(
    checkpoint_root: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("kept")
    assert run("encode", VAE, pictures, "--out", out) == 2
    assert "out.csv already exists" in capsys.readouterr().err
    assert out.read_text() == "kept"
    (tmp_path / "z.csv").write_text("z1,z2\n1,2\n")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", pictures) == 2
    assert "pictures already exists" in capsys.readouterr().err
    assert len(list(pictures.rglob("*.png"))) == 100


def test_a_name_in_a_table_leads_nowhere(checkpoint_root: Path, tmp_path: Path) -> None:
    names = ["../../evil.png", "/etc/passwd", "..", "", "a b\\c d.jpg", "é" * 300]
    lines = "".join(f'"{name}",0,0\n' for name in names)
    (tmp_path / "z.csv").write_text(f"file,z1,z2\n{lines}", encoding="utf-8")
    assert run("decode", VAE, tmp_path / "z.csv", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000001-evil.png",
        "000002-passwd.png",
        "000003.png",
        "000004.png",
        "000005-c-d.png",
        f"000006-{'é' * 60}.png",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "z.csv"]


def test_a_command_stopped_half_way_leaves_nothing(
    checkpoint_root: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(99))

    def stop(*arguments: object) -> object:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(transfer, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        run("encode", VAE, pictures, "--out", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_memory_does_not_grow_with_the_number_of_lines(
    checkpoint_root: Path, tmp_path: Path
) -> None:
    def peak(count: int, out: str = "") -> int:
        table = tmp_path / f"{count}.csv"
        table.write_text("z1,z2\n" + "0.5,0.25\n" * count)
        tracemalloc.start()
        assert run("decode", VAE, table, "--out", tmp_path / f"{count}{out}") == 0
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # what is only made once
    # The less of two: Python's own table of strings doubles now and then.
    assert min(peak(6_400), peak(6_400, "-again")) < 2 * peak(640)


# Models of faces and of garments


def test_a_photo_is_aligned_as_the_app_does_and_one_without_a_face_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    astronaut = Image.fromarray(skimage.data.astronaut())
    astronaut.save(folder / "astronaut.png")
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.png")
    checkpoint = PROJECT / "checkpoints" / "faces-vae-32"
    assert run("encode", checkpoint, folder, "--out", tmp_path / "out.csv") == 0
    told = capsys.readouterr().out
    assert "Encoded 1 of 2 images" in told
    assert "1 left out: no face found" in told
    assert "left out: coffee.png: no face was found" in told
    crop = np.asarray(align(astronaut, find_faces(astronaut)[0], 32).image, np.float32) / 255
    z_mean, _ = encode(load_checkpoint(checkpoint).model, crop.transpose(2, 0, 1)[None].copy())
    np.testing.assert_allclose(read_z(read_csv(tmp_path / "out.csv")), z_mean, atol=1e-4)


def test_a_garment_is_made_as_the_app_does_unless_it_is_like_the_sets() -> None:
    card = load_checkpoint(PROJECT / "checkpoints" / "fashion-vae-2d").card
    pixels = np.full((90, 60, 3), 250, np.uint8)
    pixels[20:70, 15:45] = 40
    picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    np.testing.assert_array_equal(fit_image(buffer.getvalue(), card), fit_garment(picture, 32))
    like = fit_image(buffer.getvalue(), card, as_is=True)
    assert like.shape == (1, 32, 32)
    assert like[0, 2, 2] == pytest.approx(250 / 255)  # not turned into ink
    assert np.all(like[0, :2] == 0)  # padded as the set is


def test_progress_counts_every_picture(
    checkpoint_root: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str | None]] = []
    (pictures / "torn.png").write_bytes(b"")
    checkpoint = load_checkpoint(VAE)
    with open_image_files(pictures) as image_files:
        transfer.encode_image_files(
            image_files,
            checkpoint.model,
            checkpoint.card,
            tmp_path / "out.csv",
            on_picture=lambda name, fault: seen.append((name, fault)),
        )
    assert len(seen) == 101
    assert [name for name, fault in seen if fault] == ["torn.png"]
    assert not [path for path in tmp_path.iterdir() if str(os.getpid()) in path.name]


# HTML


def test_models_become_one_page(
    checkpoint_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "models.html"
    page.write_text("an earlier one")
    assert run("export", VAE, DEEP, VAE, "--html", page) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count('data-part="decoder"') == 2
    assert "models.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("export", "digits-vae-2dd", "--html", "a.html"), "Did you mean 'digits-vae-2d'"),
        (("export", VAE, "--html", "a.zip"), "ends in .html"),
        (("export", VAE, "--html", "file/a.html"), "cannot be written"),
        (("export", VAE, DEEP, "--out", "onnx"), "--html"),
    ],
)
def test_pages_that_are_not_written(
    checkpoint_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    wanted: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(*arguments) == 2
    assert wanted in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("target", [(), ("--out", "a", "--html", "a.html")])
def test_an_export_has_one_target(target: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        run("export", VAE, *target)
