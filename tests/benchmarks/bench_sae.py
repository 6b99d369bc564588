"""Training dictionaries on lm_relu's activations beside dictionary-learning and sae-lens.

512 → 4,096, batches of 1,024.

Everybody minimises the same objective (the peers write it as a sum over neurons, so that their λ is
512 times ours), from the same weights, on the same six batches, with Adam at the same learning
rate, falling over the last fifth, and unit decoder columns where the peer has them (dictionary-
learning; sae-lens weighs the penalty with the columns' lengths). "Outputs differ by" is the
objective on other activations after these equal tokens. "From random weights" is the start of a
run, when half of the features fire on every token and ours multiplies dense matrices as the peers
do; "from the shipped weights" is the rest of it (from about step 150 of 3,906 on), when ours
multiplies only what fires. Several at once: 512 + 4,096 + 4,096 features in one pass of ours, one
after the other in the peer's. Not compared: reading activations from the transformer, resampling.
On a GPU our own 16,384 features stand beside the measured peak of a matrix product.
"""

import sys
from functools import partial
from itertools import product

import torch

from helpers.datasets import corpus
from helpers.sae.model import Settings, SparseAutoencoder, geometric_median
from helpers.sae.store import load
from helpers.sae.train import Training, train
from helpers.transformer import model as transformer
from helpers.transformer.activations import ActivationBuffer
from tests.benchmarks import bench

PEERS = ("dictionary-learning==0.1.0", "sae-lens==6.54.12")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, STEPS, LR = 1024, 6, 1e-4
ONE, SEVERAL = (
    ("a1",),
    ("a0", "a1", "a1_seed"),
)  # the shipped dictionaries, or new ones of their sizes


class Batches:
    """The same real activations for everybody, in the interface of `ActivationBuffer`."""

    def __init__(self):
        rows = corpus.stream("heldout").contexts()[0]
        acts = ActivationBuffer(transformer.load("lm_relu").to(DEVICE), rows[:1000])
        *self.x, self.others = (
            acts.sample(BATCH, seed=seed).to(DEVICE) for seed in range(STEPS + 1)
        )

    def batches(self, size: int, *, start: int = 0):
        yield from self.x[start:]


def objective(sae: SparseAutoencoder, x: torch.Tensor) -> float:
    with torch.no_grad():
        return sae.loss(x, sae.encode(x)).total.item()


def begin(name: str, data: Batches, trained: bool) -> SparseAutoencoder:
    """A dictionary of the size of a shipped one.

    New, or with its weights, its silent features (not stored) filled up and kept silent.
    """
    shipped = load(name).sae
    sae = SparseAutoencoder(shipped.settings)
    sae.b_dec.data = geometric_median(data.x[0])
    if trained:
        stored = shipped.W_dec.any(dim=1)
        sae.b_dec.data = shipped.b_dec
        sae.b_enc.data = torch.where(stored, shipped.b_enc, -1.0)
        sae.W_enc.data = torch.where(stored, shipped.W_enc, sae.W_enc.data)
        sae.W_dec.data = torch.where(stored[:, None], shipped.W_dec, sae.W_dec.data)
    return sae.to(DEVICE)


def ours(data: Batches, names, trained: bool, bfloat16: bool) -> list[float]:
    saes = [begin(name, data, trained) for name in names]
    train(
        saes,
        data,
        Training(
            tokens=STEPS * BATCH, batch=BATCH, learning_rate=LR, bfloat16=bfloat16, resample_at=()
        ),
    )
    return [objective(sae, data.others) for sae in saes]


def dictionary_learning(data: Batches, names, trained: bool, bfloat16: bool) -> list[float]:
    from dictionary_learning.trainers.standard import StandardTrainer

    losses = []
    for name in names:
        sae = begin(name, data, trained)
        s = sae.settings
        trainer = StandardTrainer(
            steps=STEPS,
            activation_dim=s.neurons,
            dict_size=s.features,
            lr=LR,
            l1_penalty=s.l1 * s.neurons,
            warmup_steps=0,
            sparsity_warmup_steps=None,
            decay_start=STEPS * 4 // 5,
            device=DEVICE,
            layer=0,
            lm_name="lm_relu",
        )
        theirs = {
            "bias": sae.b_dec,
            "encoder.weight": sae.W_enc.data.T,
            "encoder.bias": sae.b_enc,
            "decoder.weight": sae.W_dec.data.T,
        }
        trainer.ae.load_state_dict({key: value.detach() for key, value in theirs.items()})
        for step, x in enumerate(data.x):
            with torch.autocast(
                DEVICE, torch.bfloat16, enabled=bfloat16
            ):  # anew each step: it keeps the weights it has rounded
                trainer.update(step, x)
        for key, value in theirs.items():
            value.data.copy_(trainer.ae.state_dict()[key])
        losses.append(objective(sae, data.others))
    return losses


