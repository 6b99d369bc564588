"""Steering in conversation: a language model answers while its residual stream is edited.

An edit takes the stream of one text's tokens (T, D) and gives what the next block gets instead.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.ground.errors import checked
from helpers.pretrained.hooks import hooked
from notebooks.support.lesson13.residual import LAYER, each

Edit = Callable[[Tensor], Tensor]


@checked
@torch.no_grad()
def answers(
    lm, tokenizer, question, edits, *, system=None, tokens=40, temperature=0.7, seed=0, layer=LAYER
) -> list[str]:
    """One answer to the same question for each edit of the stream after a block (None: as it is).

    All tokens are edited, of the question and of the answer, but for the first: its vector is an
    attention sink. Keys and values are kept, so that a token costs one token's pass. temperature 0:
    always the likeliest token. All draw with the same random numbers.
    """
    from transformers import DynamicCache

    said = [{"role": "system", "content": system}] if system else []
    said += [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer(text)["input_ids"]] * len(edits), device=lm.device)  # (B, T)
    draw = torch.Generator().manual_seed(seed)
    memory, said = DynamicCache(config=lm.config), []
    with hooked(lm, {("residual", layer): each(edits)}):
        for _ in range(tokens):
            read = lm(ids, None, None, memory, use_cache=True, logits_to_keep=1)
            logits = read.logits[:, -1].float()  # (B, V)
            if temperature:
                noise = torch.rand(logits.shape[1:], generator=draw).to(logits)
                logits = logits / temperature - (-noise.log()).log()  # Gumbel's noise: a draw
            ids = logits.argmax(-1, keepdim=True)
            said.append(ids)
    lines = torch.cat(said, dim=1).tolist()
    end = tokenizer.eos_token_id
    return [tokenizer.decode(row[: row.index(end)] if end in row else row) for row in lines]
