"""The packaged ImageNet network, its class names, and the fallback line at source hub."""

import pytest
import torch

from helpers.datasets import photos
from helpers.ground import runtime
from helpers.ground.errors import CourseError
from helpers.pretrained import imagenet


@pytest.fixture(scope="module")
def lite0():
    return imagenet.efficientnet_lite0()


def test_lite0_recognises_photographs(lite0):
    shots = photos.load("cat", "coffee", "camera", "palace", "flower")
    x = torch.cat([photos.preprocess(p.image) for p in shots])
    names = [best[0][0] for best in imagenet.top_classes(lite0, x, k=1)]
    assert names == ["Egyptian cat", "espresso", "tripod", "palace", "daisy"]
    assert not lite0.training
    assert not any(p.requires_grad for p in lite0.parameters())


def test_loading_leaves_the_random_stream_alone():
    before = torch.get_rng_state()
    imagenet.efficientnet_lite0()
    imagenet.resnet50(pretrained=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_class_names_and_numbers():
    names = imagenet.class_names()
    assert len(names) == 1000
    assert names[285] == "Egyptian cat"
    assert names[0] == "tench"
    assert [imagenet.class_index(name) for name in ("tabby cat", "Tabby")] == [281] * 2
    with pytest.raises(CourseError, match="no class 'Egyptain cat'.*egyptian cat"):
        imagenet.class_index("Egyptain cat")


def test_resnet50_takes_the_same_input(lite0):
    model = imagenet.resnet50(pretrained=False)
    x = photos.preprocess(photos.load("cat")[0].image)
    seen = []
    model.body.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert model(x).shape == lite0(x).shape == (1, 1000)
    rgb = (x * 128 + 127) / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    expected = (rgb - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(seen[0], expected)


def test_without_a_hub_one_line_and_lite0(monkeypatch, capsys):
    def no_network(pretrained=True, device="cpu"):
        raise OSError("Name or service not known")

    monkeypatch.setattr(imagenet, "resnet50", no_network)
    monkeypatch.setenv("COURSE_SOURCE", "hub")
    monkeypatch.setattr(runtime, "_course", None)
    model, layer = imagenet.network()
    out = capsys.readouterr().out
    assert layer == "bn2"
    assert model.get_submodule(layer) is not None
    assert out.count("\n") == 1
    assert "ResNet-50: could not be loaded" in out
    assert "stand-in" in out
