"""Language models for lesson 10, as `notebooks.support.lesson10.autointerp.LanguageModel`.

COURSE_SPEAKER chooses: "smollm2" (the default: packaged, no network), "hf:NAME" (any causal
language model that transformers can load), "openai:NAME" (any address that speaks OpenAI's chat
protocol: OPENAI_BASE_URL, and OPENAI_API_KEY where it wants one). Nothing is sent anywhere unless
the last is named.
"""

import json
import os
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch

from helpers.ground.errors import CourseError
from helpers.ground.runtime import current
from helpers.pretrained import smollm2
from notebooks.support.lesson10.autointerp import Talker


def chosen() -> Talker:
    """The speaker that COURSE_SPEAKER names; CourseError for a name in vain."""
    kind, _, name = os.environ.get("COURSE_SPEAKER", "smollm2").strip().partition(":")
    if kind in ("", "smollm2"):
        return Talker(Local(*smollm2.load(device=current().device), "SmolLM2-135M-Instruct"))
    if kind == "hf" and name:
        return Talker(hugging_face(name))
    if kind == "openai" and name:
        return Talker(OpenAICompatible(name))
    given = os.environ["COURSE_SPEAKER"]
    raise CourseError(f'COURSE_SPEAKER is "smollm2", "hf:NAME" or "openai:NAME", not {given!r}.')


def hugging_face(source: str | Path) -> "Local":
    """A causal language model by its name on the hub, or from a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source).eval().to(current().device)
    except (OSError, ValueError, ImportError) as error:
        why = " ".join(str(error).split())[:200]
        raise CourseError(f"The language model {source} could not be loaded ({why}).") from error
    return Local(model, tokenizer, str(source))


class Local:
    """A causal language model of transformers.

    Digits are not written but weighed: the mean of 0–9 under its probabilities.
    """

    def __init__(self, model, tokenizer, name: str):
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.digits = [self._encode(str(n))[-1] for n in range(10)]

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
        """One pass for all lines: after each the digits' probabilities are read.

        A question mark stands where the digit would.
        """
        ids = self._opened(f"{prompt} Answer with a line for each: the token, a tab, the digit.")
        at = []
        for line in lines:
            ids = ids + self._encode(f"{line}\t")
            at.append(len(ids) - 1)
            ids = ids + self._encode("?\n")
        logits = self.model(torch.tensor([ids], device=self.model.device)).logits[0, at]
        weights = logits[:, self.digits].float().softmax(dim=-1)  # (lines, 10)
        return (weights @ torch.arange(10.0, device=weights.device)).tolist()

    def _opened(self, prompt: str) -> list[int]:
        """The prompt as the beginning of an answer."""
        if not self.tokenizer.chat_template:
            return self.tokenizer.encode(prompt + "\n\n")
        conversation = [{"role": "user", "content": prompt}]
        options = {"add_generation_prompt": True, "tokenize": False}
        return self._encode(self.tokenizer.apply_chat_template(conversation, **options))

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


class OpenAICompatible:
    """A chat model behind an address.

    `unread` counts the answers without a digit for every line; they count as all zeros.
    """

    def __init__(self, name: str):
        self.address = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise CourseError(
                "COURSE_SPEAKER names a model behind an address: set OPENAI_BASE_URL to it, such "
                "as http://localhost:8000/v1."
            )
        self.name, self.model, self.unread = f"{name} at {self.address}", name, 0

    def say(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        body = {"model": self.model, "temperature": 0, "messages": messages}
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        address = f"{self.address}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["choices"][0]["message"]["content"] or ""
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise CourseError(
                f"{self.address} did not answer as a chat model ({error}): check OPENAI_BASE_URL, "
                "OPENAI_API_KEY and the name."
            ) from error

    def grade(self, prompt: str, lines: Sequence[str]) -> list[float]:
        numbered = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
        answer = self.say(
            f"{prompt}\n\n{numbered}\n\nAnswer with one line for each and nothing else: its "
            "number, a colon, the digit."
        )
        digits = dict(re.findall(r"^\s*(\d+)\s*[.:)]\s*(\d)\s*$", answer, re.M))
        try:
            return [float(digits[str(n)]) for n in range(1, len(lines) + 1)]
        except KeyError:
            self.unread += 1
            return [0.0] * len(lines)
