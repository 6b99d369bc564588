"""Photographs that arrive with scikit-image and scikit-learn, and pictures that learners bring."""

import difflib
import http.client
import os
import re
import urllib.request
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from helpers.ground.errors import CourseError, checked

SIZE = 224  # pixels: the side of what the ImageNet networks see
LARGEST, SMALLEST = 1024, 16  # an own picture is reduced to the first and must reach the second
FULL = (1, 255, 1023, 4095, 16383, 65535)  # a white pixel in 1, 8, 10, 12, 14 and 16 bits
HEIC = b"heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 avif avis".split()  # brands
AROUND = " \t\r\n\"'`“”„‘’‚‹›«»<>\u200b\u200e\u200f\u202a\u202c\ufeff"  # pasted with a path
MICHETTI = "Rachel Michetti, courtesy of Pikolo Espresso Bar"
PICTURES = {  # name: (title, credit); only these lie inside the wheels
    "cat": ("Chelsea the cat", "Stefan van der Walt, CC0, scikit-image"),
    "coffee": ("A cup of coffee", f"{MICHETTI}, CC0, scikit-image"),
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
    from skimage import data
    from sklearn.datasets import load_sample_image

    of_sklearn, of_skimage = {"palace": "china.jpg", "flower": "flower.jpg"}, {"cat": "chelsea"}
    photos = []
    for name in names or PICTURES:
        if name not in PICTURES:
            raise CourseError(f"There is no photograph {name!r} here, only {', '.join(PICTURES)}.")
        if name in of_sklearn:
            picture = load_sample_image(of_sklearn[name])
        else:
            picture = getattr(data, of_skimage.get(name, name))()  # "camera" is grey
        title, credit = PICTURES[name]
        photos.append(Photo(name, title, as_rgb(picture), credit))
    return photos


# ---- what the networks see --------------------------------------------------------------------
@checked
def square(image, size: int = SIZE) -> np.ndarray:
    """The middle of a picture as the network sees it: any picture to (size, size, 3) uint8."""
    image = as_rgb(image)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = torch.from_numpy(image[top : top + side, left : left + side])
    pixels = middle.permute(2, 0, 1)[None].float()  # (1, 3, side, side)
    small = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def preprocess(image, size: int = SIZE) -> Tensor:
    """What `pretrained.imagenet` reads, (1, 3, size, size): middle square, (rgb - 127) / 128."""
    return (torch.from_numpy(square(image, size)).permute(2, 0, 1)[None].float() - 127) / 128


@checked
def as_image(inputs: Tensor) -> np.ndarray:
    """Back from one network input, (1, 3, H, W) or (3, H, W), to a picture (H, W, 3) uint8."""
    inputs = inputs.detach().cpu()
    if tuple(inputs.shape[:-2]) not in ((3,), (1, 3)) or not inputs.isfinite().all():
        given = f"{tuple(inputs.shape)}, or some are NaN"
        raise CourseError(f"One input is (1, 3, H, W) or (3, H, W) of numbers, not {given}.")
    pixels = inputs.reshape(inputs.shape[-3:]).permute(1, 2, 0).float() * 128 + 127
    return pixels.round().clamp(0, 255).byte().numpy()


# ---- pictures of any kind ---------------------------------------------------------------------
def as_rgb(picture, name: str = "This picture") -> np.ndarray:
    """A picture of any usual kind as (H, W, 3) uint8 RGB, a copy.

    picture: Pillow's, or an array or tensor (H, W), (H, W, C) or (C, H, W), alone or as the only
    one of its batch; what is transparent becomes white. Numbers run from 0 to 255 or, floats and
    masks, from 0 to 1; larger ones have 10 to 16 bits. CourseError for anything else.
    """
    picture = picture.image if isinstance(picture, Photo) else picture
    if not isinstance(picture, Image.Image):
        values = eight_bits(_channels_last(picture, name), name)  # (H, W, C)
        picture = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    try:
        return _large_enough(_rgb(_upright(picture.copy()), name), name)
    except (ValueError, OSError) as error:  # closed, cut off, or of a mode that Pillow cannot turn
        raise CourseError(f"{name} cannot be read ({error}): open it again.") from error


def _large_enough(picture: Image.Image, name: str) -> np.ndarray:
    image = np.array(picture)  # (H, W, 3)
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        needs = f"give one with at least {SMALLEST} on each side, better 200"
        raise CourseError(f"{name} has only {width} x {height} pixels; {needs}.")
    return image


def _channels_last(picture, name: str) -> np.ndarray:
    """Numbers (H, W, C), C from 1 to 4; CourseError where they are no single picture."""
    if isinstance(picture, Tensor):
        with suppress(RuntimeError, NotImplementedError):  # meta and nested ones have no numbers
            picture = picture.detach().to_dense().cpu().resolve_neg()
            picture = picture.dequantize() if picture.is_quantized else picture
            picture = picture.float() if picture.is_floating_point() else picture  # not bfloat16
    try:
        values = np.asarray(picture)
    except (ValueError, TypeError, RuntimeError):  # rows of different lengths; no numbers
        values = np.empty(0)
    shape = values.shape
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim == 3 and values.shape[2] > 4 and values.shape[0] <= 4:
        values = np.moveaxis(values, 0, 2)  # (C, H, W), as torch has it
    if values.dtype.kind not in "buif" or values.ndim != 3 or not 1 <= values.shape[2] <= 4:
        given = f"this one is a {type(picture).__name__} {shape} of {values.dtype}"
        if isinstance(picture, (str, Path, bytes)):
            given = f"{type(picture).__name__} is none: photos.open_picture opens files"
        raise CourseError(f"A picture is an array (height, width, 3) of numbers; {given}.")
    return values


def eight_bits(values: np.ndarray, name: str = "This picture") -> np.ndarray:
    """Numbers from 0 to white as uint8; white is the first of FULL that the largest fits.

    Floats up to 8 that are beyond 1 are in no such range: most were standardised for a network.
    """
    if values.dtype == np.uint8 or not values.size:
        return values.astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    beyond = 1.1 if values.dtype.kind == "f" else 1  # enlarging overshoots: cut off, no other range
    white = next((full for full in FULL if high <= beyond * full), high)
    standardised = values.dtype.kind == "f" and white == 255 and high < 8
    if not low >= high * (1 - beyond) or not np.isfinite(high) or standardised:
        given = f"numbers from {low:.3g} to {high:.3g}"
        raise CourseError(f"{name} has {given}, not 0 to 1 or 0 to 255 (see photos.as_image).")
    return (values * (255 / white)).clip(0, 255).round().astype(np.uint8)


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF entry says. A picture is good even where its metadata are damaged."""
    picture.load()
    with suppress(Exception):  # in place: turned before Pillow writes the metadata back, and fails
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    """Any of Pillow's modes to 8-bit RGB: grey ones with more bits reduced, transparency white."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture)
        picture = Image.fromarray(eight_bits(values - min(values.min(), 0), name))
    picture = picture.convert("LA") if picture.mode == "La" else picture  # premultiplied
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


# ---- pictures of the learner's own ------------------------------------------------------------
def open_picture(source: str | Path | bytes, *, name: str | None = None) -> np.ndarray:
    """A learner's own picture, (H, W, 3) uint8 RGB, upright, at most 1,024 pixels a side.

    source: a path or web address as people paste it, or a file's bytes, which `name` names, or what
    `as_rgb` takes. Raises CourseError, in one sentence, for what cannot be read.
    """
    if hasattr(source, "read"):  # an open file
        try:
            source = source.read()
        except (OSError, ValueError) as error:  # closed, or opened as a text
            what = f"This file cannot be read ({error!s:.60})"
            raise CourseError(f"{what}: open it as bytes, open(path, 'rb').") from error
    if isinstance(source, (str, os.PathLike)):
        content, found = _read(source)
        name = name or found
    elif isinstance(source, (bytes, bytearray, memoryview)):
        content, name = bytes(source), name or "The uploaded file"
    else:
        small = Image.fromarray(as_rgb(source, name or "This picture"))
        small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        return _large_enough(small, name or "This picture")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(content)) as picture:
            picture.draft("RGB", (LARGEST, LARGEST))  # JPEG: decode at a fraction of the size
            small = _rgb(_upright(picture), name)
            small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    except UnidentifiedImageError as error:
        raise CourseError(f"{name} {_instead(content)}") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise CourseError(f"{name} has too many pixels. Save it with 4,000 a side.") from error
    except CourseError:
        raise
    except Exception as error:  # Pillow has a dozen names for what is wrong with a damaged file
        raise CourseError(f"{name} is damaged or cut off. Save or copy it again.") from error
    return _large_enough(small, name)


