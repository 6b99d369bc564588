"""What the cards of data/ say, as a program: numpy and safetensors, nothing of the course.

w: a model's tensors by name; a name's beginning (`gelu-32.`, `tanh/`) has been taken off.
"""

import json

import numpy as np
from safetensors.numpy import load_file


def read(folder) -> tuple[dict, dict]:
    """(tensors in float32, meta): `NAME#0`, `NAME#1`, … are the rows of NAME, cut for size."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = {(f, k): v for f in manifest["files"] for k, v in load_file(folder / f).items()}
    whole = {}
    for name, entry in manifest["tensors"].items():
        parts = [rows[file, f"{name}#{i}"] for i, file in enumerate(entry["files"])]
        whole[name] = np.concatenate(parts).reshape(entry["shape"])
    for name, entry in manifest["tensors"].items():
        if "bits" in entry:
            w, step = whole[name], whole.pop(f"{name}_step")
            if entry["bits"] == 4:  # two in a byte, the first in its lower half
                w = np.stack([w << 4 >> 4, w >> 4], axis=-1)
            w = w.reshape(*step.shape, -1) * step[..., None].astype(np.float32)
            whole[name] = w.reshape(len(w), -1)
    whole = {name: w.astype(np.float32) for name, w in whole.items()}
    return whole, manifest["meta"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def layer_norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    return (
        x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
    )


def softmax(x):
    return (e := np.exp(x - x.max(-1, keepdims=True))) / e.sum(-1, keepdims=True)


def transformer(w, tokens, heads, activation):
    """Logits (T, V) and the neurons' activations (T, F) of one text."""
    T = len(tokens)
    x = w["embed.weight"][tokens] + w["positions"][:T]
    qkv = linear(layer_norm(x, w, "norm_1"), w, "qkv").reshape(T, 3, heads, -1)
    q, k, v = qkv.transpose(1, 2, 0, 3)  # (H, T, D/H) each
    future = np.triu(np.full((T, T), -np.inf), 1)
    mixed = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + future) @ v
    x = x + linear(mixed.transpose(1, 0, 2).reshape(T, -1), w, "attention_out")
    acts = activation(linear(layer_norm(x, w, "norm_2"), w, "W_in"))
    acts = layer_norm(acts, w, "norm_neurons") if "norm_neurons.weight" in w else acts
    x = x + linear(acts, w, "W_out")
    return linear(layer_norm(x, w, "norm_final"), w, "unembed"), acts


def dictionary(w, acts, scale, count):
    """Features (T, count) and the reconstruction (T, N) of activations (T, N)."""
    W_dec = w["W_d"] / np.linalg.norm(w["W_d"], axis=1, keepdims=True)
    f = np.maximum((acts * scale - w["b_d"]) @ w["W_e"].T + w["b_e"], 0)
    f = f * (f > w.get("threshold", 0))
    features = np.zeros((len(f), count), f.dtype)
    features[:, w["rows"].astype(int)] = f
    return features, (f @ W_dec + w["b_d"]) / scale


def lstm(x, w, name):
    """Hidden states (T, H) of vectors (T, E); gates in the order in, forget, new, out."""
    sigmoid, h = lambda z: 1 / (1 + np.exp(-z)), np.zeros(w[f"{name}.weight_hh_l0"].shape[1])
    c, states = h, []
    for row in x:
        z = w[f"{name}.weight_ih_l0"] @ row + w[f"{name}.weight_hh_l0"] @ h
        i, f, g, o = np.split(z + w[f"{name}.bias_ih_l0"] + w[f"{name}.bias_hh_l0"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        states.append(h := sigmoid(o) * np.tanh(c))
    return np.array(states)


def attention_model(w, ids, kind):
    """The logit of positive and the attention weights (T,) of one text of word numbers."""
    x = (w["embedding.weight"] * w["embedding.scale"])[ids]
    h = np.hstack([lstm(x, w, "encoder.net.0"), lstm(x[::-1], w, "encoder.net.1")[::-1]])
    if kind == "tanh":
        scores = linear(np.tanh(linear(h, w, "W1")), w, "v")[:, 0]
    else:
        scores = h @ w["query"] / np.sqrt(h.shape[1])
    no_word = np.isin(ids, (0, 2, 3))  # padding, start, end
    alpha = softmax(np.where(no_word, -np.inf, scores))
    return linear(alpha @ h, w, "out")[0], alpha


def convolve(x, w, name, stride=1):
    """(C, h, w) -> (O, h, w), with as many zeros around it as keep its size."""
    kernel = w[f"{name}.weight"]
    size, around = kernel.shape[-1], kernel.shape[-1] // 2
    x = np.pad(x, ((0, 0), (around, around), (around, around)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    found = np.einsum("chwij,ocij->ohw", windows[:, ::stride, ::stride], kernel, optimize=True)
    return found + w[f"{name}.bias"][:, None, None]


def scene_classifier(w, x):
    """162 logits of a picture (3, 64, 64) in [-1, 1]."""
    for layer in (0, 2, 5, 8, 10):
        x = np.maximum(convolve(x, w, f"features.{layer}", stride=1 if layer else 2), 0)
        if layer in (2, 5):  # the largest of each two by two
            x = x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).max((2, 4))
    return linear(x.mean((1, 2)), w, "head")


def diffusion(w, x, angle, digit):
    """v (1, 16, 16) for a picture x, its angle and a digit, 10 for none."""
    waves = angle * 2 ** np.arange(8)
    t = linear(np.hstack([np.sin(waves), np.cos(waves)]), w, "angle.0")
    t = silu(linear(silu(t), w, "angle.2") + w["classes.weight"][digit])

    def block(h, i):
        inside = silu(group_norm(h, w, f"blocks.{i}.norm1"))
        told = linear(t, w, f"blocks.{i}.tell")[:, None, None]
        inside = convolve(inside, w, f"blocks.{i}.conv1") + told
        return h + convolve(
            silu(group_norm(inside, w, f"blocks.{i}.norm2")), w, f"blocks.{i}.conv2"
        )

    folded = x.reshape(8, 2, 8, 2).transpose(1, 3, 0, 2).reshape(4, 8, 8)
    a = block(convolve(folded, w, "stem"), 0)
    b = np.einsum("chiwj,ocij->ohw", a.reshape(-1, 4, 2, 4, 2), w["down.weight"])
    b = block(block(b + w["down.bias"][:, None, None], 1), 2)
    up = np.einsum("chw,coij->ohiwj", b, w["up.weight"]).reshape(-1, 8, 8)
    c = block(a + up + w["up.bias"][:, None, None], 3)
    out = convolve(silu(c), w, "out")
    return out.reshape(2, 2, 8, 8).transpose(2, 0, 3, 1).reshape(1, 16, 16)


def silu(z):
    return z / (1 + np.exp(-z))


def group_norm(x, w, name):
    h = x.reshape(4, -1)  # four groups of channels
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
    gain, bias = (w[f"{name}.{key}"][:, None, None] for key in ("weight", "bias"))
    return h.reshape(x.shape) * gain + bias
