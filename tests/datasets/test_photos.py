"""The photographs, and what becomes of every kind of picture that a learner may bring."""

import os
import struct
import threading
from base64 import b64encode
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.datasets import photos
from helpers.ground.errors import CourseError


def as_bytes(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    picture.save(buffer := BytesIO(), form, **options)
    return buffer.getvalue()


def gradient(height=60, width=90) -> np.ndarray:
    """Left to right from black to white."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return np.broadcast_to(row, (height, width)).copy()


GREY = gradient()
RGB = np.stack([GREY] * 3, -1)  # (60, 90, 3)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))


def test_seven_photographs_each_with_a_credit():
    pictures = photos.load()
    assert [p.name for p in pictures] == list(photos.PICTURES)
    for p in pictures:
        assert p.image.dtype == np.uint8
        assert p.image.ndim == 3
        assert p.image.shape[2] == 3
        assert p.image.std() > 20
        assert any(licence in p.credit for licence in ("CC0", "public domain", "CC BY"))
        assert p.title
    assert [p.name for p in photos.load("rocket", "cat")] == ["rocket", "cat"]
    with pytest.raises(CourseError, match="no photograph 'bird'.*cat, coffee"):
        photos.load("bird")


def test_preprocess_takes_the_middle_square_and_can_be_undone():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = (255, 127, 0)
    x = photos.preprocess(image)
    assert x.shape == (1, 3, 224, 224)
    assert x.dtype == torch.float32
    assert x[0].amin((1, 2)).tolist() == x[0].amax((1, 2)).tolist() == [1.0, 0.0, -127 / 128]
    np.testing.assert_array_equal(photos.as_image(x), photos.square(image))
    torch.testing.assert_close(photos.preprocess(image / 255), x)


@pytest.mark.parametrize("shape", [(2, 3, 20, 20), (20, 20, 3), (20, 20), (1, 1, 20, 20)])
def test_what_is_no_network_input_is_refused(shape):
    with pytest.raises(CourseError, match="One input is"):
        photos.as_image(torch.zeros(shape))


# ---- one gate for arrays, tensors and Pillow's pictures: kinds are in tests/test_fuzz.py
def test_masks_are_black_and_white_and_a_dark_picture_stays_dark():
    assert np.unique(photos.as_rgb(GREY > 100)).tolist() == [0, 255]
    assert photos.as_rgb(np.ones((20, 20, 3), np.uint8)).max() == 1


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (RGB / 127.5 - 1, "numbers from -1 to 1.*0 to 1"),
        ((RGB / 255 - 0.45) / 0.22, "numbers from -2.05 to 2.5"),  # standardised: was black
        (RGB / 255 * 1.6 - 0.3, "numbers from -0.3 to 1.3"),
        (RGB / 255 * 1.3, "numbers from 0 to 1.3"),
        (Image.fromarray((GREY / 127.5 - 1).astype(np.float32)), "numbers from 0 to 2"),
        (torch.zeros(3, 40, 60, device="meta"), "is a Tensor"),
        (Path("cat.png"), "photos.open_picture opens files"),
        (as_bytes(Image.fromarray(RGB)), "photos.open_picture opens files"),
        (np.full((30, 30), np.nan), "numbers from nan"),
        (np.where(GREY > 250, np.inf, 0), "to inf"),
        (np.stack([RGB] * 2), r"ndarray \(2, 60, 90, 3\)"),
        (np.zeros((40, 50, 7)), r"\(40, 50, 7\)"),
        (RGB.astype(complex), "complex"),
        ("cat.jpg", "str is none: photos.open_picture"),
        (None, "NoneType"),
        ([[1, 2], [3]], "list"),
        (np.zeros((0, 0, 3), np.uint8), "0 x 0 pixels"),
        (RGB[:8], "90 x 8 pixels"),
    ],
    ids=lambda value: f"{value:.20}" if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_refused_in_a_sentence(picture, said):
    with pytest.raises(CourseError, match=said) as caught:
        photos.as_rgb(picture)
    assert "\n" not in str(caught.value)


def test_a_picture_that_was_closed_is_refused_in_a_sentence():
    (closed := Image.fromarray(RGB)).close()
    with pytest.raises(CourseError, match="cannot be read .*: open it again"):
        photos.as_rgb(closed)


@pytest.mark.parametrize(
    "hand_over",
    [
        lambda: RGB,
        lambda: Image.fromarray(RGB),
        lambda: torch.from_numpy(RGB).permute(2, 0, 1) / 255,
        lambda: torch.quantize_per_tensor(torch.from_numpy(RGB).float(), 1.0, 0, torch.quint8),
        lambda: photos.Photo("grey", "A ramp", RGB, "nobody"),
        lambda: BytesIO(as_bytes(Image.fromarray(RGB))),
        lambda: bytearray(as_bytes(Image.fromarray(RGB))),
    ],
)
def test_open_picture_takes_what_is_open_already(hand_over):
    np.testing.assert_array_equal(photos.open_picture(hand_over()), RGB)
    assert max(photos.open_picture(np.zeros((60, 3000, 3), np.uint8)).shape) == photos.LARGEST


@pytest.mark.parametrize("mode", ["closed", "text"])
def test_a_file_that_cannot_be_read_as_bytes_is_refused_in_a_sentence(mode, tmp_path):
    (tmp_path / "cat.png").write_bytes(as_bytes(Image.fromarray(RGB)))
    with open(tmp_path / "cat.png", "rb" if mode == "closed" else "r", encoding=None) as file:
        if mode == "closed":
            file.close()
        with pytest.raises(CourseError, match="cannot be read .*: open it as bytes"):
            photos.open_picture(file)


# ---- files
def exif(turn: int, tag: int, kind: int, value: bytes) -> bytes:
    """EXIF with an orientation and one more entry, however wrong."""
    body = struct.pack(">HHLHH", 0x0112, 3, 1, turn, 0) + struct.pack(">HHL", tag, kind, 1)
    body += struct.pack(">L", 38) if len(value) > 4 else value.ljust(4, b"\0")
    return b"Exif\0\0MM\0*" + struct.pack(">LH", 8, 2) + body + bytes(4) + value


ENTRIES = {
    "sound": (0x011A, 5, struct.pack(">LL", 72, 1)),
    "resolution -1/0": (0x011A, 10, struct.pack(">ll", -1, 0)),
    "resolution a text": (0x011A, 2, b"7"),
    "unit a text": (0x0128, 2, b"a"),
    "camera a number": (0x010F, 5, struct.pack(">LL", 7, 1)),
    "offset beyond the end": (0x8769, 4, b"\xff\xff\xff\xff"),
    "a type that does not exist": (0x010F, 77, b"abcd"),
}


@pytest.mark.parametrize(("way", "turn"), [("ROTATE_270", 8), ("ROTATE_180", 3), ("TRANSPOSE", 5)])
@pytest.mark.parametrize("entry", ENTRIES)
def test_exif_rotation_is_undone_even_where_other_entries_are_damaged(way, turn, entry):
    turned = Image.fromarray(RGB).transpose(Image.Transpose[way])
    content = as_bytes(turned, "JPEG", exif=exif(turn, *ENTRIES[entry]), quality=100)
    for opened in (photos.open_picture(content), photos.as_rgb(Image.open(BytesIO(content)))):
        assert opened.shape == RGB.shape
        assert np.abs(opened.astype(int) - RGB).max() <= 4


def test_other_modes():
    transparent = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert (photos.open_picture(as_bytes(transparent)) == 255).all()  # transparent is white
    cmyk = photos.open_picture(as_bytes(Image.new("CMYK", (40, 40), (0, 0, 0, 255)), "JPEG"))
    assert cmyk.shape == (40, 40, 3)
    assert cmyk.max() < 10
    unit = photos.open_picture(as_bytes(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"))
    assert np.abs(unit.astype(int) - RGB).max() <= 1  # float between 0 and 1
    scanner = Image.fromarray(np.round(GREY / 255 * 4095).astype(np.uint16))  # 12 bits in 16
    assert np.abs(photos.open_picture(as_bytes(scanner)).astype(int) - RGB).max() <= 1


def test_huge_pictures_are_reduced(tmp_path):
    Image.new("RGB", (10_000, 9_990), (10, 200, 30)).save(tmp_path / "huge.jpg")
    opened = photos.open_picture(tmp_path / "huge.jpg")
    assert max(opened.shape) == photos.LARGEST
    assert min(opened.shape[:2]) == 1023
    assert np.abs(opened[500, 500].astype(int) - (10, 200, 30)).max() <= 2


UNREADABLE = {
    "text.jpg": (b"Dear reader,\nthis is no picture.\n", "not a picture.*holds text"),
    "empty.jpg": (b"", "it is empty"),
    "noise.png": (bytes(range(256)) * 9, "not a picture"),
    "cut.jpg": (as_bytes(NOISE, "JPEG")[:9000], "damaged or cut off"),
    "small.png": (as_bytes(Image.new("RGB", (8, 40))), "only 8 x 40 pixels"),
    "IMG_0001.HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a HEIC.*as JPEG"),
    "IMG_0002.jpg": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99), "a HEIC.*as JPEG"),
    "burst.jpg": (b"\0\0\0\x18ftyphevx\0\0\0\0mif2" + bytes(99), "a HEIC"),
    "film.jpg": (b"\0\0\0\x18ftypqt  \0\0\0\0qt  " + bytes(99), "it is a film"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_gets_one_sentence(name, tmp_path):
    content, said = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CourseError, match=f"{name} .*{said}") as caught:
        photos.open_picture(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(CourseError, match=f"The uploaded file .*{said}"):
        photos.open_picture(content)


def test_a_gigantic_picture_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(CourseError, match="too many pixels"):
        photos.open_picture(as_bytes(NOISE, "JPEG"))


# ---- paths as people paste them
@pytest.mark.parametrize(
    "pasted",
    ["{}", ' "{}" ', "'{}'\n", "“{}”", "file://{}", '"file://{}"', "FILE://localhost{}", "<{}>"]
    + [
        "& '{}'",
        "\u202a{}",
        "`{}`",
        "«{}»",
        "„{}“",
        "$FOLDER/my cat.png",
        "~/my cat.png",
        r"~/my\ cat.png",
    ],
)
def test_a_pasted_path_is_found(pasted, tmp_path, monkeypatch):
    for name in ("FOLDER", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    path = tmp_path / ("my cat.png" if "//" not in pasted else "my%20cat.png")
    Image.fromarray(RGB).save(tmp_path / "my cat.png")
    np.testing.assert_array_equal(photos.open_picture(pasted.format(path)), RGB)


def test_a_place_in_a_folder_is_a_path(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "cat.png")
    (entry,) = os.scandir(tmp_path)
    np.testing.assert_array_equal(photos.open_picture(entry), RGB)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{}/cat.jpeg", "no file .*cat.jpeg.*near it: cat.jpg"),
        ("{}/nowhere/a.jpg", "nor a folder"),
        ("{}", "it is a folder"),
        ("x" * 5000, "no file .*… *.*(too long|x)"),
        ("a\0b.png", "no file"),
        ("~nobody-of-this-name/cat.png", "no file"),
        ("", "no file ''"),
        ("file://[x/cat.png", "no file"),
    ],
    ids=["near", "nowhere", "folder", "5,000", "zero byte", "nobody's home", "empty", "no address"],
)
def test_a_path_that_leads_nowhere_gets_one_short_sentence(typed, said, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(b"")
    with pytest.raises(CourseError, match=said) as caught:
        photos.open_picture(typed.format(tmp_path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


# ---- a picture by its address
@pytest.fixture
def site(tmp_path):
    """A web server on this machine that serves a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_picture_by_its_address(site, tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    assert photos.open_picture(f' "{site}/red.png" ').shape == (40, 60, 3)
    data = f"data:image/png;base64,{b64encode((tmp_path / 'red.png').read_bytes()).decode()}"
    assert photos.open_picture(data).shape == (40, 60, 3)  # what browsers copy
    (tmp_path / "page.html").write_text("<html>no picture here</html>")
    for address, said in (("page.html", "is not a picture"), ("nothing.png", "cannot be fetched")):
        with pytest.raises(CourseError, match=said) as caught:
            photos.open_picture(f"{site}/{address}")
        assert "\n" not in str(caught.value)
        assert address in str(caught.value)
    with pytest.raises(CourseError, match="cannot be fetched"):
        photos.open_picture("https:// no address at all")


def test_a_picture_too_large_to_fetch(site, tmp_path):
    (tmp_path / "big.png").write_bytes(b"x" * 2000)
    with pytest.raises(CourseError, match="larger than"):
        photos._download(f"{site}/big.png", "big.png", most=1000)
