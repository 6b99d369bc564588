"""How the functions of helpers.transformer and helpers.sae are called on a device."""

import tempfile
from pathlib import Path

import torch

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint
from helpers.sae import features, kinds, splitting, store
from helpers.sae import model as sae_model
from helpers.sae import train as sae_train
from helpers.transformer import activations, measure, model, toy_models
from helpers.transformer import train as lm_train
from notebooks.support.lesson13 import residual, steering
from tests.gpu.calls import Call

SHAPE = model.Settings(d_model=8, d_mlp=16, heads=2, context=128, vocabulary=2048)
TOY = toy_models.ToySettings(features=4, hidden=2, steps=3, batch=8)


def lm(device):
    net = model.OneLayerTransformer(SHAPE)
    model.initialise(net, 0)
    return net.to(device).eval().requires_grad_(False)


def rows(n=4, length=32):
    return torch.randint(2048, (n, length), generator=torch.Generator().manual_seed(0))


def draw(device, *shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def sae(device, seed=0):
    return sae_model.SparseAutoencoder(sae_model.Settings(16, 32, seed=seed)).to(device)


def dictionary(device):
    return sae_model.Dictionary(sae(device), 2.0)


def buffer(device, n=4):
    return activations.ActivationBuffer(lm(device), rows(n))


def first_batches(device, steps):
    batches = buffer(device).batches(16)
    return [next(batches) for _ in range(steps)]


def lm_trained(device, steps):
    stream = rows(64, corpus.CONTEXT).flatten().to(torch.int16)
    training = lm_train.Training(tokens=2 * steps * corpus.CONTEXT, batch=2, micro=1, warmup=1)
    return lm_train.train(SHAPE, training, stream, device=device)


def lm_gradient(device):
    net = lm(device).requires_grad_(True)
    stream = rows(64, corpus.CONTEXT).flatten().to(device, torch.int16)
    training = lm_train.Training(tokens=8 * corpus.CONTEXT, batch=2, micro=1)
    picked = lm_train.batch(stream, 0, training)
    loss = lm_train.backward(net, picked, training)
    return loss, net.W_in.weight.grad


def sae_trained(device, steps):
    saes = [sae(device), sae(device, seed=1)]
    training = sae_train.Training(tokens=16 * steps, batch=16, resample_at=())
    return saes, sae_train.train(saes, buffer(device), training)


def sae_step(device):
    one = sae(device)
    optimizer = torch.optim.Adam(one.parameters())
    x = draw(device, 16, 16)
    sae_train.centre([one], x)
    loss, f = sae_train.backward(one, x, False)
    sae_train.update([one], optimizer)
    log = sae_train.Log(one)
    log.note(0, loss, f)
    dead = torch.arange(32, device=device) % 2 == 0
    sae_train.resample(one, optimizer, dead, x, seed=0)
    return one, loss, f, log.n_since_fired


def resumed(device):
    one = sae(device)
    optimizer = torch.optim.Adam(one.parameters(), fused=True)
    logs = [sae_train.Log(one)]
    state = sae_train.state_of([one], optimizer, logs) | {"step": 3}
    other = sae(device, seed=1)
    optimizer = torch.optim.Adam(other.parameters(), fused=True)
    return sae_train.restore(state, [other], optimizer, logs), other


def loss_of(device):
    one, x = sae(device), draw(device, 16, 16)
    f = one.encode(x)
    loss = one.loss(x, f)
    loss.total.backward()
    one.project_gradient()
    one.normalise()
    return loss, one, one.W_dec.grad


def kind_of(kind):
    """A step of one kind, all of whose features count as dead."""

    def step(device):
        settings = sae_model.Settings(16, 32, kind=kind, k=3, k_aux=4, dead_after=0)
        one = kinds.build(settings).to(device)
        loss, f = sae_train.backward(one, draw(device, 16, 16), False)
        return loss, f, one, [p.grad for p in one.parameters()], one.eval()(draw(device, 4, 16))

    return step


def talker(device):
    """A tiny model of SmolLM2's kind."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 50}
    depth = {"num_hidden_layers": 1 + residual.LAYER}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = LlamaForCausalLM(LlamaConfig(**sizes, **depth, **heads))
    return net.requires_grad_(False).to(device)


def numbers():
    return torch.arange(3 * residual.T).view(3, -1) % 50


def talked(device):
    """The stream, a batch of it, a sample, and the losses with it as it is and halved."""
    lm, some = talker(device), numbers()
    inputs = residual.Stream(lm, some)
    batch, drawn = next(inputs.batches(64)), inputs.sample(64, seed=0)
    return (
        residual.stream(lm, some),
        batch,
        drawn,
        residual.loss(lm, some),
        residual.loss(lm, some, lambda x: x / 2),
    )


class Spelled:
    """A tokenizer whose texts are all alike."""

    eos_token_id = -1
    apply_chat_template = staticmethod(lambda *_, **__: "")
    decode = staticmethod(list)

    def __call__(self, _text):
        return {"input_ids": [1, 2, 3]}


def answered(device):
    tokenizer = Spelled()
    edits = [None, lambda x: x * 2]
    return steering.answers(talker(device), tokenizer, "", edits, tokens=3)


def saved(device):
    net = lm(device)
    with tempfile.TemporaryDirectory() as folder:
        saver = lm_train.Saver(Checkpoint("pretend", Path(folder)), net.parameters(), 0.0)
        saver.after(0, lambda: {"model": net.state_dict()})
        saver.check(1)
    return net


def toys(device):
    generator = torch.Generator(device).manual_seed(0)
    return toy_models.ToyModels(3, TOY, generator=generator).to(device)


def toys_trained(device, steps):
    settings = toy_models.ToySettings(features=4, hidden=2, steps=steps, batch=8)
    sparsity = torch.tensor([0.5, 0.9], device=device)
    return toy_models.train_toys(settings, sparsity, torch.ones(4, device=device), tries=2)


def toy_sample(device):
    generator = torch.Generator(device).manual_seed(0)
    return toy_models.sample(
        torch.tensor([0.5, 0.9, 0.1], device=device), 6, 4, generator=generator
    )


TRANSFORMER = {
    activations.ActivationBuffer.batches: Call(first_batches, waits=1, close=2e-3),
    activations.ActivationBuffer.sample: Call(lambda d: buffer(d).sample(64, seed=0), waits=1),
    measure.ablate: Call(lambda d: measure.ablate(draw(d, 3, 4))),
    measure.loss_recovered: Call(
        lambda d: measure.loss_recovered(lm(d), rows(), lambda acts: acts * 0.5), waits=2
    ),
    measure.token_losses: Call(lambda d, steps: measure.token_losses(lm(d), rows(20 * steps))),
    model.OneLayerTransformer.activations: Call(lambda d: lm(d).activations(rows().to(d))),
    model.OneLayerTransformer.attend: Call(lambda d: lm(d).attend(draw(d, 2, 5, 8))),
    model.OneLayerTransformer.forward: Call(lambda d: lm(d)(rows().to(d))),
    model.OneLayerTransformer.logit_effects: Call(lambda d: lm(d).logit_effects(draw(d, 3, 16))),
    model.OneLayerTransformer.neurons: Call(lambda d: lm(d).neurons(draw(d, 2, 5, 8))),
    model.OneLayerTransformer.residual: Call(lambda d: lm(d).residual(rows().to(d))),
    model.initialise: Call(lm),
    model.load: Call(lambda d: model.load("lm_solu_ln", device=d).W_in.weight),
    model.quick_gelu: Call(lambda d: model.quick_gelu(draw(d, 3, 4))),
    model.solu: Call(lambda d: model.solu(draw(d, 3, 4))),
    toy_models.ToyModels.forward: Call(lambda d: toys(d)(draw(d, 3, 6, 4))),
    toy_models.alignment: Call(lambda d: toy_models.alignment(draw(d, 3, 2, 4))),
    toy_models.of_models: Call(lambda d: toy_models.of_models(draw(d, 3, 2, 4))),
    toy_models.dimensionality: Call(lambda d: toy_models.dimensionality(draw(d, 3, 2, 4))),
    toy_models.loss_per_model: Call(
        lambda d: toy_models.loss_per_model(toys(d), draw(d, 3, 6, 4), torch.ones(4, device=d))
    ),
    toy_models.represented: Call(lambda d: toy_models.represented(draw(d, 3, 2, 4))),
    toy_models.sample: Call(toy_sample),
    toy_models.train_toys: Call(toys_trained, waits=2),
    lm_train.Saver.after: Call(saved, waits=34),
    lm_train.Saver.check: Call(saved, waits=34),
    lm_train.backward: Call(lm_gradient),
    lm_train.batch: Call(lm_gradient),
    lm_train.train: Call(lm_trained, waits=18, close=1e-3),
}
SAE = {
    features.sparse_activations: Call(
        lambda d: float(features.sparse_activations(None, lm(d), rows()).sum()), waits=4
    ),
    features.compressed: Call(
        lambda d: float(features.compressed(draw(d, 4, 16)).sum()), waits=4, on_cpu="SciPy's"
    ),
    residual.fired_on: Call(
        lambda d: float(residual.fired_on(talker(d), dictionary(d), numbers()).sum()),
        waits=5,
    ),
    residual.stream: Call(talked, waits=2),
    residual.loss: Call(talked, waits=2),
    residual.each: Call(talked, waits=2),
    residual.Stream.batches: Call(talked, waits=2),
    residual.Stream.sample: Call(talked, waits=2),
    steering.answers: Call(answered, waits=2),
    sae_model.Dictionary.directions: Call(lambda d: dictionary(d).directions, waits=1),
    sae_model.Dictionary.feature: Call(lambda d: dictionary(d).feature(draw(d, 4, 16), 3), waits=1),
    sae_model.Dictionary.features: Call(lambda d: dictionary(d).features(draw(d, 4, 16)), waits=1),
    sae_model.Dictionary.reconstruct: Call(
        lambda d: dictionary(d).reconstruct(draw(d, 4, 16)), waits=1
    ),
    sae_model.Dictionary.rescaled: Call(lambda d: dictionary(d).rescaled(draw(d, 4, 16)), waits=1),
    sae_model.Dictionary.with_feature: Call(
        lambda d: dictionary(d).with_feature(3, 1.5)(draw(d, 4, 16)), waits=1
    ),
    sae_model.SparseAutoencoder.decode: Call(lambda d: sae(d).decode(draw(d, 4, 32))),
    sae_model.SparseAutoencoder.encode: Call(lambda d: sae(d).encode(draw(d, 4, 16))),
    sae_model.SparseAutoencoder.forward: Call(lambda d: sae(d)(draw(d, 4, 16))),
    sae_model.SparseAutoencoder.loss: Call(loss_of),
    sae_model.SparseAutoencoder.normalise: Call(loss_of),
    sae_model.SparseAutoencoder.project_gradient: Call(loss_of),
    sae_model.geometric_median: Call(
        lambda d, steps: sae_model.geometric_median(draw(d, 9, 4), steps=steps)
    ),
    **{
        function: Call(kind_of(kind))
        for kind, functions in {
            "topk": (kinds.TopK.activate, kinds.TopK.observe, kinds.TopK.extra, kinds.build),
            "batch_topk": (kinds.BatchTopK.activate, kinds.BatchTopK.observe),
            "jumprelu": (
                kinds.JumpReLU.activate,
                kinds.JumpReLU.slope,
                kinds.JumpReLU.extra,
                kinds.JumpReLU.normalise,
            ),
            "matryoshka": (kinds.Matryoshka.error,),
            "l1": (
                sae_model.SparseAutoencoder.activate,
                sae_model.SparseAutoencoder.error,
                sae_model.SparseAutoencoder.extra,
                sae_model.SparseAutoencoder.observe,
                sae_model.SparseAutoencoder.price,
            ),
        }.items()
        for function in functions
    },
    store.load: Call(lambda d: store.load("a1", device=d).sae.b_dec, waits=1),
    sae_train.Log.note: Call(sae_step, waits=16),
    sae_train.backward: Call(sae_step, waits=16),
    sae_train.centre: Call(sae_step, waits=16),
    sae_train.resample: Call(sae_step, waits=16),
    sae_train.restore: Call(resumed),
    sae_train.state_of: Call(resumed),
    sae_train.train: Call(sae_trained, waits=14),
    sae_train.update: Call(sae_step, waits=16),
}
CALLS = TRANSFORMER | SAE
LEFT_OUT = {
    "no tensor is computed": [
        measure.rows_at_once,
        lm_train.Training.steps,
        lm_train.share_of_peak,
        sae_train.Inputs.batches,
        sae_train.Inputs.sample,
        sae_train.Training.resampling_steps,
        sae_train.Training.steps,
        residual.windows,
        store.load_numbers,
        store.load_trials,
        store.there,
    ],
    "numbers of sparse matrices, on the CPU": [
        features.examples,
        features.examples_in,
        features.proxy_masks,
        sae_train.sparse_gradients,
        splitting.children_of,
        splitting.edges,
        splitting.living,
        store.load_examples,
        store.load_tables,
    ],
    "what is read from a file; load moves it": [model.restore, residual.load, store.restore],
}
