"""Maps of cos(text, picture): against loops, Pillow, torch's own attention, and on open_clip's models as built."""

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from helpers.clip import maps, score
from helpers.clip import model as clip
from helpers.clip.relevance import attention_in_graph, relevance
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, load_artifact
from helpers.ground.errors import CourseError

METHODS = score.METHODS


@pytest.fixture(scope="module")
def tiny():
    """A random ViT CLIP, deep enough for relevance over layers, in double precision where asked."""
    return clip.build(clip.Settings(width=32, layers=(3, 1)), 300).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def stock():
    """open_clip's RN50 and ViT-B-16 as built, with random weights, and the tokenizer of both."""
    torch.manual_seed(0)
    return {
        name: open_clip.create_model(name, pretrained=None).eval() for name in ("RN50", "ViT-B-16")
    }


def picture(height=96, width=96, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(
        torch.randn(1, 3, 7, 9, generator=generator), (height, width), mode="bicubic"
    )[0].clamp(-1, 1)


def texts(n=2, d=32, seed=1) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)


# ---- crops --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_crops_are_resized_as_torch_and_pillow_do(tiny, kind, monkeypatch):
    monkeypatch.setattr(tiny.visual, "preprocess_cfg", {"interpolation": kind}, raising=False)
    image = picture(120, 90)
    boxes = torch.tensor(
        [[0, 0, 90, 90], [3, 50, 73, 120], [40, 7, 61, 28], [1, 1, 65, 65]]
    )  # reduced, enlarged, as it is
    ours = maps.cut(tiny, image, boxes)
    for (left, top, right, bottom), crop in zip(boxes.tolist(), ours, strict=True):
        part = image[None, :, top:bottom, left:right]
        torch.testing.assert_close(
            crop[None], F.interpolate(part, (64, 64), mode=kind, antialias=True), atol=2e-5, rtol=0
        )
    eight_bits = ((image + 1) * 127.5).round().byte()
    by_pillow = (
        Image.fromarray(eight_bits.permute(1, 2, 0).numpy())
        .crop((3, 50, 73, 120))
        .resize((64, 64), Image.Resampling[kind.upper()])
    )
    ours = maps.cut(tiny, eight_bits.float(), boxes[1:2])[0].permute(1, 2, 0)
    assert (
        np.abs(ours.clamp(0, 255).numpy() - np.asarray(by_pillow)).max() <= 1.5
    )  # it rounds twice


def test_helper_is_the_decks_loop_crop_for_crop(tiny):
    image, queries = picture(70, 90), texts()
    boxes = maps.crop_boxes(30, 70, 90, 15, torch.Generator().manual_seed(3))

    def encode(part):
        return tiny.encode_image(
            F.interpolate(part[None], (64, 64), mode="bilinear", antialias=True), normalize=True
        )

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
    count, by_loop, by_area = torch.zeros(20, 24), torch.zeros(20, 24), torch.zeros(20, 24)
    areas = ((boxes[:, 2] - boxes[:, 0]) ** 2).double()
    scale = (1 / areas).mean()
    weighted = torch.zeros(20, 24)
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
    torch.testing.assert_close(
        maps.average(gains, boxes, 20, 24, k=10, by_area=True)[0], by_area / (weighted + 10)
    )


def test_it_stops_when_the_halves_agree_and_not_before(tiny):
    image, queries = picture(), texts()
    done = maps.crop_map_until(tiny, image, queries, agree=0.8, step=40, most=400)
    assert done.crops == 40 * len(done.agreement) < 400 and done.agreement[-1] >= 0.8
    assert all(value < 0.8 for value in done.agreement[:-1])
    capped = maps.crop_map_until(tiny, image, queries, agree=2.0, step=40, most=80)
    assert capped.crops == 80 and len(capped.agreement) == 2
    assert capped.maps.shape == (2, 96, 96)


# ---- relevance ----------------------------------------------------------------------------------------------------------
def by_hand(model, x, text):
    """Chefer et al.'s rule with a backward pass for this text alone, on double-precision attention written from scratch."""
    visual, kept = model.visual, []
    h = visual.ln_pre(visual._embeds(x)) if not hasattr(visual, "_embeds") else visual._embeds(x)
    for block in visual.transformer.resblocks:
        y, attn = block.ln_1(h), block.attn
        B, T, D = y.shape
        q, k, v = (
            (y @ w.T + b).view(T, attn.num_heads, -1).transpose(0, 1)
            for w, b in zip(attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True)
        )
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
    model = clip.build(clip.Settings(width=32, layers=(3, 1)), 300).double().eval()
    image, queries = picture(64, 64).double(), texts(3).double()
    expected = torch.stack([by_hand(model, image[None].requires_grad_(), text) for text in queries])
    torch.testing.assert_close(
        relevance(model, image, queries),
        F.interpolate(expected[None], (64, 64), mode="bilinear")[0],
        rtol=1e-8,
        atol=1e-12,
    )
    last = relevance(model, image, queries, first=-1)
    assert not torch.allclose(last, relevance(model, image, queries)) and (last >= 0).all()


