"""Whatever people bring: pictures, texts, number types, layouts, class files, drawn at random.

What comes back is right, beside a slow reference, or one sentence: never another exception, never
a map that is silently wrong. 200 examples each; `python -m helpers test --long` draws 10,000, and
what it found stays as an `example`.
"""

import json
import string
import warnings
from collections import namedtuple
from copy import deepcopy
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from data.recipes.clip_emoji import build
from helpers import saliency
from helpers.attention import data
from helpers.attention.model import Vocabulary
from helpers.clip import maps
from helpers.clip import model as clip
from helpers.clip.relevance import relevance
from helpers.datasets import photos, reviews
from helpers.ground.errors import CourseError
from helpers.lesson.answers import Record, as_line, pool
from helpers.lesson.plots import printable
from helpers.saliency import metrics, sanity
from tests.clip.test_maps import Encoder
from tests.saliency.conftest import make_net
from tests.saliency.test_behaviour import METHODS


def or_sentence(call, *args, **options):
    """What the call returns, or the one line of its CourseError. Other exceptions fail the test."""
    try:
        return call(*args, **options)
    except CourseError as error:
        said = str(error)
    assert "does not work with" not in said  # what only torch or NumPy found
    assert "\n" not in said
    assert len(said) < 500
    return said


# ---- pictures
def bits(n: int):
    return lambda v: np.round(v / 255 * (2**n - 1)).astype(np.uint16)


NUMBERS = {  # how 0 … 255 may be stored
    "uint8": lambda v: v.astype(np.uint8),
    "int64": lambda v: v.astype(np.int64),
    "10 bits in 16": bits(10),
    "12 bits in 16": bits(12),
    "14 bits in 16": bits(14),
    "16 bits": bits(16),
    "float, 0 to 255": lambda v: v.astype(np.float32),
    "0 to 1": lambda v: v / 255,
    "0 to 1, float16": lambda v: (v / 255).astype(np.float16),
    "0 to 1, enlarged beyond": lambda v: v / 255 * 1.04 - 0.02,
}
LAYOUTS = {
    "(H, W, C)": lambda v: v,
    "(C, H, W)": lambda v: np.moveaxis(v, 2, 0),
    "(1, H, W, C)": lambda v: v[None],
    "(1, C, H, W)": lambda v: np.moveaxis(v, 2, 0)[None],
    "(H, W) if grey": lambda v: v[..., 0] if v.shape[2] == 1 else v,
    "turned twice": lambda v: np.ascontiguousarray(v[::-1, ::-1])[::-1, ::-1],
}
HOLDERS = {
    "array": lambda v: v,
    "lists": lambda v: v.tolist(),
    "tensor": lambda v: torch.from_numpy(v.copy()),
    "bfloat16": lambda v: torch.from_numpy(v.copy()).bfloat16(),
    "needs a gradient": lambda v: torch.from_numpy(v.astype(np.float32)).requires_grad_(),
}
sides = st.integers(16, 40)


