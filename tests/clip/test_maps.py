"""Maps of cos(text, picture): against loops, Pillow, torch's attention; open_clip's models."""

from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from data.recipes import clip_maps
from data.recipes.base import Run
from data.recipes.clip_emoji import build
from helpers import saliency
from helpers.clip import maps, score
from helpers.clip import model as clip
from helpers.clip.relevance import attention_in_graph, relevance
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, load_artifact
from helpers.ground.errors import CourseError

NAMES = ["crops", "Grad-CAM", "relevance", "occlusion", "RISE"]
SMALL = clip.Settings(width=32, layers=(3, 1))


@pytest.fixture(scope="module")
def tiny():
    """A random ViT CLIP, deep enough for relevance over layers."""
    return build(SMALL, 300).eval().requires_grad_(False)


def picture(height=96, width=96, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 7, 9, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(-1, 1)


def texts(n=2, d=32, seed=1) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)


# ---- crops
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_are_resized_as_torch_and_pillow_do(tiny, kind, monkeypatch):
    monkeypatch.setattr(tiny.visual, "preprocess_cfg", {"interpolation": kind}, raising=False)
    image = picture(120, 90)
    boxes = [[0, 0, 90, 90], [3, 50, 73, 120], [40, 7, 61, 28], [1, 1, 65, 65]]
    boxes = torch.tensor(boxes)  # reduced, enlarged, as it is
    ours = maps.cut(tiny, image, boxes)
    for (left, top, right, bottom), crop in zip(boxes.tolist(), ours, strict=True):
        part = image[None, :, top:bottom, left:right]
        by_torch = F.interpolate(part, (64, 64), mode=kind, antialias=True)
        torch.testing.assert_close(crop[None], by_torch, atol=2e-5, rtol=0)
    eight_bits = ((image + 1) * 127.5).round().byte()
    part = Image.fromarray(eight_bits.permute(1, 2, 0).numpy()).crop((3, 50, 73, 120))
    by_pillow = np.asarray(part.resize((64, 64), Image.Resampling[kind.upper()]))
    ours = maps.cut(tiny, eight_bits.float(), boxes[1:2])[0].permute(1, 2, 0)
    assert np.abs(ours.clamp(0, 255).numpy() - by_pillow).max() <= 1.5  # Pillow rounds twice


def test_helper_is_the_decks_loop_crop_for_crop(tiny):
    image, queries = picture(70, 90), texts()
    boxes = maps.crop_boxes(30, 70, 90, 15, torch.Generator().manual_seed(3))

    def encode(part):
        small = F.interpolate(part[None], (64, 64), mode="bilinear", antialias=True)
        return tiny.encode_image(small, normalize=True)

    s0, slow = encode(image[:, :, 10:80]) @ queries.T, torch.zeros(2, 70, 90)
    for (left, top, right, bottom), gain in zip(
        boxes.tolist(), maps.crop_gains(tiny, image, queries, boxes), strict=True
    ):
        by_hand = (encode(image[:, top:bottom, left:right]) @ queries.T - s0)[0]
        torch.testing.assert_close(gain, by_hand, atol=1e-5, rtol=0)
        slow[:, top:bottom, left:right] += by_hand[:, None, None]
    ours = maps.crop_map(tiny, image, queries, crops=30, smallest=15, seed=3)
    torch.testing.assert_close(ours, slow, atol=2e-4, rtol=0)


def test_averages_are_what_they_say():
    boxes = maps.crop_boxes(40, 20, 24, 5, torch.Generator().manual_seed(0))
    gains = torch.randn(40, 1, generator=torch.Generator().manual_seed(1))
    count, by_loop, by_area, weighted = torch.zeros(4, 20, 24)
    areas = ((boxes[:, 2] - boxes[:, 0]) ** 2).double()
    scale = (1 / areas).mean()
    for (left, top, right, bottom), gain, area in zip(
        boxes.tolist(), gains[:, 0].tolist(), areas.tolist(), strict=True
    ):
        count[top:bottom, left:right] += 1
        by_loop[top:bottom, left:right] += gain
        by_area[top:bottom, left:right] += gain / area / scale
        weighted[top:bottom, left:right] += 1 / area / scale
    plain = maps.average(gains, boxes, 20, 24)[0]
    torch.testing.assert_close(plain, torch.where(count > 0, by_loop / count.clamp(min=1), 0))
    torch.testing.assert_close(maps.average(gains, boxes, 20, 24, k=10)[0], by_loop / (count + 10))
    shrunk = maps.average(gains, boxes, 20, 24, k=10, by_area=True)[0]
    torch.testing.assert_close(shrunk, by_area / (weighted + 10))


