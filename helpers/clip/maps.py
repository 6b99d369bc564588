"""Where in a picture is the text? Maps of the similarity cos(text, picture), for any open_clip model. One signature for all:

    method(model, image, texts, *, options...) -> Tensor (Q, H, W)

image (3, H, W), as `scaled` makes it of a picture in any size; texts (Q, D), as `encode_queries` makes them of queries.
`crop_map` is the deck's: it only looks at parts of the picture. Grad-CAM and `relevance` (a file of its own) open the model,
occlusion and RISE hide parts of what it sees; these four see what open_clip's preprocessing lets through, the middle square.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.ground.runtime import chunk_for, in_chunks
from helpers.saliency.core import undisturbed
from helpers.saliency.perturbation import correlation, soft_masks

LARGEST = 2048  # pixels on a side; more only costs time and memory


# ---- from words and pictures to tensors ---------------------------------------------------------------------------------
@torch.no_grad()
def encode_queries(model, tokenizer, queries: list[str]) -> Tensor:
    """(Q, D) of length 1. CourseError for a query that is empty or longer than the model reads."""
    for text in (query.strip() for query in queries):
        if not text:
            raise CourseError(
                "The query is empty: write what to look for, such as 'Who puts out fires?'."
            )
        if torch.equal(tokenizer([text]), tokenizer([text[:-1]])):  # nobody reads its last letter
            raise CourseError(
                f"The query has {len(text.split())} words, and this model reads {tokenizer([text]).shape[1]} "
                "tokens, about a word each: shorten it."
            )
    return model.encode_text(tokenizer(list(queries)).to(device_of(model)), normalize=True)


def scaled(model, image: np.ndarray) -> Tensor:
    """A picture (H, W, 3) uint8 as the model wants its numbers, (3, H, W), on the model's device; its size stays."""
    if max(image.shape[:2]) > LARGEST:
        raise CourseError(
            f"This picture has {image.shape[1]} x {image.shape[0]} pixels, more than {LARGEST} on a side: "
            "open it by photos.open_picture, which reduces it."
        )
    config = getattr(model.visual, "preprocess_cfg", {"mean": (0.5,) * 3, "std": (0.5,) * 3})
    pixels = torch.tensor(image, device=device_of(model)).permute(2, 0, 1) / 255
    mean, std = (
        torch.tensor(config[name], device=pixels.device)[:, None, None] for name in ("mean", "std")
    )
    return (pixels - mean) / std


def device_of(model) -> torch.device:
    return next(model.parameters()).device


def pixels_of(model) -> int:
    size = model.visual.image_size  # open_clip: a number for ResNets, a pair for ViTs
    return size if isinstance(size, int) else size[0]


# ---- the deck's way: crops ----------------------------------------------------------------------------------------------
def crop_boxes(
    crops: int, height: int, width: int, smallest: int, generator: torch.Generator
) -> Tensor:
    """Random squares inside a picture: their side uniform from `smallest` pixels to below the shorter side, then their place.

    Returns (crops, 4) integers: left, top, right, bottom. Source: the deck's demo, D1-07.
    """
    if smallest >= min(height, width):
        raise CourseError(
            f"This picture has {width} x {height} pixels and the smallest crop {smallest}: give a picture with at "
            f"least {2 * smallest} on each side, or a smaller `smallest`."
        )
    side = torch.randint(smallest, min(height, width), (crops,), generator=generator)
    left = (torch.rand(crops, generator=generator) * (width - side + 1)).long()
    top = (torch.rand(crops, generator=generator) * (height - side + 1)).long()
    return torch.stack((left, top, left + side, top + side), 1)


def crop_gains(model, image: Tensor, texts: Tensor, boxes: Tensor) -> Tensor:
    """How much closer each crop is to each text than the whole picture is: cos(text, crop) - cos(text, picture).

    boxes (N, 4). Returns (N, Q). Each crop is encoded once, whatever the number of texts, many at a time.
    """
    everything = torch.cat((middle(image)[None].to(boxes), boxes))
    chunk = (
        64
        if image.device.type == "cpu"
        else chunk_for(256 * 3 * 4 * pixels_of(model) ** 2, image.device)
    )
    with torch.no_grad():
        similarity = in_chunks(
            lambda part: model.encode_image(cut(model, image, part), normalize=True) @ texts.T,
            everything,
            chunk=chunk,
        )  # (1 + N, Q)
    return similarity[1:] - similarity[:1]


