"""Where in a picture is the text? Maps of cos(text, picture), for any open_clip model.

    method(model, image, texts, *, options...) -> Tensor (Q, H, W), on the model's device

image (3, H, W), as `scaled` makes it; texts (Q, D), as `encode_queries` makes them. `crop_map` is
the deck's. `relevance` (a file of its own) and `grad_cam` open the model; `explain` applies
`saliency.occlusion` or `saliency.rise` to the similarity. These four see the middle square.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from helpers import saliency
from helpers.datasets.photos import as_rgb
from helpers.datasets.reviews import visible
from helpers.ground.boxes import boxes_on
from helpers.ground.errors import CourseError, checked, shown
from helpers.ground.runtime import chunk_for, in_chunks
from helpers.ground.stats import pearson
from helpers.saliency.core import Method, finite, wide

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")  # Unicode's blanks, marks and half emoji
LARGEST = 2048  # pixels on a side; more only costs time and memory


# ---- from words and pictures to tensors -------------------------------------------------------
@checked
@torch.no_grad()
def encode_queries(model, tokenizer, queries: str | Sequence[str]) -> Tensor:
    """Queries, or a single one, as rows of length 1 on the model's device: (Q, D)."""
    encode = tower_of(model, "encode_text")
    one = isinstance(queries, str) or not isinstance(queries, Iterable)
    queries = [queries] if one else list(queries)
    for query in queries or [""]:
        if not isinstance(query, str):
            raise CourseError(f"A query is a text in quotes, not {query!r:.80}.")
        if all(unicodedata.category(c) in INVISIBLE or c == "\ufe0f" for c in query):
            raise CourseError("The query is empty: write one, such as 'Who puts out fires?'.")
    queries = [visible(query) for query in queries]
    tokens = tokenizer(queries) if callable(tokenizer) else None  # (Q, T)
    if not isinstance(tokens, Tensor):
        given = shown(tokenizer)
        raise CourseError(f"tokenizer should be one of open_clip.get_tokenizer, not {given}.")
    longest = tokens.shape[1]
    for query, beyond in zip(queries, tokenizer(queries, 2 * longest)[:, longest:], strict=True):
        if (beyond != beyond[-1]).any():  # not padding alone
            given = f"{len(query.split())} words and more than the {longest} tokens that fit"
            raise CourseError(f"The query has {given} (a rare word takes several): shorten it.")
    return finite(encode(tokens.to(next(model.parameters()).device), normalize=True))


def scaled(model, image) -> Tensor:
    """A picture of any kind (`photos.as_rgb`) as the model wants its numbers; its size stays."""
    tower = tower_of(model)
    device = next(model.parameters()).device
    pixels = torch.from_numpy(as_rgb(image)).to(device).permute(2, 0, 1) / 255
    height, width = pixels.shape[1:]
    if max(height, width) > LARGEST:
        given = f"{width} x {height} pixels, more than {LARGEST} on a side"
        raise CourseError(f"This picture has {given}: photos.open_picture reduces it.")
    config = getattr(tower, "preprocess_cfg", {"mean": (0.5,) * 3, "std": (0.5,) * 3})
    mean, std = (pixels.new_tensor(config[key])[:, None, None] for key in ("mean", "std"))
    return (pixels - mean) / std


def tower_of(model, part: str = "visual"):
    """The tower that sees, or another part of a CLIP model; CourseError for other models."""
    if not hasattr(model, part):
        raise CourseError(f"model should be a CLIP model of open_clip, not {type(model).__name__}.")
    return getattr(model, part)


def refuse_raw(model, image, texts) -> None:
    """CourseError for what has not been through `scaled` and `encode_queries`, or no CLIP model."""
    tower_of(model)
    wanted = {"(3, H, W), from maps.scaled": image, "(Q, D), from maps.encode_queries": texts}
    for what, values in wanted.items():
        ndim = what.count(",")  # 3 of the picture, 2 of the texts
        fits = isinstance(values, Tensor) and values.is_floating_point() and values.ndim == ndim
        if not fits or not values.numel() or (ndim == 3 and len(values) != 3):
            raise CourseError(f"Give float numbers {what}, not {shown(values)}.")


def pixels_of(model) -> int:
    size = model.visual.image_size  # open_clip: a number for ResNets, a pair for ViTs
    high, across = (size, size) if isinstance(size, int) else size
    if high != across:
        raise CourseError(f"This model reads {across} x {high} pixels; maps need a square view.")
    return high