def some_picture(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """(H, W, C) from 0 to 255, black and white among them; opacity, if any, is full."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    values[0, 0], values[0, 1] = 0, 255
    if channels in (2, 4):
        values[..., -1] = 255
    return values


@given(
    *(sides, sides, st.integers(1, 4), st.integers(0, 99)),
    *map(st.sampled_from, (list(NUMBERS), list(LAYOUTS), list(HOLDERS))),
)
def test_a_picture_in_any_usual_form_is_the_same_picture(h, w, c, seed, numbers, layout, holder):
    values = some_picture(h, w, c, seed)
    stored = LAYOUTS[layout](NUMBERS[numbers](values))
    before = stored.copy()
    image = photos.as_rgb(HOLDERS[holder](stored))
    colours = values[..., :3] if c > 2 else np.repeat(values[..., :1], 3, 2)
    error = np.abs(image.astype(int) - colours).max()
    assert error <= (6 if "beyond" in numbers else 1 if holder != "bfloat16" else 2)
    image[:] = 0  # a copy, to be written on
    assert np.array_equal(stored, before)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


@given(st.sampled_from(MODES), sides, sides, st.integers(0, 99))
def test_a_picture_in_any_of_pillows_modes(mode, h, w, seed):
    grey = some_picture(h, w, 1, seed)[..., 0].astype(np.uint8)
    if mode == "1":
        grey = (grey > 127).astype(np.uint8) * 255
    if mode in ("I", "F", "I;16"):
        kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        picture = Image.fromarray(grey.astype(kind) * (257 if mode == "I;16" else 1))
    else:
        picture = Image.fromarray(grey).convert("RGB" if mode in ("YCbCr", "HSV") else "L")
        picture = picture.convert("RGB" if mode in ("RGBX", "CMYK") else picture.mode).convert(mode)
    error = np.abs(photos.as_rgb(picture).astype(int) - grey[..., None]).max()
    assert error <= 2


shapes = st.lists(st.integers(0, 40), min_size=1, max_size=4)
kinds = st.sampled_from(["bool", "uint8", "int16", "uint16", "int64", "float16", "float64", "O"])


def picture_or_sentence(call) -> None:
    image = or_sentence(call)
    if not isinstance(image, str):
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        assert image.flags.writeable


@given(shapes, kinds, st.floats(allow_nan=True), st.integers(0, 3), st.booleans())
@example([20, 30, 3], "float64", -1.0, 0, False)
@example([1, 3, 20, 30], "uint16", 4095.0, 1, True)
def test_any_array_is_a_picture_or_a_sentence(shape, kind, scale, flips, as_tensor):
    with np.errstate(all="ignore"):
        values = (np.random.default_rng(0).random(shape) * scale).astype(kind)
    values = np.flip(values, tuple(range(min(flips, values.ndim))))
    as_tensor = as_tensor and kind != "O"
    given = torch.from_numpy(values.copy()) if as_tensor else values
    picture_or_sentence(lambda: photos.as_rgb(given))


FILES = {}
for form in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
    row = np.linspace(0, 255, 90).round().astype(np.uint8)
    Image.fromarray(np.broadcast_to(row, (60, 90)).copy()).convert("RGB").save(
        buffer := BytesIO(), form
    )
    FILES[form] = buffer.getvalue()
damage = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8)


@given(st.sampled_from(list(FILES)), damage, st.integers(1, 10**6))
def test_a_damaged_file_is_a_picture_or_a_sentence(form, damage, end):
    content = bytearray(FILES[form])
    for place, value in damage:
        content[place % len(content)] = value
    picture_or_sentence(lambda: photos.open_picture(bytes(content[: end % (2 * len(content))])))


# ---- texts
anything = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


@given(anything)
def test_any_typed_text_is_read_or_refused_in_a_sentence(text):
    plain = reviews.plain_text(text)
    assert reviews.plain_text(plain) == plain
    plain.encode()  # no half emoji
    assert not set("‘’ʼ′`´\ufeff\u200b") & set(plain)
    words = reviews.typed_words(text)
    assert all(word.strip() == word != "" for word in words)
    vocabulary = Vocabulary([["good", "film"]])
    assert len(vocabulary.encode([*words, "good"])) == len(words) + 3
    if not set(words) & {"good", "film"}:
        said = or_sentence(vocabulary.encode, words)
        assert ("knows none" if words else "empty") in said


@given(st.text(alphabet=string.ascii_letters + string.digits + "'.,-_!? \n"))
def test_typed_english_is_read_like_the_training_texts(text):
    assert reviews.typed_words(text) == data.words(text)


tokenizers = {
    "open_clip's": cache(lambda: open_clip.get_tokenizer("ViT-B-16")),
    "the course's": cache(lambda: clip.load().tokenizer),
}
others = st.one_of(st.none(), st.integers(), st.binary(max_size=4), st.lists(anything, max_size=2))


@given(st.sampled_from(list(tokenizers)), st.one_of(anything, others, st.lists(others, max_size=2)))
@example("open_clip's", "x" * 4000)
@example("the course's", ["a dog", "\ud83d"])
def test_any_query_is_a_row_or_a_sentence(which, query):
    tokens = or_sentence(maps.encode_queries, Encoder(), tokenizers[which](), query)
    if not isinstance(tokens, str):
        queries = [query] if isinstance(query, str) else query
        assert len(tokens) == len(queries)
        again = [maps.encode_queries(Encoder(), tokenizers[which](), one)[0] for one in queries]
        assert torch.equal(tokens, torch.stack(again))  # the others do not matter


@given(anything)
@example("costs $5 or $6, $\\frac$, 50 % of 東京 😀 \ud83d\n{} ^_ \\alpha")
def test_any_text_is_drawn_as_it_is(text):
    figure = Figure(figsize=(1, 1), dpi=20)
    drawn = figure.text(0, 0, printable(text))
    with warnings.catch_warnings(action="error"):  # a letter that the font lacks
        figure.canvas.draw()
    assert not drawn._preprocess_math(drawn.get_text())[1]  # no formula


# ---- number types
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FORMS = {
    "as it is": lambda x: x,
    "needs a gradient": lambda x: x.clone().requires_grad_(),
    "in a graph": lambda x: x.clone().requires_grad_() * 1,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "every second": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "from inference": torch.inference_mode()(lambda x: x.clone()),
}
CALLS = {
    **{name: lambda net, x, m, f=f: f(net, x, [4, 0, 2]) for name, f in METHODS.items()},
    "measure variation": lambda net, x, m: metrics.total_variation(m, block=2),
    "measure concentration": lambda net, x, m: metrics.concentration(m),
    "measure area": lambda net, x, m: metrics.area(m.flatten(1)),
    "measure deletion": lambda net, x, m: metrics.deletion(net, x, 1, m[:, 0], steps=3),
    "measure insertion": lambda net, x, m: metrics.insertion(net, x, 1, m[:, 0], steps=3),
    "measure pointing": lambda net, x, m: metrics.pointing_game(m[:, 0], [0, 0, 9, 9]),
    "measure energy": lambda net, x, m: metrics.energy_in_box(m[:, 0], [0, 0, 9, 9]),
    "completeness": lambda net, x, m: saliency.completeness_error(net, x, 1, m),
    "infidelity": lambda net, x, m: metrics.infidelity(net, x, 1, m, samples=3),
    "sensitivity": lambda net, x, m: metrics.sensitivity_max(
        saliency.gradient, net, x, 1, samples=2
    ),
    **{f"alike {name}": lambda net, x, m, f=f: f(m, x) for name, f in sanity.SIMILARITIES.items()},
}
NOISY = ["smoothgrad", "squared", "ig_smoothgrad", "infidelity", "sensitivity"]
ROUGH = ["completeness"]  # a difference of two logits is all that it divides by
floats = st.sampled_from(DTYPES)


@cache
def net_of(kind: str, *dtypes: torch.dtype) -> nn.Module:
    """A network whose weights had these number types, one after the other."""
    net = make_net(kind)
    for dtype in dtypes:
        net.to(dtype)
    return net


@given(
    *map(st.sampled_from, (list(CALLS), ["plain", "strided", "in-place residual"], list(FORMS))),
    *(floats, floats, floats, st.integers(0, 20)),
)
@example(
    # one ReLU of 1,134 opens when the weights are rounded, and a guided map moves by .27; beside
    # the network of the rounded weights it moves by .006
    *("guided_backprop", "strided", "as it is", torch.bfloat16, torch.bfloat16, torch.float32, 15)
)
def test_any_number_types_of_model_picture_and_map(name, kind, form, dtype, of_x, of_m, seed):
    draw = torch.Generator().manual_seed(seed)
    x, m = (torch.rand(3, 3, 17, 13, generator=draw).to(of) for of in (of_x, of_m))
    result = CALLS[name](net_of(kind, dtype), FORMS[form](x), FORMS[form](m))
    assert not result.requires_grad
    assert result.numpy().dtype in (np.float32, np.float64)  # NumPy knows no bfloat16
    if name in NOISY + ROUGH:
        assert result.isfinite().all() or name in ROUGH
        return
    seen = x if "alike" in name else x.to(dtype)  # no model
    exact = CALLS[name](net_of(kind, dtype, torch.float64), seen.double(), m.double())
    used = {"measure": (dtype, of_x, of_m), "alike": (of_x, of_m)}.get(name.split()[0], (dtype,))
    half = min(of.itemsize for of in used) <= 2
    if half and name == "occlusion":
        return  # these differences of logits may be smaller than their rounding
    assert (result.double() - exact).norm() <= (0.25 if half else 1e-3) * exact.norm()


CLIP_MAPS = {
    "crops": partial(maps.crop_map, crops=6, smallest=20),
    "Grad-CAM": maps.grad_cam,
    "relevance": relevance,
    "occlusion": partial(maps.explain, saliency.occlusion, window=32, stride=32),
    "RISE": partial(maps.explain, saliency.rise, masks=6),
}


@cache
def clip_of(dtype: torch.dtype) -> nn.Module:
    settings = clip.Settings(width=32, layers=(2, 1))
    return deepcopy(build(settings, 300)).eval().to(dtype)


@given(
    st.sampled_from(list(CLIP_MAPS)),
    st.sampled_from(["as it is", "needs a gradient", "in a graph", "from inference"]),
    *(floats, floats, floats, st.integers(64, 90), st.integers(64, 90), st.integers(0, 20)),
)
def test_any_number_types_of_clip_picture_and_texts(name, form, dtype, of_x, of_t, h, w, seed):
    draw = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, h, w, generator=draw).to(of_x)
    texts = F.normalize(torch.randn(2, 32, generator=draw), dim=-1).to(of_t)
    result = CLIP_MAPS[name](clip_of(dtype), FORMS[form](image)[0], FORMS[form](texts))
    assert result.shape == (2, h, w)
    assert not result.requires_grad
    assert np.isfinite(result.numpy()).all()
    if dtype.itemsize > 2:  # half precision: tests/clip/test_maps.py
        exact = CLIP_MAPS[name](clip_of(torch.float64), image[0].double(), texts.double())
        assert (result.double() - exact).norm() < 1e-2 * exact.norm()


# ---- layouts
Pair = namedtuple("Pair", ["hidden", "other"])
WRAPS = {  # what a layer puts out besides its maps, and how the network reads it
    "tensor": (lambda t: t, lambda out: out),
    "tuple": (lambda t: (t, 1), lambda out: out[0]),
    "list": (lambda t: [t, 1], lambda out: out[0]),
    "named tuple": (lambda t: Pair(t, 1), lambda out: out.hidden),
    "dict": (lambda t: {"hidden": t, "other": 1}, lambda out: out["hidden"]),
    "ModelOutput": (lambda t: BaseModelOutput(t), lambda out: out.last_hidden_state),
}


class Layer(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, t):
        return self.wrap(t)


class Patches(nn.Module):
    """Patches of p pixels as maps or, after some other tokens, as tokens; `layer` shows them."""

    def __init__(self, p: int, K: int, layout: str, prefix: int, padded: bool, wrap: str):
        super().__init__()
        torch.manual_seed(0)
        self.p, self.layout, self.prefix, self.padded = (p, layout, prefix, padded)
        self.patch, self.head = nn.Conv2d(3, K, p, p), nn.Linear(K, 5)
        put_out, self.read = WRAPS[wrap]
        self.layer = Layer(put_out)
        self.double()

    def forward(self, x):
        if self.padded:
            x = F.pad(x, (0, -x.shape[3] % self.p, 0, -x.shape[2] % self.p))
        t = self.patch(x)  # (B, K, h, w)
        if self.layout == "channels last":
            t = t.permute(0, 2, 3, 1)
        if self.layout == "tokens":
            t = t.flatten(2).transpose(1, 2)  # (B, T, K)
            t = torch.cat([t.new_ones(len(t), self.prefix, t.shape[2]), t], dim=1)
        t = self.read(self.layer(t))
        t = t.flatten(2).transpose(1, 2) if self.layout == "channels first" else t
        return self.head(t.flatten(1, -2).tanh().mean(dim=1))


def cam_by_hand(net: Patches, x, grid) -> torch.Tensor:
    """Σ_k α_k A_k over the grid's places, whatever the layer's layout."""
    kept = []
    net.layer.register_forward_hook(lambda _, __, out: kept.append(net.read(out)))
    score = net(x)[:, 1].sum()
    places = lambda t: t.flatten(2).mT if net.layout == "channels first" else t.flatten(1, -2)
    A, dA = (
        places(t)[:, -grid[0] * grid[1] :] for t in (kept[0], *torch.autograd.grad(score, kept))
    )
    cam = (A * dA.mean(1, keepdim=True)).sum(-1).relu().view(len(x), 1, *grid).detach()
    return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)


LAYOUT = st.sampled_from(["channels first", "channels last", "tokens"])


@given(
    *(st.integers(8, 60), st.integers(8, 60), st.integers(2, 8), st.integers(1, 12), LAYOUT),
    *(st.integers(0, 8), st.booleans(), st.sampled_from(list(WRAPS)), st.booleans()),
)
@example(32, 32, 8, 6, "tokens", 1, False, "tensor", False)  # 17 = 4 x 4 + 1 = 3 x 3 + 8
@example(17, 13, 4, 3, "channels first", 0, False, "tensor", False)
def test_grad_cam_finds_any_layout_or_asks(H, W, p, K, layout, prefix, padded, wrap, given):
    grid = (-(-H // p), -(-W // p)) if padded else (H // p, W // p)
    assume(layout != "channels last" or not grid[0] == grid[1] == K)  # a cube is read as torch's
    net, x = Patches(p, K, layout, prefix, padded, wrap), torch.rand(2, 3, H, W).double()
    cam = or_sentence(saliency.grad_cam, net, x, 1, layer="layer", grid=grid if given else None)
    if isinstance(cam, str):
        assert not given
        assert "give grid=(h, w)" in cam
    else:
        torch.testing.assert_close(cam, cam_by_hand(net, x, grid), rtol=1e-9, atol=1e-12)


@given(st.sampled_from([8, 14, 16, 32]), st.integers(4, 40), st.integers(4, 40), st.integers(0, 8))
def test_whole_patches_of_a_known_side_need_no_grid(p, h, w, prefix):
    sides, unknown = [p * 2**k for k in range(6)], ()
    assert saliency.cam.patch_grid(h * w + prefix, p * h, p * w, sides) == (h, w)
    grid = or_sentence(saliency.cam.patch_grid, h * w + prefix, p * h, p * w, unknown)
    assert grid == (h, w) or f"({h}, {w})" in grid


# ---- class files
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), anything)
records = st.builds(
    Record,
    activity=st.sampled_from(["game", "other"]),
    item=anything,
    condition=anything,
    answer=st.one_of(
        plain, st.lists(plain, max_size=2), st.dictionaries(anything, plain, max_size=2)
    ),
    seconds=st.one_of(st.none(), st.floats(0, 1e9), st.integers(0, 99)),
    time=anything,
    person=st.sampled_from(["0000000a", "0000000b", "0000000c"]),
    id=st.integers(0, 9).map(str),
)
DAMAGE = {  # whole lines come first: these are read
    "none": lambda line, n: line,
    "Windows": lambda line, n: line + b"\r",
    "blanks": lambda line, n: b"  " + line + b"\t",
    "another entry": lambda line, n: line[:-1] + b', "later": 1}',
    "cut": lambda line, n: line[: -1 - n % (len(line) - 1)],
    "two in one": lambda line, n: line + line,
    "zeros": lambda line, n: b"\0" * (n % 50 + 1),
    "another type": lambda line, n: line.replace(b'"person": "', b'"person": 1, "was": "'),
    "no id": lambda line, n: line.replace(b'"id": "', b'"id": "", "was": "'),
    "seconds": lambda line, n: json.dumps(json.loads(line) | {"seconds": -1}).encode(),
    "another thing": lambda line, n: [b"{}", b"[]", b"null", b"7", b"[" * 9999, b"\xff\xfe"][n % 6],
}
lines = st.tuples(records, st.sampled_from(list(DAMAGE)), st.integers(0, 999))
NAMES = [
    "game-0000000a.jsonl",
    "other-0000000b.jsonl",
    "copy of a game.jsonl",
    "b/game-0000000b.jsonl",
]


@given(st.lists(st.lists(lines, max_size=5), min_size=4, max_size=4), st.booleans())
def test_any_class_files_are_pooled_line_by_line(files, mark):
    expected, repeated, named = {}, 0, []
    with TemporaryDirectory() as folder:
        for name, rows in sorted(zip(NAMES, files, strict=True)):
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            content = [DAMAGE[how](as_line(record)[:-1], n) for record, how, n in rows]
            good = [record for record, how, _ in rows if how in list(DAMAGE)[:4]]
            path.write_bytes(b"\xef\xbb\xbf" * mark + b"\n".join(content))
            if len(good) < max(len(rows), 1) and not name.startswith("other-"):
                named.append(name)
            for record in good:
                if record.activity == "game":
                    repeated += record.id in expected
                    expected.setdefault(record.id, record)
        pooled = pool(folder, "game")
    plain = [record._replace(person=record.person[:8]) for record in pooled.records]  # one id apart
    assert list(map(as_line, plain)) == list(map(as_line, expected.values()))
    assert pooled.people == len({record.person for record in pooled.records})
    assert pooled.repeated == repeated
    assert [sentence.split(":")[0] for sentence in pooled.skipped] == named
