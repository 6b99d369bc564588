"""What a scene may stand on, `ground(rng)` -> RGB: noise, patterns, crops of photographs."""

import random
from collections.abc import Sequence
from functools import cache
from math import cos, pi, sin

import numpy as np
from PIL import Image

from helpers.datasets import photos
from helpers.datasets.scenes import SIZE


def noise(rng: random.Random) -> Image.Image:
    """From white noise to clouds: the amplitude falls with a power, 0 to 1.5, of the frequency."""
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal((3, SIZE, SIZE))
    if power := rng.choice((0, 0, 0.5, 1, 1.5)):
        frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
        frequency[0, 0] = 1 / SIZE
        grain = np.fft.irfft2(np.fft.rfft2(grain) / frequency**power, s=(SIZE, SIZE))
        grain /= grain.std()
    if rng.random() < 0.3:
        grain[1:] = grain[0]  # grey
    return _picture(_colour(rng) + rng.uniform(15, 80) * grain.transpose(1, 2, 0))


def pattern(rng: random.Random, kinds: Sequence[str] = ("stripes", "checks")) -> Image.Image:
    """Two colours in stripes, checks or rings, with a hard or a soft edge."""
    turn, period, phase = rng.uniform(0, pi), rng.uniform(5, 40), rng.uniform(0, 2 * pi)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE * rng.uniform(0.2, 0.8)
    across = np.sin(2 * pi * (x * cos(turn) + y * sin(turn)) / period + phase)
    along = np.sin(2 * pi * (y * cos(turn) - x * sin(turn)) / period)
    rings = np.sin(2 * pi * np.hypot(x, y) / period)
    wave = {"stripes": across, "checks": across * along, "rings": rings}[rng.choice(kinds)]
    share = (wave * rng.choice((1, 30))).clip(-1, 1)[..., None] / 2 + 0.5
    return _picture(share * _colour(rng) + (1 - share) * _colour(rng))


def photograph(rng: random.Random, names: Sequence[str] = tuple(photos.PICTURES)) -> Image.Image:
    """A square crop of one of these photographs, mirrored half of the time."""
    picture = _photograph(rng.choice(names))
    side = rng.randint(SIZE, min(picture.size))
    left, top = (rng.randint(0, length - side) for length in picture.size)
    box = (left, top, left + side, top + side)
    crop = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


@cache
def _photograph(name: str) -> Image.Image:
    """At most 384 pixels on the shorter side, for quick crops. Names: `photos`, `skimage.data`."""
    if name in photos.PICTURES:
        image = photos.load(name)[0].image
    else:
        from skimage import data

        image = getattr(data, name)()
        image = photos.as_rgb(image[0] if isinstance(image, tuple) else image)
    picture = Image.fromarray(image)
    shrink = min(1, 384 / min(picture.size))
    return picture.resize([round(length * shrink) for length in picture.size])


def _colour(rng: random.Random) -> np.ndarray:
    return np.array([rng.randrange(256) for _ in range(3)])


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