class Similarity(nn.Module):
    """cos(text, picture) as if each text were a class, for `saliency`: (B, 3, P, P) -> (B, Q)."""

    def __init__(self, model, texts: Tensor):
        super().__init__()
        self.model = model
        self.texts = texts.to_dense()

    def forward(self, images: Tensor) -> Tensor:
        features = self.model.encode_image(images, normalize=True)  # (B, D)
        if (D := self.texts.shape[1]) != features.shape[1]:
            widths = f"{D} numbers and the picture {features.shape[1]}"
            raise CourseError(f"Each text has {widths}: encode both with the same model.")
        texts = wide(self.texts.clone())  # what inference mode made cannot be saved for a gradient
        return wide(features) @ texts.to(wide(features)).T


# ---- the deck's way: crops --------------------------------------------------------------------
@checked
def crop_boxes(crops: int, height: int, width: int, smallest: int, generator) -> Tensor:
    """Random squares: a side uniform from `smallest` pixels to below the shorter one, then a place.

    Returns (crops, 4) integers: left, top, right, bottom. Source: the deck's demo, D1-07.
    """
    if not 1 <= smallest < min(height, width):
        given = f"{width} x {height} pixels and the smallest crop {smallest}"
        raise CourseError(f"This picture has {given}: give a larger one or a smaller `smallest`.")
    side = torch.randint(smallest, min(height, width), (crops,), generator=generator)
    left = (torch.rand(crops, generator=generator) * (width - side + 1)).long()
    top = (torch.rand(crops, generator=generator) * (height - side + 1)).long()
    return torch.stack((left, top, left + side, top + side), 1)


@checked
def crop_gains(model, image: Tensor, texts: Tensor, boxes: ArrayLike) -> Tensor:
    """How much closer each crop is to each text: cos(text, crop) - cos(text, picture), (N, Q)."""
    refuse_raw(model, image, texts)
    boxes = boxes_on(boxes, *image.shape[1:])
    everything = torch.from_numpy(np.vstack([middle(image), boxes]))
    chunk = 64  # on two cores
    if image.device.type != "cpu":
        chunk = chunk_for(256 * 3 * 4 * pixels_of(model) ** 2, image.device)
    similarity = Similarity(model, texts)
    with torch.no_grad():
        of = lambda some: similarity(cut(model, image, some))
        cosines = in_chunks(of, everything, chunk=chunk)  # (1 + N, Q)
    return finite(cosines[1:] - cosines[:1])


def cut(model, image: Tensor, boxes: ArrayLike) -> Tensor:
    """Crops resized to what the model sees, (N, 3, P, P), in its number type.

    The antialiased resizing of open_clip's preprocessing, all at once: it is linear and works on
    rows and columns apart, so a crop of any place and size is R · image · Cᵀ.
    """
    image = wide(image)  # half precision has no pixel 257
    kind = getattr(model.visual, "preprocess_cfg", {}).get("interpolation", "bilinear")
    boxes = torch.as_tensor(boxes_on(boxes, *image.shape[1:])).to(image)
    left, top, right, bottom = boxes.T  # (N,) each
    rows = resizing(top, bottom, image.shape[1], pixels_of(model), kind)  # (N, P, H)
    columns = resizing(left, right, image.shape[2], pixels_of(model), kind)  # (N, P, W)
    crops = rows[:, None] @ (image @ columns.mT[:, None])
    return crops.to(next(model.parameters()).dtype)


def resizing(start: Tensor, end: Tensor, length: int, pixels: int, kind: str) -> Tensor:
    """Weights (N, pixels, length) that resize a line from start to end (N,), as Pillow does."""
    start = start[:, None, None]
    end = end[:, None, None]
    step = (end - start) / pixels
    places = torch.arange(length, device=start.device) + 0.5
    centres = start + step * (torch.arange(pixels, device=start.device) + 0.5)[:, None]
    d = (places - centres).abs() / step.clamp(min=1)  # each result gathers a pixel or more
    if kind == "bilinear":
        weights = (1 - d).clamp(min=0)
    else:  # bicubic, a = -0.5
        near = (1.5 * d - 2.5) * d * d + 1
        far = ((-0.5 * d + 2.5) * d - 4) * d + 2
        weights = torch.where(d < 1, near, torch.where(d < 2, far, 0))
    weights = weights * ((places > start) & (places < end))
    return weights / weights.sum(2, keepdim=True)


@checked
def add_up(gains: Tensor, boxes: ArrayLike, height: int, width: int) -> Tensor:
    """The demo's sum: each crop (N, 4) adds its gain (N, Q) to all of its pixels: (Q, H, W)."""
    boxes = torch.as_tensor(boxes_on(boxes, height, width), device=gains.device)
    if len(boxes) != len(gains):
        raise CourseError(f"{len(boxes)} boxes need as many gains, not {len(gains)}.")
    y, x = (torch.arange(side, device=gains.device) for side in (height, width))
    left, top, right, bottom = (edge[:, None] for edge in boxes.T)  # each (N, 1)
    in_rows = ((y >= top) & (y < bottom)).to(gains)  # (N, H)
    in_columns = ((x >= left) & (x < right)).to(gains)  # (N, W)
    return torch.einsum("nq,nh,nw->qhw", gains, in_rows, in_columns)


