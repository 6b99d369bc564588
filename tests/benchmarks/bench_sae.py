"""Training dictionaries on lm_relu's activations beside dictionary-learning, sae-lens and sparsify.

512 → 4,096, batches of 1,024; and reading the activations beside TransformerLens.

Everybody minimises the same objective (the peers write it as a sum over neurons, so that their λ is
512 times ours), from the same weights, on the same batches, with Adam at the same learning rate,
falling over the last fifth, and unit decoder columns where the peer has them (dictionary-learning;
sae-lens weighs the penalty with the columns' lengths). "Outputs differ by" is the objective on
other activations after these equal tokens. "From random weights" is the start of a run, when half
of the features fire on every token and ours multiplies dense matrices as the peers do; "from the
shipped weights" is the rest of it, when ours multiplies only what fires; "a whole run" is a short
one that passes from the one to the other. Several at once: 512 + 4,096 + 4,096 features in one pass
of ours and of sae-lens' MultiSAETrainer, which is what its MultiSAETrainingRunner runs once it has
read the activations. TopK kinds keep 32 features; dictionary-learning also clips their gradients.
sparsify's Trainer reads from a model of the transformers library, so its SparseCoder is stepped
here, with the Trainer's calls but without its log, and with our fused Adam; it has no BatchTopK.
TransformerLens is the last version with HookedTransformer (4.0 took it out, and its bridge knows
models of the transformers library alone: see transformers). Not compared: resampling.
On a GPU our own 16,384 features stand beside the measured peak of a matrix product.
"""

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial

import torch

from helpers.datasets import corpus
from helpers.sae.kinds import build
from helpers.sae.model import Settings, SparseAutoencoder, geometric_median
from helpers.sae.store import load
from helpers.sae.train import Training, train
from helpers.transformer import model as transformer
from helpers.transformer.activations import ActivationBuffer
from tests.benchmarks import bench