def test_swapping_attention_changes_no_result_and_is_undone_after_an_error(tiny):
    x = picture(64, 64)[None]
    plain, before = tiny.encode_image(x), [dict(vars(m)) for m in tiny.modules()]
    with pytest.raises(ZeroDivisionError), attention_in_graph(tiny.visual) as weights:
        torch.testing.assert_close(tiny.encode_image(x), plain, atol=1e-5, rtol=0)
        assert [tuple(w.shape) for w in weights] == [(1, 1, 65, 65)] * 3
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(1, 1, 65))
        1 / 0  # noqa: B018
    assert [dict(vars(m)) for m in tiny.modules()] == before
    torch.testing.assert_close(tiny.encode_image(x), plain, rtol=0, atol=0)


# ---- all methods --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", METHODS)
def test_each_method_leaves_the_model_alone_and_covers_a_picture_that_is_not_square(tiny, name):
    model = clip.build(
        clip.Settings(width=32, layers=(3, 1)), 300
    )  # in training mode, weights trainable
    image, queries = picture(80, 110), texts(3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = (
        METHODS[name](model.train(), image, queries)
        if name != "crops"
        else METHODS[name](model.eval(), image, queries)
    )
    assert first.shape == (3, 80, 110) and first.isfinite().all() and not first.requires_grad
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    alone = METHODS[name](model, image, queries[1:2])
    torch.testing.assert_close(first[1:2], alone, atol=1e-4, rtol=1e-4)  # other texts do not matter
    if name != "crops":
        assert (
            not first[:, :, :15].any() and not first[:, :, 95:].any() and first[:, :, 15:95].any()
        )


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16"])
def test_methods_run_on_open_clips_models_as_built(stock, name):
    model = stock[name]
    tokenizer = open_clip.get_tokenizer(name)
    queries = maps.encode_queries(
        model, tokenizer, ["Who developed the Theory of General Relativity?", "a dog"]
    )
    image = maps.scaled(
        model, np.random.default_rng(0).integers(0, 255, (240, 300, 3), dtype=np.uint8)
    )
    drawn = {
        "crops": maps.crop_map(model, image, queries, crops=4, smallest=50),
        "Grad-CAM": maps.grad_cam(model, image, queries),
        "occlusion": maps.occlusion(model, image, queries[:1], window=0.5, stride=0.5),
        "RISE": maps.rise(model, image, queries, masks=4),
    }
    if name == "RN50":
        with pytest.raises(CourseError, match="take a ViT, or grad_cam"):
            relevance(model, image, queries)
    else:
        drawn["relevance"] = relevance(model, image, queries)
    for kind, values in drawn.items():
        assert values.shape[1:] == (240, 300) and values.isfinite().all() and values.any(), kind
    reference = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    photo = (
        np.random.default_rng(1)
        .integers(0, 255, (5, 6, 3), dtype=np.uint8)
        .repeat(60, 0)
        .repeat(60, 1)
    )
    theirs = reference(Image.fromarray(photo))
    assert (maps.whole(model, maps.scaled(model, photo))[0] - theirs).abs().mean() < 0.02


def test_finer_layers_can_be_named(tiny):
    named = maps.grad_cam(tiny, picture(), texts(), layer="visual.transformer.resblocks.2.ln_1")
    torch.testing.assert_close(named, maps.grad_cam(tiny, picture(), texts()))
    with pytest.raises(CourseError, match="no layer"):
        maps.grad_cam(tiny, picture(), texts(), layer="visual.transformer.resblocks.9")


# ---- what somebody may type ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query is empty"),
        ("  \n", "query is empty"),
        ("a dog and " * 250, "750 words"),
        ("x" * 4000, "1 words"),
    ],
)
def test_bad_queries_end_in_a_sentence(query, said):
    class Model:
        def parameters(self):
            return iter([torch.zeros(1)])

    with pytest.raises(CourseError, match=said) as caught:
        maps.encode_queries(Model(), open_clip.get_tokenizer("ViT-B-16"), ["a dog", query])
    assert "\n" not in str(caught.value)