@checked
def average(gains: Tensor, boxes, height: int, width: int, *, k=0.0, by_area=False) -> Tensor:
    """The mean gain of the crops over a pixel, sum / (count + k), so that few crops count less.

    k: in crops, 0 is the plain mean (0 where no crop is). by_area: crops weigh 1 / area.
    """
    left, top, right, bottom = boxes_on(boxes, height, width).T
    area = torch.from_numpy((right - left) * (bottom - top))
    weight = (1 / area if by_area else torch.ones_like(area)).to(gains)[:, None]  # (N, 1)
    weight = weight / weight.mean()
    count = add_up(weight, boxes, height, width)  # (1, H, W)
    return add_up(weight * gains, boxes, height, width) / (count + k).clamp(min=1e-9)


@checked
def crop_map(model, image, texts, *, crops: int = 400, smallest=0.22, seed: int = 0) -> Tensor:
    """The deck's algorithm (D1-07): random square crops against the text, their gains summed.

    Positive: closer than the whole picture. smallest: a share of the shorter side, or pixels.
    """
    refuse_raw(model, image, texts)
    generator = torch.Generator().manual_seed(seed)
    boxes = crop_boxes(crops, *image.shape[1:], in_pixels(smallest, image), generator)
    return add_up(crop_gains(model, image, texts, boxes), boxes, *image.shape[1:])


class Converged(NamedTuple):
    maps: Tensor  # (Q, H, W), the plain sum
    crops: int  # how many it took
    agreement: list[float]  # of the half maps after each step: the queries' lowest correlation


@checked
def crop_map_until(model, image, texts, *, agree=0.95, step=100, most=3000, seed=0) -> Converged:
    """`crop_map` with as many crops as it takes until even and odd ones correlate that well."""
    refuse_raw(model, image, texts)
    generator = torch.Generator().manual_seed(seed)
    size = image.shape[1:]
    halves = torch.zeros(2, len(texts), *size, device=image.device)
    agreement = []
    while len(agreement) * step < most and (not agreement or agreement[-1] < agree):
        boxes = crop_boxes(step, *size, in_pixels(0.22, image), generator)
        gains = crop_gains(model, image, texts, boxes)
        halves += torch.stack([add_up(gains[i::2], boxes[i::2], *size) for i in (0, 1)])
        agreement.append(float(pearson(*halves).min()))
    return Converged(halves.sum(0), len(agreement) * step, agreement)


def in_pixels(smallest: float, image: Tensor) -> int:
    return round(smallest * min(image.shape[1:])) if smallest < 1 else int(smallest)


# ---- other ways: the middle square, as one input of the model ---------------------------------
def whole(model, image: Tensor) -> Tensor:
    """What open_clip's preprocessing shows to the model: the middle square. (1, 3, P, P)."""
    return cut(model, image, torch.tensor([middle(image)]))


def middle(image: Tensor) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the middle square of (3, H, W)."""
    height, width = image.shape[1:]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def put_back(maps: Tensor, image: Tensor) -> Tensor:
    """Maps (Q, h, w) of the middle square at its place in the picture: (Q, H, W), 0 outside."""
    left, top, right, bottom = middle(image)
    large = F.interpolate(maps[:, None], (bottom - top, right - left), mode="bilinear")[:, 0]
    return F.pad(large, (left, image.shape[2] - right, top, image.shape[1] - bottom))


@checked
def explain(method: Method, model, image, texts, **options) -> Tensor:
    """A method of `saliency`, channels summed, applied to the similarity: (Q, H, W)."""
    refuse_raw(model, image, texts)
    x = whole(model, image).expand(len(texts), -1, -1, -1)  # the picture once for each text
    maps = method(Similarity(model, texts), x, range(len(texts)), **options)
    return put_back(maps.sum(dim=1), image)


def grad_cam(model, image: Tensor, texts: Tensor, *, layer=None) -> Tensor:
    """Grad-CAM of the similarity, never negative. Source: Selvaraju et al. 2017.

    layer: by default a ResNet's last maps, or a ViT's patches before the last attention.
    """
    visual = tower_of(model)
    if layer is None and hasattr(visual, "layer4"):
        layer = visual.layer4
    elif layer is None and hasattr(visual, "transformer"):
        layer = visual.transformer.resblocks[-1].ln_1
    elif layer is None:
        raise CourseError(f"Name a layer: for a {type(visual).__name__} no usual one is known.")
    return explain(saliency.grad_cam, model, image, texts, layer=layer)