def test_it_stops_when_the_halves_agree_and_not_before(tiny):
    image, queries = picture(), texts()
    done = maps.crop_map_until(tiny, image, queries, agree=0.8, step=40, most=400)
    assert done.crops == 40 * len(done.agreement) < 400
    assert done.agreement[-1] >= 0.8
    assert all(value < 0.8 for value in done.agreement[:-1])
    capped = maps.crop_map_until(tiny, image, queries, agree=2.0, step=40, most=80)
    assert capped.crops == 80
    assert len(capped.agreement) == 2
    assert capped.maps.shape == (2, 96, 96)


# ---- relevance
def by_hand(model, x, text):
    """Chefer et al.'s rule, a backward pass for this text alone, attention from scratch."""
    visual, kept = model.visual, []
    h = visual.ln_pre(visual._embeds(x)) if not hasattr(visual, "_embeds") else visual._embeds(x)
    for block in visual.transformer.resblocks:
        y, attn = block.ln_1(h), block.attn
        B, T, D = y.shape
        parts = zip(attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True)
        q, k, v = ((y @ w.T + b).view(T, attn.num_heads, -1).transpose(0, 1) for w, b in parts)
        weights = torch.softmax(q @ k.transpose(1, 2) / (D // attn.num_heads) ** 0.5, -1)
        kept.append(weights)
        h = h + attn.out_proj((weights @ v).transpose(0, 1).reshape(1, T, D))
        h = h + block.mlp(block.ln_2(h))
    score = F.normalize(visual.ln_post(h[:, 0]) @ visual.proj, dim=-1)[0] @ text
    R = torch.eye(T, dtype=x.dtype)
    for weights, slope in zip(kept, torch.autograd.grad(score, kept), strict=True):
        R = R + (weights * slope).clamp(min=0).mean(0) @ R
    return R[0, 1:].reshape(8, 8)


def test_relevance_is_chefers_rule_for_every_text_at_once(tiny):
    model = build(SMALL, 300).double().eval()
    image, queries = picture(64, 64).double(), texts(3).double()
    expected = torch.stack([by_hand(model, image[None].requires_grad_(), text) for text in queries])
    large = F.interpolate(expected[None], (64, 64), mode="bilinear")[0]
    ours = relevance(model, image, queries)
    torch.testing.assert_close(ours, large, rtol=1e-8, atol=1e-12)


def test_swapping_attention_changes_no_result_and_is_undone_after_an_error(tiny):
    x = picture(64, 64)[None]
    plain, before = tiny.encode_image(x), [dict(vars(m)) for m in tiny.modules()]
    with attention_in_graph(tiny.visual) as weights:
        torch.testing.assert_close(tiny.encode_image(x), plain, atol=1e-5, rtol=0)
        assert [tuple(w.shape) for w in weights] == [(1, 1, 65, 65)] * 3
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(1, 1, 65))
    with pytest.raises(AssertionError), attention_in_graph(tiny.visual):
        raise AssertionError
    assert [dict(vars(m)) for m in tiny.modules()] == before
    torch.testing.assert_close(tiny.encode_image(x), plain, rtol=0, atol=0)


# ---- all methods
@pytest.mark.parametrize("name", NAMES)
def test_each_method_leaves_the_model_alone_and_covers_a_picture_that_is_not_square(tiny, name):
    model = build(SMALL, 300).train(name != "crops")  # weights trainable
    method = score.methods(model)[name]
    image, queries = picture(80, 110), texts(3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = method(model, image, queries)
    assert first.shape == (3, 80, 110)
    assert first.isfinite().all()
    assert not first.requires_grad
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    alone = method(model, image, queries[1:2])
    torch.testing.assert_close(first[1:2], alone, atol=1e-4, rtol=1e-4)  # other texts do not matter
    if name != "crops":
        assert not first[:, :, :15].any()
        assert not first[:, :, 95:].any()
        assert first[:, :, 15:95].any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_each_method_takes_a_model_of_another_number_type(tiny, name, dtype):
    """A float32 picture, as `scaled` gives it. Sums in bfloat16 would drift over 400 crops."""
    image, queries = picture(70, 90), texts(2)
    other = build(SMALL, 300).eval().to(dtype)
    ours = score.methods(other)[name](other, image, queries.to(dtype)).float()
    plain = score.methods(tiny)[name](tiny, image, queries)
    r = torch.corrcoef(torch.stack((ours.flatten(), plain.flatten())))[0, 1]
    assert r > (0.999 if dtype == torch.float64 else 0.85)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16"])
def test_methods_run_on_open_clips_models_as_built(name):
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None).eval()
    slide = ["Who developed the Theory of General Relativity?", "a dog"]
    queries = maps.encode_queries(model, open_clip.get_tokenizer(name), slide)
    rng = np.random.default_rng(0)
    image = maps.scaled(model, rng.integers(0, 255, (240, 300, 3), dtype=np.uint8))
    methods = score.methods(model)
    fewer = {"crops": {"crops": 4, "smallest": 50}, "RISE": {"masks": 4}}
    fewer["occlusion"] = {"window": 112, "stride": 112}
    if name == "RN50":
        with pytest.raises(CourseError, match="take a ViT, or grad_cam"):
            methods.pop("relevance")(model, image, queries)
    for kind, method in methods.items():
        values = method(model, image, queries[:1], **fewer.get(kind, {}))
        assert values.shape == (1, 240, 300), kind
        assert values.isfinite().all(), kind
        assert values.any(), kind
    config = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    reference = open_clip.transform.image_transform_v2(config, is_train=False)
    photo = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8).repeat(60, 0).repeat(60, 1)
    theirs = reference(Image.fromarray(photo))
    assert (maps.whole(model, maps.scaled(model, photo))[0] - theirs).abs().mean() < 0.02