def _read(source: str | os.PathLike) -> tuple[bytes, str]:
    """What lies at a path or address as people paste it, and a short name for it."""
    typed = os.fspath(source).strip(AROUND).removeprefix("& ").strip(AROUND)  # "& " by PowerShell
    shown = typed if len(typed) <= 90 else f"{typed[:70]}…{typed[-15:]}"
    if typed.lower().startswith(("http://", "https://", "data:")):
        return _download(typed, shown), shown
    try:
        if typed.lower().startswith("file:"):
            typed = urllib.request.url2pathname(urlsplit(typed).path)
        path = Path(typed)
        path = Path(os.path.expandvars(path.expanduser()))
        plain = Path(re.sub(r"\\(.)", r"\1", str(path)))  # a terminal writes my\ cat.png
        path = plain if plain.is_file() and not path.exists() else path
        if path.is_file():
            return path.read_bytes(), path.name
        folder = " (it is a folder)" if typed and path.is_dir() else _nearest(path)
    except (OSError, ValueError, RuntimeError) as error:  # too long, not allowed, nobody's home
        folder = f" that can be read ({getattr(error, 'strerror', None) or error})"
    raise CourseError(f"There is no file {shown!r}{folder}. Give the path of a JPEG or PNG.")


def _download(address: str, shown: str, most: int = 20 * 2**20) -> bytes:
    """A file of at most 20 MiB from the web; a CourseError where it cannot be had."""
    agent = {"User-Agent": "Mozilla/5.0"}  # some refuse Python's own name
    try:
        request = urllib.request.Request(address, headers=agent)
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = answer.read(most + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        what = f"{shown} cannot be fetched ({getattr(error, 'reason', error)})"
        raise CourseError(f"{what}. Save the picture and give its path.") from error
    if len(content) > most:
        raise CourseError(f"{shown} is larger than {most >> 20} MiB. Save the picture smaller.")
    return content


def _nearest(path: Path) -> str:
    try:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=3)
    except OSError:  # the folder is not there either
        return f" (nor a folder {path.parent})"
    return f" (near it: {', '.join(near)})" if near else ""


def _instead(content: bytes) -> str:
    """What a file is that Pillow cannot read, and what to do."""
    box, brand = content[4:8], content[8:12]
    if box == b"ftyp" and brand in HEIC:
        phone = "an iPhone takes JPEGs with Settings > Camera > Formats > Most Compatible"
        return f"is a HEIC or AVIF picture, which cannot be read: export it as JPEG; {phone}."
    text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:64])
    what = " (it is a film)" if box == b"ftyp" else " (it holds text)" if text else ""
    what = what if content else " (it is empty)"
    return f"is not a picture, whatever its name says{what}. Give a JPEG or PNG file."