def test_a_picture_smaller_than_the_smallest_crop_ends_in_a_sentence(tiny):
    with pytest.raises(CourseError, match="20 x 20 pixels and the smallest crop 50"):
        maps.crop_map(tiny, picture(20, 20), texts(), smallest=50)
    assert maps.crop_map(tiny, picture(20, 20), texts(), crops=5).shape == (
        2,
        20,
        20,
    )  # in shares it works


def test_a_huge_picture_ends_in_a_sentence(tiny):
    with pytest.raises(CourseError, match="8000 x 30 pixels, more than 2048"):
        maps.scaled(tiny, np.zeros((30, 8000, 3), dtype=np.uint8))


# ---- scores -------------------------------------------------------------------------------------------------------------
def test_scores_of_maps_by_hand():
    values = torch.tensor([[[0.0, 1, 5, 0], [0, 2, -3, 0], [0, 0, 0, 2]]])
    assert (
        score.pointing(values[0], (2, 0, 3, 1)) == 1
        and score.pointing(values[0], (0, 0, 2, 3)) == 0
    )
    assert score.energy(values[0], (1, 0, 3, 2)) == pytest.approx(
        0.8
    )  # 8 of 10; the -3 does not count
    assert score.energy(-values[0].abs(), (1, 0, 3, 2)) == 0
    assert score.gap(values[0], (1, 0, 3, 2), (3, 0, 4, 3)) == pytest.approx(5 / 4 - 2 / 3)


def test_every_cure_is_scored_for_every_query(tiny):
    scene = scenes.sample(1, 5, count=2)[0]
    drawn = score.cures(tiny, maps.scaled(tiny, scene.image), texts(4)[:2], texts(4)[2:], crops=20)
    assert all(value.shape == (2, 96, 96) for value in drawn.values())
    table = score.score(drawn, scene.boxes)
    assert table.shape == (len(drawn), 2, 3) and ((table[..., 0] == 0) | (table[..., 0] == 1)).all()


# ---- the table ----------------------------------------------------------------------------------------------------------
def test_a_killed_make_goes_on_where_it_was(tmp_path, monkeypatch):
    done = []

    def cheap(model, tokenizer, asked, neutral, seed):
        if len(done) == 130:
            done.append(None)
            raise KeyboardInterrupt
        done.append(seed)
        return {"sum": torch.full((len(asked[1]), 3), float(seed))}

    monkeypatch.setattr(score, "score_scene", cheap)
    monkeypatch.setattr(score, "neutral_texts", lambda *_: None)
    monkeypatch.setattr(score, "two_things", lambda n: [(None, ["a", "b"])] * n)
    monkeypatch.setattr(score, "three_people", lambda n: [(None, ["a", "b", "c"])] * n)
    monkeypatch.setattr(
        score, "Checkpoint", lambda name, root=None: Checkpoint(name, root=tmp_path / "kept")
    )
    with pytest.raises(KeyboardInterrupt):
        score.make(out=tmp_path / "clip_maps")
    assert not (tmp_path / "clip_maps").exists()  # nothing half-written
    score.make(out=tmp_path / "clip_maps")
    assert done[131:134] == [120, 121, 122]  # from the last save on
    table, _ = load_artifact("clip_maps", root=tmp_path)
    assert table["two"][:, 0, 0, 0].tolist() == list(range(200)) and table["three"].shape == (
        50,
        1,
        3,
        3,
    )


def test_the_stored_table_comes_out_again():
    """All maps of one scene of each kind, on the shipped model: the highest pixel may move on another machine, not much else."""
    model, _, tokenizer = clip.load()
    table, meta = load_artifact("clip_maps")
    neutral = score.neutral_texts(model, tokenizer)
    for kind, asked in (("two", score.two_things(1)), ("three", score.three_people(1))):
        again = torch.stack(
            [
                torch.stack(
                    list(score.score_scene(model, tokenizer, one, neutral, seed=i).values())
                )
                for i, one in enumerate(asked)
            ]
        )
        assert again.shape[1] == len(meta["maps"])
        assert (again[..., 0] == table[kind][:1, ..., 0]).float().mean() > 0.9
        torch.testing.assert_close(again[..., 1], table[kind][:1, ..., 1], atol=0.02, rtol=0)