PEERS = (
    "dictionary-learning==0.1.0",
    "sae-lens==6.54.12",
    "transformer-lens==3.9.0",
    "eai-sparsify==1.3.3",
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, STEPS = 1024, 3
# the shipped dictionaries, or new ones of their sizes
ONE, SEVERAL = ("a1",), ("a0", "a1", "a1_seed")


class Batches:
    """The same real activations for everybody, in the interface of `ActivationBuffer`."""

    def __init__(self, steps: int = STEPS, size: int = BATCH):
        rows = corpus.stream("heldout").contexts()[0]
        acts = ActivationBuffer(transformer.load("lm_relu").to(DEVICE), rows[:1000])
        drawn = acts.sample((steps + 1) * size + 127, seed=0).to(DEVICE)[: (steps + 1) * size]
        order = torch.randperm(len(drawn), generator=torch.Generator().manual_seed(0))
        *self.x, self.others = drawn[order.to(DEVICE)].split(size)

    def batches(self, size: int, *, start: int = 0):
        yield from self.x[start:]


@dataclass(frozen=True)
class Task:
    """What everybody trains, and from where."""

    data: Batches
    names: tuple[str, ...] = ONE
    trained: bool = False
    bfloat16: bool = False
    kind: str = "l1"
    features: int | None = None  # None: as many as the shipped ones
    lr: float = 1e-4

    def begin(self) -> list[SparseAutoencoder]:
        """Dictionaries, new or with shipped weights, whose silent features (not stored) are filled
        up and kept silent."""
        saes = []
        for name in self.names:
            shipped = load(name).sae
            features = self.features or shipped.settings.features
            sae = build(replace(shipped.settings, kind=self.kind, features=features))
            sae.b_dec.data = geometric_median(self.data.x[0])
            if self.trained:
                stored = shipped.W_dec.any(dim=1)
                sae.b_dec.data = shipped.b_dec
                sae.b_enc.data = torch.where(stored, shipped.b_enc, -1.0)
                sae.W_enc.data = torch.where(stored, shipped.W_enc, sae.W_enc.data)
                sae.W_dec.data = torch.where(stored[:, None], shipped.W_dec, sae.W_dec.data)
            saes.append(sae.to(DEVICE))
        return saes

    @torch.no_grad()
    def objective(self, sae: SparseAutoencoder) -> float:
        return sae.loss(self.data.others, sae.encode(self.data.others)).total.item()


def ours(task: Task) -> list[float]:
    saes, tokens = task.begin(), sum(map(len, task.data.x))
    options = {"learning_rate": task.lr, "bfloat16": task.bfloat16, "resample_at": ()}
    train(saes, task.data, Training(tokens=tokens, batch=len(task.data.x[0]), **options))
    return [task.objective(sae) for sae in saes]


def dictionary_learning(task: Task) -> list[float]:
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    losses, steps = [], len(task.data.x)
    for sae in task.begin():
        s = sae.settings
        trainer, options = {
            "l1": (
                StandardTrainer,
                {"l1_penalty": s.l1 * s.neurons, "sparsity_warmup_steps": None},
            ),
            "topk": (TopKTrainer, {"k": int(s.k)}),
            "batch_topk": (BatchTopKTrainer, {"k": int(s.k)}),
        }[task.kind]
        options |= {"activation_dim": s.neurons, "dict_size": s.features, "lr": task.lr}
        options |= {"steps": steps, "warmup_steps": 0, "decay_start": steps * 4 // 5}
        trainer = trainer(device=DEVICE, layer=0, lm_name="lm_relu", **options)
        theirs = {
            "b_dec" if task.kind != "l1" else "bias": sae.b_dec,
            "encoder.weight": sae.W_enc.data.T,
            "encoder.bias": sae.b_enc,
            "decoder.weight": sae.W_dec.data.T,
        }
        values = {key: value.detach() for key, value in theirs.items()}
        trainer.ae.load_state_dict(values, strict=task.kind == "l1")  # not their k and threshold
        for step, x in enumerate(task.data.x, start=1):  # their step 0 would move b_dec
            # anew each step: autocast keeps the weights it has rounded
            with torch.autocast(DEVICE, torch.bfloat16, enabled=task.bfloat16):
                trainer.update(step, x)
        for key, value in theirs.items():
            value.data.copy_(trainer.ae.state_dict()[key])
        losses.append(task.objective(sae))
    return losses


def sae_lens(task: Task) -> list[float]:
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes import batchtopk_sae, standard_sae, topk_sae
    from sae_lens.training.multi_sae_trainer import MultiSAETrainer

    saes, theirs = dict(enumerate(task.begin())), {}
    for i, sae in saes.items():
        s = sae.settings
        size = {"d_in": s.neurons, "d_sae": s.features, "device": DEVICE}
        module, name, options = {
            "l1": (standard_sae, "Standard", {"l1_coefficient": s.l1 * s.neurons}),
            "topk": (topk_sae, "TopK", {"k": int(s.k)}),
            "batch_topk": (batchtopk_sae, "BatchTopK", {"k": s.k}),
        }[task.kind]
        config = getattr(module, f"{name}TrainingSAEConfig")(**size, **options)
        theirs[str(i)] = getattr(module, f"{name}TrainingSAE")(config)
        for parameter in ("W_enc", "W_dec", "b_enc", "b_dec"):
            value = getattr(sae, parameter).detach().clone().contiguous()
            getattr(theirs[str(i)], parameter).data = value
    steps, size = len(task.data.x), len(task.data.x[0])
    config = SAETrainerConfig(
        total_training_samples=steps * size,
        train_batch_size_samples=size,
        lr=task.lr,
        lr_end=task.lr / 10,
        lr_decay_steps=steps // 5,
        device=DEVICE,
        autocast=task.bfloat16,
    )
    activations = ({"mlp": x} for x in task.data.x)
    MultiSAETrainer(config, theirs, dict.fromkeys(theirs, "mlp"), activations).fit()
    for sae, their in zip(saes.values(), theirs.values(), strict=True):
        # their columns are free, and the penalty counts their length
        length = their.W_dec.detach().norm(dim=1)
        sae.W_enc.data = their.W_enc.detach() * length
        sae.b_enc.data = their.b_enc.detach() * length
        sae.W_dec.data = their.W_dec.detach() / length[:, None]
        sae.b_dec.data = their.b_dec.detach()
    return [task.objective(sae) for sae in saes.values()]


def sparsify(task: Task) -> list[float]:
    """TopK alone. Lowered is the error as a share of the batch's variance: for Adam nearly ours."""
    os.environ["SPARSIFY_DISABLE_TRITON"] = str(int(DEVICE == "cpu"))  # it wants a GPU
    with redirect_stdout(sys.stderr):  # where it says so; the table goes to stdout
        from sparsify import SparseCoder, SparseCoderConfig

    losses, steps = [], len(task.data.x)
    for sae in task.begin():
        s = sae.settings
        theirs = SparseCoder(
            s.neurons, SparseCoderConfig(num_latents=s.features, k=int(s.k)), DEVICE
        )
        theirs.encoder.weight.data = sae.W_enc.detach().T.contiguous()
        theirs.encoder.bias.data = sae.b_enc.detach().clone()
        theirs.W_dec.data = sae.W_dec.detach().clone()
        theirs.b_dec.data = sae.b_dec.detach().clone()
        optimizer = torch.optim.Adam(theirs.parameters(), fused=True)
        for step, x in enumerate(task.data.x):
            for group in optimizer.param_groups:
                group["lr"] = task.lr * min(1.0, 5 * (1 - step / steps))
            theirs(x).fvu.backward()
            theirs.remove_gradient_parallel_to_decoder_directions()
            optimizer.step()
            optimizer.zero_grad()
            theirs.set_decoder_norm_to_unit_norm()
        sae.W_enc.data = theirs.encoder.weight.detach().T
        sae.b_enc.data = theirs.encoder.bias.detach()
        sae.W_dec.data = theirs.W_dec.detach()
        sae.b_dec.data = theirs.b_dec.detach()
        losses.append(task.objective(sae))
    return losses


def reading() -> bench.Contest:
    """lm_relu's neurons on 64 texts of 128 tokens: `activations` beside a cache of one hook."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    model = transformer.load("lm_relu").to(DEVICE)
    s, w = model.settings, {name: p.detach() for name, p in model.named_parameters()}
    options = {"n_heads": s.heads, "d_head": s.d_model // s.heads, "d_mlp": s.d_mlp}
    options |= {"d_vocab": s.vocabulary, "n_ctx": s.context, "act_fn": "relu"}
    theirs = HookedTransformer(
        HookedTransformerConfig(n_layers=1, d_model=s.d_model, device=DEVICE, **options)
    )
    qkv = w["qkv.weight"].unflatten(0, (3, s.heads, -1)).mT  # (3, H, D, d)
    state = {"embed.W_E": w["embed.weight"], "pos_embed.W_pos": w["positions"]}
    for name, weight, bias in zip(
        "QKV", qkv, w["qkv.bias"].unflatten(0, (3, s.heads, -1)), strict=True
    ):
        state |= {f"blocks.0.attn.W_{name}": weight, f"blocks.0.attn.b_{name}": bias}
    for i in (1, 2):
        state[f"blocks.0.ln{i}.w"] = w[f"norm_{i}.weight"]
        state[f"blocks.0.ln{i}.b"] = w[f"norm_{i}.bias"]
    state["blocks.0.attn.W_O"] = w["attention_out.weight"].T.unflatten(0, (s.heads, -1))
    state["blocks.0.attn.b_O"] = w["attention_out.bias"]
    state["blocks.0.mlp.W_in"] = w["W_in.weight"].T
    state["blocks.0.mlp.b_in"] = w["W_in.bias"]
    theirs.load_state_dict(state, strict=False)
    tokens = corpus.stream("heldout").contexts()[0][:64].long().to(DEVICE)
    site = "blocks.0.mlp.hook_post"

    @torch.no_grad()
    def peer():
        return theirs.run_with_cache(tokens, names_filter=site, stop_at_layer=1)[1][site]

    call = torch.no_grad()(lambda: model.activations(tokens))
    items = {"items": tokens.numel(), "unit": "activation"}
    return bench.Contest("reading 8,192 activations", call, peer, PEERS[2], 1e-3, **items)


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
    few = Batches()
    short = Batches(200, 256)
    both = {PEERS[0]: dictionary_learning, PEERS[1]: sae_lens}
    multi = {PEERS[1]: sae_lens}
    tasks = [
        ("one dictionary from random weights", Task(few), both),
        ("three at once from random weights", Task(few, SEVERAL), multi),
        ("three at once from random weights, bfloat16", Task(few, SEVERAL, bfloat16=True), multi),
        ("one dictionary from the shipped weights", Task(few, trained=True), both),
        ("three at once from the shipped weights", Task(few, SEVERAL, True), multi),
        ("three at once from the shipped, bfloat16", Task(few, SEVERAL, True, True), multi),
        (
            "TopK from random weights",
            Task(few, kind="topk"),
            both | {PEERS[3]: sparsify},
        ),
        ("BatchTopK from random weights", Task(few, kind="batch_topk"), both),
        (
            "a whole run of 200 steps, 2,048 features, batches of 256",
            Task(short, features=2048, lr=1e-3),
            {PEERS[0]: dictionary_learning},
        ),
    ]
    found = [reading()]
    for name, task, peers in tasks:
        items = {"items": sum(map(len, task.data.x)), "unit": "activation"}
        for version, peer in peers.items():
            calls = partial(ours, task), partial(peer, task)
            found.append(bench.Contest(name, *calls, version, 0.05, **items))
    return found + (share_of_peak() if DEVICE == "cuda" else [])


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    sys.exit(bench.run(contests, sys.argv[1:]))