def test_finer_layers_can_be_named(tiny):
    layer = tiny.visual.transformer.resblocks[2].ln_1
    named = maps.grad_cam(tiny, picture(), texts(), layer=layer)
    torch.testing.assert_close(named, maps.grad_cam(tiny, picture(), texts()))
    with pytest.raises(CourseError, match="no layer"):
        maps.grad_cam(tiny, picture(), texts(), layer="model.visual.transformer.resblocks.9")


def test_rise_is_a_covariance_over_its_masks(tiny):
    """By its formula: what the similarity and a pixel's visibility do together, over 60 masks."""
    image, queries = picture(64, 64), texts(2)
    rise = score.methods(tiny)["RISE"](tiny, image, queries, masks=60)
    generator = torch.Generator().manual_seed(0)
    grids = (torch.rand(60, 1, 7, 7, generator=generator) < 0.5).float()
    shifts = torch.rand(60, 2, generator=generator)
    seen = saliency.perturbation.soft_masks(grids, shifts, (64, 64))  # (60, 64, 64)
    s = maps.Similarity(tiny, queries)(seen[:, None] * image).T  # (2, 60)
    covariance = torch.einsum("qn,nhw->qhw", s - s.mean(1, keepdim=True), seen) / 30
    torch.testing.assert_close(rise, covariance, atol=2e-6, rtol=0)


# ---- what somebody may type
class Encoder:
    """A text tower that shows the tokens it is given."""

    def parameters(self):
        return iter([torch.zeros(1)])

    def encode_text(self, tokens, normalize):
        return tokens


@pytest.fixture(scope="module", params=["open_clip's", "the course's"])
def tokenizer(request):
    return open_clip.get_tokenizer("ViT-B-16") if "open" in request.param else clip.load().tokenizer


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        (["a dog", ""], "query is empty"),
        (["a dog", "  \n"], "query is empty"),
        ("\u200d\ufe0f", "query is empty"),
        ("", "query is empty"),
        ([], "query is empty"),
        (["a dog and " * 250], "750 words"),
        (["x" * 4000], "1 words"),
        (["a dog", None], "not None"),
        ([3], "not 3"),
    ],
)
def test_bad_queries_end_in_a_sentence(tokenizer, queries, said):
    with pytest.raises(CourseError, match=said) as caught:
        maps.encode_queries(Encoder(), tokenizer, queries)
    assert "\n" not in str(caught.value)


def test_what_is_no_clip_and_no_tokenizer_is_named(tiny):
    loaded, photo = clip.load(), np.zeros((60, 60, 3), np.uint8)
    for other in (loaded, torch.nn.Linear(2, 2), None):
        with pytest.raises(CourseError, match="CLIP model of open_clip, not"):
            maps.encode_queries(other, loaded.tokenizer, "a dog")
        with pytest.raises(CourseError, match="CLIP model of open_clip, not"):
            maps.scaled(other, photo)
    for other in (None, lambda queries, length=None: {"input_ids": [[1, 2]]}):  # Hugging Face's
        with pytest.raises(CourseError, match="tokenizer should be one of open_clip.get_tokenizer"):
            maps.encode_queries(loaded.model, other, "a dog")


