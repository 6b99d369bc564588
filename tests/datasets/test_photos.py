"""The photographs, and what becomes of every kind of picture that a learner may bring."""

from io import BytesIO

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
    return np.broadcast_to(
        np.linspace(0, 255, width).round().astype(np.uint8), (height, width)
    ).copy()


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
    with pytest.raises(CourseError, match="uint8; this one is .*float64"):
        photos.preprocess(image / 255)


@pytest.mark.parametrize(
    "turn",
    [Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT],
)
def test_exif_rotation_is_undone(turn):
    upright = Image.fromarray(np.stack([gradient()] * 3, -1))
    tag = {
        Image.Transpose.ROTATE_270: 8,
        Image.Transpose.ROTATE_180: 3,
        Image.Transpose.FLIP_LEFT_RIGHT: 2,
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = tag
    opened = photos.open_picture(as_bytes(upright.transpose(turn), "PNG", exif=exif))
    np.testing.assert_array_equal(opened, np.asarray(upright))


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(gradient()),  # grey
        Image.fromarray(gradient().astype(np.uint16) * 257),  # 16-bit
        Image.fromarray(gradient().astype(np.int32) * 257),  # mode I
        Image.fromarray(gradient()).convert("P"),  # palette
        Image.merge(
            "LA", [Image.fromarray(gradient()), Image.new("L", (90, 60), 255)]
        ),  # grey with transparency
        Image.fromarray(np.stack([gradient()] * 3, -1)).convert("RGBA"),
    ],
    ids=["L", "16-bit", "I", "P", "LA", "RGBA"],
)
def test_every_mode_becomes_the_same_rgb(picture):
    opened = photos.open_picture(as_bytes(picture, "TIFF" if picture.mode == "I" else "PNG"))
    assert opened.dtype == np.uint8
    assert opened.shape == (60, 90, 3)
    assert np.abs(opened.astype(int) - gradient()[..., None]).max() <= 1


def test_other_modes():
    transparent = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert (photos.open_picture(as_bytes(transparent)) == 255).all()  # transparent is white
    cmyk = photos.open_picture(as_bytes(Image.new("CMYK", (40, 40), (0, 0, 0, 255)), "JPEG"))
    assert cmyk.shape == (40, 40, 3)
    assert cmyk.max() < 10
    unit = photos.open_picture(
        as_bytes(Image.fromarray(gradient().astype(np.float32) / 255), "TIFF")
    )
    assert np.abs(unit.astype(int) - gradient()[..., None]).max() <= 1  # float between 0 and 1


def test_huge_pictures_are_reduced(tmp_path):
    Image.new("RGB", (10_000, 9_990), (10, 200, 30)).save(tmp_path / "huge.jpg")
    opened = photos.open_picture(tmp_path / "huge.jpg")
    assert max(opened.shape) == photos.LARGEST
    assert min(opened.shape[:2]) == 1023
    assert np.abs(opened[500, 500].astype(int) - (10, 200, 30)).max() <= 2


def test_what_cannot_be_read_gets_one_sentence(tmp_path, monkeypatch):
    whole = as_bytes(
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)), "JPEG"
    )
    files = {
        "text.jpg": b"Dear reader,\nthis is no picture.\n",
        "empty.jpg": b"",
        "noise.png": bytes(range(256)) * 9,
        "cut.jpg": whole[: len(whole) // 2],
        "small.png": as_bytes(Image.new("RGB", (8, 40))),
    }
    expected = {
        "text.jpg": "text.jpg is not a picture.*holds text",
        "empty.jpg": "empty",
        "noise.png": "not a picture",
        "cut.jpg": "cut.jpg is damaged or cut off",
        "small.png": "small.png has only 40 x 8 pixels",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CourseError, match=expected[name]) as caught:
            photos.open_picture(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        with pytest.raises(CourseError):
            photos.open_picture(content)  # uploaded: bytes
    with pytest.raises(CourseError, match="no file .*text.jpeg.*near it: text.jpg"):
        photos.open_picture(tmp_path / "text.jpeg")
    with pytest.raises(CourseError, match="nor a folder"):
        photos.open_picture(tmp_path / "nowhere" / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # as if it were gigantic
    with pytest.raises(CourseError, match="too many pixels"):
        photos.open_picture(whole)


# ---- a picture by its address
@pytest.fixture
def site(tmp_path):
    """A web server on this machine that serves a folder."""
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

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
    assert photos.open_picture(f"{site}/red.png").shape == (40, 60, 3)
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
        photos._download(f"{site}/big.png", most=1000)
