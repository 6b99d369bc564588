"""Each kind of dictionary beside a library's own: the same weights, the same inputs.

Compared are the features, the loss and all gradients, as relative differences. The libraries add
squares up over the N neurons, so that their losses are N times ours. dictionary-learning divides
the loss for dead features by the variance of what is left over; here that is undone. Run by
`python -m tests.benchmarks.agree_kinds`; the packages are bench_sae's, in its environment.
Found with sae-lens 6.54.12 (five kinds) and dictionary-learning 0.1.0 (three, with and without
dead features): every difference at most 3e-7.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from helpers.sae.kinds import PREFIXES, build
from helpers.sae.model import Settings
from helpers.sae.train import backward
from tests.benchmarks.bench_sae import PEERS
from tests.benchmarks.peers import in_own_environment, own_environment

HOME = Path(__file__).with_name("bench_sae.py")
SIZE, N, M = 256, 32, 128
BASE = Settings(neurons=N, features=M, k=6, k_aux=N // 2, dead_after=10, bandwidth=0.2)


def inputs() -> torch.Tensor:
    return torch.randn(SIZE, N, generator=torch.Generator().manual_seed(0))


def ours(kind: str, dead: int):
    """(dictionary, its features, its loss) for `inputs`, with gradients; the first are dead."""
    sae = build(replace(BASE, kind=kind, l1=0.02, auxiliary=1.0 if kind == "jumprelu" else 1 / 32))
    draw = torch.Generator().manual_seed(1)
    for bias in (sae.b_enc, sae.b_dec):
        bias.data = 0.1 * torch.randn(bias.shape, generator=draw)
    sae.b_enc.data[:dead] -= 100.0  # never among the largest …
    if dead:
        sae.silent_for[:dead] = 1e6  # … and known to be
    loss, f = backward(sae, inputs(), bfloat16=False)
    return sae, f, loss


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-12))


def compare(sae, f, loss, theirs: dict) -> dict[str, float]:
    """Relative differences of features, loss and gradients from `theirs`, already in our units."""
    found = {"features": difference(f, theirs["f"]), "loss": difference(loss, theirs["loss"])}
    for name, parameter in sae.named_parameters():
        if name in theirs:
            ours_, their = parameter.grad, theirs[name]
            if name == "W_dec":  # lengths are held at 1; sae-lens' L1 would also shorten rows
                ours_, their = (
                    g - (g * parameter).sum(1, True) * parameter for g in (ours_, their)
                )
            found[name] = difference(ours_, their)
    return found


def weights_into(module, sae, names: dict[str, str]) -> None:
    for theirs, name in names.items():
        value = getattr(sae, name).detach()
        target = module.get_parameter(theirs)
        target.data = (value if target.shape == value.shape else value.T).clone().contiguous()


def sae_lens(kind: str, dead: int) -> dict[str, float]:
    from sae_lens.saes import (
        batchtopk_sae,
        jumprelu_sae,
        matryoshka_batchtopk_sae,
        standard_sae,
        topk_sae,
    )
    from sae_lens.saes.sae import TrainStepInput

    sae, f, loss = ours(kind, dead)
    size = {"d_in": N, "d_sae": M, "device": "cpu"}
    topk = {"k": int(BASE.k), "rescale_acts_by_decoder_norm": False, "aux_loss_coefficient": 1.0}
    L0 = float((f != 0).sum(1).float().mean())
    widths = [round(share * M) for share in PREFIXES]
    module, options = {
        "l1": (standard_sae.StandardTrainingSAE, {"l1_coefficient": 0.02 * N}),
        "topk": (topk_sae.TopKTrainingSAE, topk),
        "batch_topk": (batchtopk_sae.BatchTopKTrainingSAE, topk),
        "matryoshka": (
            matryoshka_batchtopk_sae.MatryoshkaBatchTopKTrainingSAE,
            topk | {"matryoshka_widths": widths},
        ),
        "jumprelu": (
            jumprelu_sae.JumpReLUTrainingSAE,
            {  # our (L0 / k − 1)² has this slope in L0
                "l0_coefficient": 2 * (L0 / BASE.k - 1) / BASE.k * N,
                "jumprelu_bandwidth": BASE.bandwidth,
            },
        ),
    }[kind]
    config = getattr(sys.modules[module.__module__], f"{module.__name__}Config")
    their = module(config(**size, **options))
    names = {n: n for n in ("W_enc", "W_dec", "b_enc", "b_dec")}
    weights_into(their, sae, names | ({"threshold": "threshold"} if kind == "jumprelu" else {}))
    coefficients = {
        name: getattr(value, "value", value) for name, value in their.get_coefficients().items()
    }
    out = their.training_forward_pass(TrainStepInput(inputs(), coefficients, None, 1, False))
    out.loss.backward()
    parts = PREFIXES if kind == "matryoshka" else (1,)  # they add the prefixes up
    per = N * len(parts)
    theirs = {n: p.grad / per for n, p in their.named_parameters() if p.grad is not None}
    total = out.losses["mse_loss"] if kind == "jumprelu" else out.loss
    acts = out.feature_acts
    return compare(
        sae,
        f,
        loss.mse if kind == "jumprelu" else loss.total,
        theirs | {"f": acts.to_dense() if acts.is_sparse else acts, "loss": total / per},
    )


def dictionary_learning(kind: str, dead: int) -> dict[str, float]:
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    sae, f, loss = ours(kind, dead)
    trainer = {
        "topk": top_k.TopKTrainer,
        "batch_topk": batch_top_k.BatchTopKTrainer,
        "matryoshka": matryoshka_batch_top_k.MatryoshkaBatchTopKTrainer,
    }[kind]
    groups = [b - a for a, b in zip((0, *PREFIXES), PREFIXES, strict=False)]
    their = trainer(
        steps=100,
        activation_dim=N,
        dict_size=M,
        k=int(BASE.k),
        layer=0,
        lm_name="",
        warmup_steps=0,
        device="cpu",
        **({"group_fractions": groups} if kind == "matryoshka" else {}),
    )
    names = {"encoder.weight": "W_enc", "decoder.weight": "W_dec", "encoder.bias": "b_enc"}
    names = {n: n for n in ("W_enc", "W_dec", "b_enc")} if kind == "matryoshka" else names
    weights_into(their.ae, sae, names | {"b_dec": "b_dec"})
    their.num_tokens_since_fired[:dead] = 10**9
    with torch.no_grad():
        left = inputs() - sae.decode(f)
        variance = (left - left.mean(0)).pow(2).sum(1).mean()
    their.auxk_alpha = float(sae.settings.auxiliary * variance)
    parts = len(PREFIXES) if kind == "matryoshka" else 1
    if parts > 1:  # theirs divides the sum over prefixes by their number twice
        their.auxk_alpha /= parts
    total = their.loss(inputs(), step=0)
    total.backward()
    per = N / parts
    grads = {name: p.grad / per for name, p in their.ae.named_parameters()}
    theirs = {ours_: grads[name] for name, ours_ in (names | {"b_dec": "b_dec"}).items()}
    theirs = {n: g if g.shape == getattr(sae, n).shape else g.T for n, g in theirs.items()}
    f_theirs = their.ae.encode(inputs(), use_threshold=False)
    return compare(sae, f, loss.total, theirs | {"f": f_theirs, "loss": total / per})


def main() -> None:
    cases = [(sae_lens, kind, 0) for kind in ("l1", "topk", "batch_topk", "jumprelu", "matryoshka")]
    cases += [
        (dictionary_learning, kind, dead)
        for kind in ("topk", "batch_topk", "matryoshka")
        for dead in (0, 20)
    ]
    for peer, kind, dead in cases:
        found = peer(kind, dead)
        numbers = ", ".join(f"{name} {value:.0e}" for name, value in found.items())
        print(f"{peer.__name__:20} {kind:11} {dead:3} dead: {numbers}")


if __name__ == "__main__":
    if in_own_environment(HOME):
        main()
    else:
        python = own_environment(HOME, PEERS)
        sys.exit(subprocess.call([python, "-m", "tests.benchmarks.agree_kinds"]))