@pytest.mark.parametrize(
    "typed", ["a dog’s bone", "a do\u00adg's bone", "ａ dog's\u00a0bone", "a dog's bone\ud83d"]
)
def test_typed_queries_are_read_like_plain_ones(tokenizer, typed):
    rows = maps.encode_queries(Encoder(), tokenizer, [typed, "a dog's bone"])
    assert torch.equal(*rows)


def test_a_query_may_fill_the_model_to_its_last_token(tokenizer):
    length = tokenizer(["a"]).shape[1]
    maps.encode_queries(Encoder(), tokenizer, "a " * (length - 2))
    with pytest.raises(CourseError, match="shorten it"):
        maps.encode_queries(Encoder(), tokenizer, "a " * (length - 1))


def test_pictures_of_any_kind_become_the_same_numbers(tiny):
    """The kinds themselves: tests/datasets/test_photos.py."""
    photo = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    expected = torch.tensor(photo).permute(2, 0, 1) / 127.5 - 1
    tensor = torch.tensor(photo).permute(2, 0, 1)[None] / 255
    for kind in (photo, photo / 255, photo.astype(np.uint16) * 257, Image.fromarray(photo), tensor):
        torch.testing.assert_close(maps.scaled(tiny, kind), expected, atol=1e-6, rtol=0)
    flipped = maps.scaled(tiny, photo[:, ::-1])
    torch.testing.assert_close(flipped, expected.flip(2), atol=1e-6, rtol=0)
    assert maps.scaled(tiny, photo[..., 0]).shape == (3, 60, 90)


def test_what_cannot_be_mapped_ends_in_a_sentence(tiny):
    with pytest.raises(CourseError, match="8000 x 30 pixels, more than 2048"):
        maps.scaled(tiny, np.zeros((30, 8000, 3), dtype=np.uint8))
    with pytest.raises(CourseError, match="numbers from -1"):
        maps.scaled(tiny, picture().numpy())  # scaled already
    with pytest.raises(CourseError, match="20 x 20 pixels and the smallest crop 50"):
        maps.crop_map(tiny, picture(20, 20), texts(), smallest=50)
    assert maps.crop_map(tiny, picture(20, 20), texts(), crops=5).shape == (2, 20, 20)  # in shares
    for wrong in ({"crops": 0}, {"crops": -3}, {"smallest": 0}):
        with pytest.raises(CourseError, match="1 or more|smallest crop 0"):
            maps.crop_map(tiny, picture(), texts(), **wrong)
    with pytest.raises(CourseError, match="masks should be a whole number of 1 or more"):
        score.methods(tiny)["RISE"](tiny, picture(), texts(), masks=0)


RAW = {  # what has not been through `scaled` and `encode_queries`
    "array": lambda image, texts: (np.zeros((80, 90, 3), np.uint8), texts),
    "eight bits": lambda image, texts: (image.byte(), texts),
    "batch": lambda image, texts: (image[None], texts),
    "channels last": lambda image, texts: (image.permute(1, 2, 0), texts),
    "words": lambda image, texts: (image, ["a dog"]),
    "one text": lambda image, texts: (image, texts[0]),
    "no text": lambda image, texts: (image, texts[:0]),
    "another model's": lambda image, texts: (image, texts[:, :9]),
    "not numbers": lambda image, texts: (image * torch.nan, texts),
}


@pytest.mark.parametrize("name", [*NAMES, "until"])
@pytest.mark.parametrize("raw", RAW)
def test_what_was_not_made_for_the_model_ends_in_a_sentence(tiny, name, raw):
    method = (score.methods(tiny) | {"until": maps.crop_map_until})[name]
    said = {"another model's": "9 numbers and the picture 32", "not numbers": "NaN"}
    with pytest.raises(CourseError, match=said.get(raw, "from maps.(scaled|encode_queries), not")):
        method(tiny, *RAW[raw](picture(), texts()))
    with pytest.raises(CourseError, match="CLIP model of open_clip, not Linear"):
        method(torch.nn.Linear(2, 2), picture(), texts())


def test_signed_maps_of_the_colours_are_added_up(tiny):
    x = maps.whole(tiny, picture(64, 64))
    plain = saliency.gradient(maps.Similarity(tiny, texts(1)), x, 0)
    ours = maps.explain(saliency.gradient, tiny, picture(64, 64), texts(1))
    torch.testing.assert_close(ours, plain.sum(1))


def test_a_view_that_is_not_square_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(tiny.visual, "image_size", (64, 96))
    with pytest.raises(CourseError, match="reads 96 x 64 pixels"):
        maps.grad_cam(tiny, picture(), texts())