def sae_lens(data: Batches, names, trained: bool, bfloat16: bool) -> list[float]:
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    losses = []
    for name in names:
        sae = begin(name, data, trained)
        s = sae.settings
        theirs = StandardTrainingSAE(
            StandardTrainingSAEConfig(
                d_in=s.neurons, d_sae=s.features, l1_coefficient=s.l1 * s.neurons, device=DEVICE
            )
        )
        pairs = (
            (theirs.W_enc, sae.W_enc),
            (theirs.W_dec, sae.W_dec),
            (theirs.b_enc, sae.b_enc),
            (theirs.b_dec, sae.b_dec),
        )
        for parameter, value in pairs:
            parameter.data = value.detach().clone().contiguous()
        SAETrainer(
            SAETrainerConfig(
                total_training_samples=STEPS * BATCH,
                train_batch_size_samples=BATCH,
                lr=LR,
                lr_end=LR / 10,
                lr_decay_steps=STEPS // 5,
                device=DEVICE,
                autocast=bfloat16,
            ),
            theirs,
            iter(data.x),
        ).fit()
        # their columns are free, and the penalty counts their length
        length = theirs.W_dec.detach().norm(dim=1)
        sae.W_enc.data = theirs.W_enc.detach() * length
        sae.b_enc.data = theirs.b_enc.detach() * length
        sae.W_dec.data = theirs.W_dec.detach() / length[:, None]
        sae.b_dec.data = theirs.b_dec.detach()
        losses.append(objective(sae, data.others))
    return losses


def share_of_peak() -> list[bench.Contest]:
    """On a GPU: 16,384 features in bfloat16 beside as many multiplications in one bare matrix
    product."""
    s, size = Settings(features=16384, resample=False), 16384
    x = torch.relu(torch.randn(size, s.neurons, device=DEVICE))
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    products = round(
        5 * 2 * size * s.neurons * s.features * STEPS / (2 * 8192**3)
    )  # forward 2, backward 3: nothing flows into x

    class Same:
        def batches(self, batch, *, start=0):
            while True:
                yield x

    def step():
        train(
            [SparseAutoencoder(s).to(DEVICE)],
            Same(),
            Training(tokens=STEPS * size, batch=size, bfloat16=True, resample_at=()),
        )
        return 0.0

    def bare():
        for _ in range(products):
            a @ b
        return 0.0

    return [
        bench.Contest(
            "16,384 features, bfloat16, beside the bare products",
            step,
            bare,
            "torch.matmul",
            float("inf"),
            apart="the ratio is the share of the peak",
            items=STEPS * size,
            unit="activation",
        )
    ]


def contests() -> list[bench.Contest]:
    data, found = Batches(), []
    for trained, names, bfloat16, (peer, version) in product(
        (False, True),
        (ONE, SEVERAL),
        (False, True),
        zip((dictionary_learning, sae_lens), PEERS, strict=True),
    ):
        many = "one dictionary" if names is ONE else "three at once"
        begin = "the shipped" if trained else "random"
        label = f"{many} from {begin} weights, {'bfloat16' if bfloat16 else 'float32'}"
        found.append(
            bench.Contest(
                label,
                partial(ours, data, names, trained, bfloat16),
                partial(peer, data, names, trained, bfloat16),
                version,
                0.05,
                items=STEPS * BATCH,
                unit="activation",
            )
        )
    return found + (share_of_peak() if DEVICE == "cuda" else [])


if __name__ == "__main__":
    import os

    os.environ["TQDM_DISABLE"] = "1"
    sys.exit(bench.run(contests, sys.argv[1:]))
