"""Photographs that arrive with scikit-image and scikit-learn, each with its credit, and the learner's own pictures."""

from __future__ import annotations

import difflib
import http.client
import urllib.request
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from helpers.ground.errors import CourseError

SIZE = 224  # pixels: the side of what the ImageNet networks see
LARGEST, SMALLEST = 1024, 16  # an own picture is reduced to the first and must reach the second
PICTURES = {  # name: (title, credit); only these lie inside the wheels
    "cat": ("Chelsea the cat", "Stefan van der Walt, CC0, scikit-image"),
    "coffee": (
        "A cup of coffee",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0, scikit-image",
    ),
    "camera": ("A man with a camera", "Lav Varshney, CC0, scikit-image"),
    "rocket": ("Launch of a Falcon 9", "SpaceX, public domain, scikit-image"),
    "astronaut": ("Eileen Collins", "NASA, public domain, scikit-image"),
    "palace": ("Summer Palace, Beijing", "Daniel Buechele (china.jpg), CC BY 2.0, scikit-learn"),
    "flower": ("A dahlia", "vultilion (flower.jpg), CC BY 2.0, scikit-learn"),
}


@dataclass(frozen=True)
class Photo:
    """One photograph and what has to be said with it."""

    name: str  # the short name `load` knows it by
    title: str  # for figures
    image: np.ndarray = field(repr=False)  # (H, W, 3) uint8, RGB
    credit: str  # who made it, licence, package; goes under every figure


def load(*names: str) -> list[Photo]:
    """The named photographs, or all seven; raises CourseError for a name that is not among them."""
    for name in names:
        if name not in PICTURES:
            raise CourseError(
                f"There is no photograph {name!r} here; choose from {', '.join(PICTURES)}."
            )
    return [
        Photo(name, PICTURES[name][0], _from_package(name), PICTURES[name][1])
        for name in names or PICTURES
    ]


def _from_package(name: str) -> np.ndarray:
    from skimage import data
    from sklearn.datasets import load_sample_image

    if name in ("palace", "flower"):
        return np.array(load_sample_image("china.jpg" if name == "palace" else "flower.jpg"))
    image = getattr(data, "chelsea" if name == "cat" else name)()
    return (
        image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    )  # the man with a camera is grey


def square(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The middle of a picture as the network sees it: (H, W, 3) uint8 to (size, size, 3) uint8."""
    _check(image)
    side, (height, width) = min(image.shape[:2]), image.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    pixels = (
        torch.tensor(image[top : top + side, left : left + side]).permute(2, 0, 1)[None].float()
    )  # (1, 3, side, side)
    pixels = F.interpolate(
        pixels, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return pixels[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def preprocess(image: np.ndarray, size: int = SIZE) -> Tensor:
    """(H, W, 3) uint8 to the (1, 3, size, size) input of `nets.imagenet`: the middle square, (rgb - 127) / 128."""
    return (torch.tensor(square(image, size)).permute(2, 0, 1)[None].float() - 127) / 128


def as_image(inputs: Tensor) -> np.ndarray:
    """Back from one network input, (1, 3, H, W) or (3, H, W), to a picture (H, W, 3) uint8."""
    pixels = inputs.detach().reshape(inputs.shape[-3:]).permute(1, 2, 0).float().cpu() * 128 + 127
    return pixels.round().clamp(0, 255).byte().numpy()


def open_picture(source: str | Path | bytes, *, name: str | None = None) -> np.ndarray:
    """A learner's own picture (path, http address or a file's bytes): (H, W, 3) uint8 RGB, upright, at most 1,024 pixels a side.

    Phone photographs are turned upright (EXIF), grey and 16-bit ones become 8-bit RGB, transparency becomes white, and
    large ones are reduced. Raises CourseError, in one sentence, for whatever cannot be read. name: what to call bytes.
    """
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        return open_picture(_download(source), name=name or source)
    path = None if isinstance(source, bytes) else Path(source).expanduser()
    name = name or (path.name if path else "the uploaded file")
    if path and not path.is_file():
        raise CourseError(
            f"There is no file {str(source)!r}{_nearest(path)}. Give the path of a JPEG or PNG picture."
        )
    content = path.read_bytes() if path else source
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(BytesIO(content)) as picture,
        ):  # large is fine
            picture.draft("RGB", (LARGEST, LARGEST))  # JPEG: decode at a fraction of the size
            image = np.asarray(_upright_rgb(picture))
    except UnidentifiedImageError as error:
        text = (
            " (it is empty)"
            if not content
            else " (it holds text)"
            if _is_text(content[:64])
            else ""
        )
        raise CourseError(
            f"{name} is not a picture, whatever its name says{text}. Give a JPEG or PNG file."
        ) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise CourseError(
            f"{name} has too many pixels to open here. Save it smaller, 4,000 a side are plenty."
        ) from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    ) as error:  # Pillow's names for damaged files
        raise CourseError(
            f"{name} is damaged or cut off. Save or copy it again, or take another."
        ) from error
    _check(image, name)
    return image


def _download(address: str, most: int = 20 * 2**20) -> bytes:
    """A file of at most 20 MiB from the web; a CourseError where it cannot be had."""
    try:
        request = urllib.request.Request(
            address, headers={"User-Agent": "Mozilla/5.0"}
        )  # some refuse Python's own name
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = answer.read(most + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CourseError(
            f"{address} cannot be fetched ({getattr(error, 'reason', error)}). Check the address and the connection, "
            "or save the picture and give its path."
        ) from error
    if len(content) > most:
        raise CourseError(
            f"{address} is larger than {most >> 20} MiB. Save the picture smaller and give its path."
        )
    return content


def _upright_rgb(picture: Image.Image) -> Image.Image:
    """Any of Pillow's modes to 8-bit RGB, turned as its EXIF entry says, reduced to LARGEST."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # grey with 16 or 32 bits, or float
        values = np.asarray(picture, dtype=np.float64)
        low, high = min(values.min(), 0), max(values.max(), 1)
        high = next(
            (full for full in (1, 255, 65535) if high <= full), high
        )  # the range its numbers come from
        picture = Image.fromarray(((values - low) / (high - low) * 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture


def _check(image: np.ndarray, name: str = "this picture") -> None:
    if (
        not isinstance(image, np.ndarray)
        or image.ndim != 3
        or image.shape[2] != 3
        or image.dtype != np.uint8
    ):
        found = (
            f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
        )
        raise CourseError(
            f"A picture is an array (height, width, 3) of uint8; this one is {found}. "
            "open_picture(path) makes one from any file."
        )
    if min(image.shape[:2]) < SMALLEST:
        raise CourseError(
            f"{name} has only {image.shape[0]} x {image.shape[1]} pixels; give one with at least "
            f"{SMALLEST} on each side (200 and more give useful maps)."
        )


def _nearest(path: Path) -> str:
    try:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=3)
    except OSError:  # the folder is not there either
        return f" (nor a folder {path.parent})"
    return f" (near it: {', '.join(near)})" if near else ""


def _is_text(start: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