# ---- scores
def test_scores_of_three_boxes_by_hand():
    """The gap is to the next best box, not the worst; an empty map has neither hit nor energy."""
    values = torch.tensor([[0.0, 1, 5, 0], [0, 2, -3, 0], [0, 0, 0, 2]])
    boxes = [(1, 0, 3, 2), (3, 1, 4, 3), (0, 0, 1, 3)]  # means 5/4, 1, 0; energies .8, .2, 0
    one = torch.stack([values, values, values])
    table = score.score({"one": one, "empty": one * 0}, boxes)
    expected = torch.tensor([[1, 0.8, 0.25], [0, 0.2, -0.25], [0, 0, -1.25]])
    torch.testing.assert_close(table[0], expected)
    assert not table[1].any()
    right_way_round = score.per_scene(table[:1])
    torch.testing.assert_close(right_way_round, torch.tensor([[1 / 3, 1 / 3, 0]]))
    assert score.per_scene(table[:1, :1])[0, 2] == 1


CLIP_MAPS = {
    "crop_map": partial(maps.crop_map, crops=6, smallest=20),
    "crop_map_until": partial(maps.crop_map_until, step=6, most=6),
    "grad_cam": maps.grad_cam,
    "relevance": relevance,
    "occlusion": partial(maps.explain, saliency.occlusion, window=32, stride=32),
    "rise": partial(maps.explain, saliency.rise, masks=6),
}


@pytest.mark.parametrize("name", CLIP_MAPS)
@pytest.mark.parametrize("part", ["visual.conv1.weight", "visual.proj"])
def test_a_model_that_gives_no_numbers_is_named(name, part):
    broken = build(SMALL, 300).eval()
    broken.get_parameter(part).data[0] = float("nan")
    with pytest.raises(CourseError, match="NaN or infinite"):
        CLIP_MAPS[name](broken, picture(), texts(2))


def test_a_text_tower_that_gives_no_numbers_is_named():
    broken, _, tokenizer = clip.load()
    broken.text_projection.data.fill_(float("nan"))
    with pytest.raises(CourseError, match="NaN or infinite"):
        maps.encode_queries(broken, tokenizer, "a dog")


def test_every_cure_is_scored_for_every_query(tiny):
    scene = scenes.sample(1, 5, count=2)[0]
    drawn = score.cures(tiny, maps.scaled(tiny, scene.image), texts(4)[:2], texts(4)[2:3], crops=20)
    assert all(value.shape == (2, 96, 96) for value in drawn.values())
    table = score.score(drawn, scene.boxes)
    assert table.shape == (len(drawn), 2, 3)
    assert ((table[..., 0] == 0) | (table[..., 0] == 1)).all()


# ---- the table
def test_a_killed_make_goes_on_where_it_was(tmp_path, monkeypatch):
    done = []

    def cheap(model, tokenizer, asked, neutral, seed):
        if len(done) == 65:
            done.append(None)
            raise KeyboardInterrupt
        done.append(seed)
        return {"sum": torch.full((len(asked[1]), 3), float(seed))}

    asked = {"plain": [(None, ["a", "b"])] * 40, "three people": [(None, ["a", "b", "c"])] * 40}
    monkeypatch.setattr(clip_maps, "score_scene", cheap)
    monkeypatch.setattr(clip_maps, "columns", lambda run: asked)
    kept = Checkpoint("clip_maps", root=tmp_path / "kept")
    monkeypatch.setattr(Run, "checkpoint", lambda run: kept)
    run = Run(tmp_path / "clip_maps")
    with pytest.raises(KeyboardInterrupt):
        clip_maps.make(run)
    assert not run.out.exists()  # nothing half-written
    clip_maps.make(run)
    assert done[66:69] == [24, 25, 26]  # from the last save on
    table, _ = load_artifact(run.out)
    assert table["plain"][:, 0, 0, 0].tolist() == list(range(40))
    assert table["three people"].shape == (40, 1, 3, 3)


def test_the_stored_table_comes_out_again():
    """A scene of a column: the highest pixel may move on another machine, not much else."""
    model, _, tokenizer = clip.load()
    table, meta = load_artifact("clip_maps")
    neutral = maps.encode_queries(model, tokenizer, "a picture")
    for column, asked in clip_maps.columns(Run(Path("table"), smoke=True)).items():
        scored = clip_maps.score_scene(model, tokenizer, asked[0], neutral, seed=0)
        again = torch.stack(list(scored.values()))  # (maps, Q, 3)
        assert list(scored) == meta["maps"]
        assert (again[..., 0] == table[column][0, ..., 0]).float().mean() > 0.9
        torch.testing.assert_close(again[..., 1], table[column][0, ..., 1], atol=0.02, rtol=0)