def cut(model, image: Tensor, boxes: Tensor) -> Tensor:
    """Crops resized to what the model sees, (N, 3, P, P): the antialiased resizing of open_clip's preprocessing, all at once.

    Resizing is linear and works on rows and columns apart, so a crop of any place and size is R · image · Cᵀ.
    """
    kind = getattr(model.visual, "preprocess_cfg", {}).get("interpolation", "bilinear")
    left, top, right, bottom = boxes.to(image).T
    rows = resizing(top, bottom, image.shape[1], pixels_of(model), kind)  # (N, P, H)
    columns = resizing(left, right, image.shape[2], pixels_of(model), kind)  # (N, P, W)
    return rows[:, None] @ (image @ columns.mT[:, None])


def resizing(start: Tensor, end: Tensor, length: int, pixels: int, kind: str) -> Tensor:
    """Weights (N, pixels, length) that resize the stretch from start to end (N,) of a line, as Pillow does with antialiasing."""
    step = ((end - start) / pixels)[:, None, None]
    places = torch.arange(length, device=start.device) + 0.5
    centres = (
        start[:, None, None] + step * (torch.arange(pixels, device=start.device) + 0.5)[:, None]
    )
    d = (places - centres).abs() / step.clamp(
        min=1
    )  # a pixel of the result gathers at least one of the picture
    weights = (
        (1 - d).clamp(min=0)
        if kind == "bilinear"
        else torch.where(
            d < 1,
            (1.5 * d - 2.5) * d * d + 1,
            torch.where(d < 2, ((-0.5 * d + 2.5) * d - 4) * d + 2, 0),
        )
    )
    weights = weights * ((places > start[:, None, None]) & (places < end[:, None, None]))
    return weights / weights.sum(2, keepdim=True)


