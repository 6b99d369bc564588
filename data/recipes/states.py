"""A training's state, small enough for git: what a checkpoint holds, as JSON and tensors.

Weights become float16; Adam's second moment a byte a number, its first is left out (ten steps bring
it back). Vectors and single numbers stay as they are.
"""

import torch
from torch import Tensor


def packed(value, tensors: dict[str, Tensor], key: str = ""):
    """A state as JSON; its larger tensors go into `tensors`, rounded."""
    if isinstance(value, dict):
        return {"dict": [[k, packed(v, tensors, f"{key}.{k}")] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [packed(v, tensors, f"{key}.{i}") for i, v in enumerate(value)]}
    if not isinstance(value, Tensor):
        return value
    if value.numel() <= 4:
        return {"small": value.tolist(), "dtype": str(value.dtype).split(".")[1]}
    if key.endswith(".exp_avg"):
        return {"zeros": list(value.shape)}
    if key.endswith(".exp_avg_sq"):
        codes = ((value.log2() + 80) * 3).round().clamp(1, 255)  # 2^-80 to 2^5, within 12 %
        value = torch.where(value > 0, codes, 0).to(torch.uint8)
    elif value.ndim >= 2 and value.dtype == torch.float32:
        value = value.half()
    tensors[key] = value
    return {"tensor": key}


def unpacked(value, tensors: dict[str, Tensor]):
    """The state again, in float32."""
    if not isinstance(value, dict):
        return value
    ((kind, content), *rest) = value.items()
    if kind == "dict":
        return {k: unpacked(v, tensors) for k, v in content}
    if kind == "list":
        return [unpacked(v, tensors) for v in content]
    if kind == "small":
        return torch.tensor(content, dtype=getattr(torch, rest[0][1]))
    if kind == "zeros":
        return torch.zeros(content)
    tensor = tensors[content]
    if tensor.dtype == torch.uint8 and content.endswith(".exp_avg_sq"):
        return torch.where(tensor > 0, 2 ** (tensor.float() / 3 - 80), 0)
    return tensor.float() if tensor.dtype == torch.float16 else tensor
