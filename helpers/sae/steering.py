"""Steering in conversation: a language model answers while its residual stream is edited.

An edit takes the stream (B, T, D) of some tokens and gives what the next block gets instead.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.pretrained.hooks import hooked
from helpers.sae.residual import LAYER, stream

Edit = Callable[[Tensor], Tensor]


@torch.no_grad()
def answer(
    lm,
    tokenizer,
    question: str,
    edit: Edit | None = None,
    *,
    system: str | None = None,
    tokens: int = 40,
    temperature: float = 0.7,
    seed: int = 0,
    layer: int = LAYER,
) -> str:
    """What the model answers, at most `tokens` tokens, with the stream after a block edited.

    Every token is edited, of the question and of the answer, but the first: its vector is an
    attention sink. Earlier keys and values are kept, so each new token costs one token's pass.
    temperature 0: always the likeliest token. The same seed gives the same answer on one device.
    """
    said = [{"role": "system", "content": system}] if system else []
    said += [{"role": "user", "content": question}]
    given = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=True)
    ids = torch.tensor([given["input_ids"]], device=lm.device)  # (1, T)
    generator = torch.Generator().manual_seed(seed)
    past, out = None, []
    with hooked(lm, {("residual", layer): edit and spare_first(edit)}):
        while len(out) < tokens:
            result = lm(ids, past_key_values=past, use_cache=True)
            past, logits = result.past_key_values, result.logits[0, -1]
            token = draw(logits, temperature, generator)
            if token == tokenizer.eos_token_id:
                break
            out.append(token)
            ids = torch.tensor([[token]], device=lm.device)
    return tokenizer.decode(out)


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """A token from the softmax of logits / temperature (V,); at 0 the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    p = (logits.double().cpu() / temperature).softmax(-1)
    return int(torch.multinomial(p, 1, generator=generator))


def spare_first(edit: Edit) -> Edit:
    """The same edit, which leaves the first token of a text alone; a single token comes later."""
    return lambda x: edit(x) if x.shape[1] == 1 else torch.cat([x[:, :1], edit(x[:, 1:])], dim=1)


def add(vector: Tensor) -> Edit:
    """An edit that adds a vector (D,) to every token."""
    return lambda x: x + vector


@torch.no_grad()
def mean_stream(lm, tokenizer, texts: list[str], layer: int = LAYER) -> Tensor:
    """The mean of the stream (D,) over all tokens of some texts, without first tokens."""
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
    return torch.cat([stream(lm, row, layer)[0] for row in rows]).mean(dim=0)