def add_up(gains: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """The demo's plain sum: each crop adds its gain to all of its pixels. gains (N, Q), boxes (N, 4); returns (Q, H, W)."""
    rows, columns = (
        torch.arange(height, device=boxes.device),
        torch.arange(width, device=boxes.device),
    )
    left, top, right, bottom = (edge[:, None] for edge in boxes.T)  # each (N, 1)
    in_rows = ((rows >= top) & (rows < bottom)).to(gains)  # (N, H)
    in_columns = ((columns >= left) & (columns < right)).to(gains)  # (N, W)
    return torch.einsum("nq,nh,nw->qhw", gains, in_rows, in_columns)


def average(
    gains: Tensor, boxes: Tensor, height: int, width: int, *, k: float = 0.0, by_area: bool = False
) -> Tensor:
    """The mean gain of the crops over a pixel, sum / (count + k): the more so drawn towards 0 the fewer cover it. (Q, H, W).

    k: in crops, 0 is the plain mean (0 where no crop is). by_area: crops weigh 1 / area, on average 1.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    weight = (1 / area if by_area else torch.ones_like(area)).to(gains)[:, None]  # (N, 1)
    weight = weight / weight.mean()
    count = add_up(weight, boxes, height, width)  # (1, H, W)
    return add_up(weight * gains, boxes, height, width) / (count + k).clamp(min=1e-9)


def crop_map(
    model,
    image: Tensor,
    texts: Tensor,
    *,
    crops: int = 400,
    smallest: float | int = 0.22,
    seed: int = 0,
) -> Tensor:
    """The deck's algorithm: random square crops against the text, their gains summed. Positive: closer than the whole picture.

    smallest crop: a share of the shorter side, or pixels if it is 1 or more. Returns (Q, H, W). Source: D1-07.
    """
    boxes = crop_boxes(
        crops, *image.shape[1:], in_pixels(smallest, image), torch.Generator().manual_seed(seed)
    ).to(image.device)
    return add_up(crop_gains(model, image, texts, boxes), boxes, *image.shape[1:])


class Converged(NamedTuple):
    maps: Tensor  # (Q, H, W), the plain sum
    crops: int  # how many it took
    agreement: list[
        float
    ]  # of the two half maps after each step: the lowest correlation among the queries


def crop_map_until(
    model,
    image: Tensor,
    texts: Tensor,
    *,
    agree: float = 0.95,
    step: int = 100,
    most: int = 3000,
    smallest: float | int = 0.22,
    seed: int = 0,
) -> Converged:
    """`crop_map`, with as many crops as it takes until the maps of the even and of the odd crops correlate that well."""
    generator, size = torch.Generator().manual_seed(seed), image.shape[1:]
    halves, agreement = image.new_zeros(2, len(texts), *size), []
    while len(agreement) * step < most and (not agreement or agreement[-1] < agree):
        boxes = crop_boxes(step, *size, in_pixels(smallest, image), generator).to(image.device)
        gains = crop_gains(model, image, texts, boxes)
        halves += torch.stack([add_up(gains[i::2], boxes[i::2], *size) for i in (0, 1)])
        agreement.append(float(correlation(*halves).min()))
    return Converged(halves.sum(0), len(agreement) * step, agreement)


def in_pixels(smallest: float | int, image: Tensor) -> int:
    return round(smallest * min(image.shape[1:])) if smallest < 1 else int(smallest)


# ---- three other ways ---------------------------------------------------------------------------------------------------
class Similarity(nn.Module):
    """cos(text, picture) as if each text were a class, (B, 3, P, P) -> (B, Q): what the methods of `saliency` explain."""

    def __init__(self, model, texts: Tensor):
        super().__init__()
        self.model, self.texts = model, texts

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode_image(images, normalize=True) @ self.texts.T


def grad_cam(
    model, image: Tensor, texts: Tensor, *, layer: str | nn.Module | None = None
) -> Tensor:
    """Grad-CAM of the similarity, of a ResNet's last maps or of the patches before a ViT's last attention; never negative.

    layer: another one, by its name in `model` or itself. Source: Selvaraju et al. 2017.
    """
    return _explain(
        saliency.grad_cam,
        model,
        image,
        texts,
        layer=_last_places(model)
        if layer is None
        else f"model.{layer}"
        if isinstance(layer, str)
        else layer,
    )


def occlusion(
    model, image: Tensor, texts: Tensor, *, window: float = 0.25, stride: float = 0.125
) -> Tensor:
    """How far the similarity falls when a square is made grey; window and stride as shares of the side. Zeiler & Fergus 2014."""
    window, stride = (max(1, round(share * pixels_of(model))) for share in (window, stride))
    return _explain(saliency.occlusion, model, image, texts, window=window, stride=stride)


def rise(
    model, image: Tensor, texts: Tensor, *, masks: int = 400, cells: int = 7, seed: int = 0
) -> Tensor:
    """RISE: how the similarity goes with a pixel being seen, over random soft masks that hide one half (a covariance).

    The mean similarity is taken off first: it says nothing about places, but the masks' noise would be added to the map with
    that weight. All texts share the masked pictures. Source: Petsiuk et al. 2018, eq. 6.
    """
    generator, x = torch.Generator().manual_seed(seed), whole(model, image)  # (1, 3, P, P)
    grids = (torch.rand(masks, 1, cells, cells, generator=generator) < 0.5).to(x)
    seen = soft_masks(
        grids, torch.rand(masks, 2, generator=generator).to(x.device), x.shape[2:]
    )  # (N, P, P)
    with undisturbed(model), torch.no_grad():
        similarity = in_chunks(
            lambda part: Similarity(model, texts)(part[:, None] * x), seen, chunk=64
        )
    maps = torch.einsum("nq,nhw->qhw", similarity - similarity.mean(0), seen) / (masks * 0.5)
    return put_back(maps, image)


def whole(model, image: Tensor) -> Tensor:
    """The picture as open_clip's preprocessing shows it to the model: its middle square, resized. (1, 3, P, P)."""
    return cut(model, image, middle(image)[None])


def middle(image: Tensor) -> Tensor:
    """Left, top, right, bottom of the middle square of (3, H, W)."""
    height, width = image.shape[1:]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return torch.tensor([left, top, left + side, top + side], device=image.device)


def put_back(maps: Tensor, image: Tensor) -> Tensor:
    """Maps (Q, h, w) of the middle square, enlarged to their place in the picture: (Q, H, W), 0 outside of the square."""
    left, top, right, bottom = middle(image).tolist()
    out = maps.new_zeros(len(maps), *image.shape[1:])
    out[:, top:bottom, left:right] = F.interpolate(
        maps[:, None], (bottom - top, right - left), mode="bilinear"
    )[:, 0]
    return out


def _explain(method: Callable, model, image: Tensor, texts: Tensor, **options) -> Tensor:
    x = whole(model, image).expand(len(texts), -1, -1, -1)
    return put_back(method(Similarity(model, texts), x, range(len(texts)), **options)[:, 0], image)


def _last_places(model) -> nn.Module:
    visual = model.visual
    if hasattr(visual, "layer4"):
        return visual.layer4
    if hasattr(visual, "transformer"):
        return visual.transformer.resblocks[-1].ln_1
    raise CourseError(f"Name a layer: for a {type(visual).__name__} no usual one is known here.")
