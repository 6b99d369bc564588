"""How the functions of helpers.attention are called on a device."""

import torch

from helpers.attention import data, diagnostic, faithfulness, model, tables, train
from helpers.datasets import reviews
from tests.gpu.calls import Call

SIZE = data.Size(20, 1, embed=6, hidden=8, epochs=2, batch=4, rate=1e-2)


def texts(n: int, seed: int) -> list[tuple]:
    """n texts of 4 to 7 ids, with labels."""
    generator = torch.Generator().manual_seed(seed)
    words = [torch.randint(4, 20, (4 + i % 4,), generator=generator) for i in range(n)]
    ends = [torch.cat([torch.tensor([2]), w, torch.tensor([3])]) for w in words]
    return [(ids, i % 2) for i, ids in enumerate(ends)]


class Words:
    """A vocabulary of 20 words."""

    def __len__(self):
        return 20


def task(texts_in_train: int = 12) -> data.Data:
    return data.Data(Words(), texts(texts_in_train, 0), texts(6, 1), texts(5, 2))


def reader(device, seed=0, **settings):
    return model.new_model(20, seed=seed, embed=6, hidden=8, **settings).to(device).eval()


def batch(device):
    return model.collate(texts(5, 3), device=device)


def encoded(device):
    net = reader(device)
    hidden, query = net.encode(batch(device))
    return net, hidden, query


def pair(device):
    generator = torch.Generator().manual_seed(0)
    p, q = torch.rand(2, 4, 3, generator=generator).softmax(-1)
    return p.to(device), q.to(device)


def attack(device, steps):
    generator = torch.Generator().manual_seed(0)
    return faithfulness.adversarial_attention(
        reader(device), batch(device), restarts=2, steps=steps, generator=generator
    )


def shuffles(device, steps):
    generator = torch.Generator().manual_seed(0)
    return faithfulness.permutation(reader(device), batch(device), n=steps, generator=generator)


def trained(device, steps):
    """Longer data, the same epochs: a step more must cost no wait more."""
    net = reader(device)
    some = task(6 * steps)
    return net, train.fit(net, some.train, some.dev, SIZE.training(0))


def adversary(device, steps):
    return diagnostic.train_adversary(reader(device), task(6 * steps), SIZE, lam=0.1)


def loss_of(device):
    net, some = reader(device), task().train
    return train.label_loss(net, some)(net, batch(device), None)


def adversary_loss(device):
    net, some = reader(device), texts(5, 3)
    loss = diagnostic.adversary_loss(*train.predict(net, some), 0.1)
    return loss(reader(device, seed=1), batch(device), None)


def steps_once(device):
    net = reader(device)
    optimizer = train.optimizer_for(net, SIZE.training(0))
    net(batch(device))[0].sum().backward() if net.train() else None
    optimizer.step()
    return net


CALLS = {
    data.load: Call(lambda d: data.load(device=d)[0]),
    diagnostic.adversary_loss: Call(adversary_loss, waits=1),
    diagnostic.distance: Call(
        lambda d: diagnostic.distance(reader(d), reader(d, seed=1), texts(5, 3)), waits=2
    ),
    # a dev score an epoch is looked at twice: is it a number, and which; four epochs, half the rate
    diagnostic.train_adversary: Call(adversary, waits=9),
    diagnostic.train_one: Call(
        lambda d, steps: diagnostic.train_one(task(6 * steps), SIZE, device=d), waits=4
    ),
    diagnostic.mlp_diagnostic: Call(
        lambda d, steps: diagnostic.mlp_diagnostic(
            task(6 * steps), SIZE, guide="uniform", device=d
        ),
        waits=5,
    ),
    faithfulness.adversarial_attention: Call(attack, waits=1),
    faithfulness.gradient_importance: Call(
        lambda d: faithfulness.gradient_importance(reader(d), batch(d)), waits=1
    ),
    faithfulness.jsd: Call(lambda d: faithfulness.jsd(*pair(d))),
    faithfulness.kendall: Call(
        lambda d: faithfulness.kendall(*pair(d), torch.ones(4, 3, dtype=torch.bool, device=d)),
        waits=3,
    ),
    faithfulness.kl: Call(lambda d: faithfulness.kl(*pair(d))),
    faithfulness.leave_one_out: Call(
        lambda d: faithfulness.leave_one_out(reader(d), batch(d)), waits=4
    ),
    faithfulness.permutation: Call(shuffles, waits=1),
    faithfulness.tvd: Call(lambda d: faithfulness.tvd(*pair(d))),
    model.AttentionModel.attend: Call(
        lambda d: (e := encoded(d))[0].attend(e[1], batch(d).content, e[2])
    ),
    model.AttentionModel.decode: Call(
        lambda d: (e := encoded(d))[0].decode(e[1], model.uniform(batch(d).content), e[2])
    ),
    model.AttentionModel.encode: Call(lambda d: encoded(d)[1]),
    model.AttentionModel.forward: Call(lambda d: reader(d, attention="dot")(batch(d))),
    model.Batch.to: Call(lambda d: batch("cpu").to(d)),
    model.Encoder.forward: Call(lambda d: reader(d, encoder="average").encode(batch(d))[0]),
    model.collate: Call(batch),
    model.probabilities: Call(lambda d: model.probabilities(torch.ones(3, 1, device=d))),
    model.uniform: Call(lambda d: model.uniform(batch(d).content)),
    tables.load: Call(lambda d: tables.load("rotten", device=d)),
    tables.load_variants: Call(lambda d: tables.load_variants(device=d)),
    train.batches: Call(lambda d: list(train.batches(texts(9, 0), 4, device=d))),
    train.f1: Call(lambda d: train.f1(reader(d), texts(9, 0)), waits=2),
    train.fit: Call(trained, waits=4),
    train.label_loss: Call(loss_of),
    train.optimizer_for: Call(steps_once),
    train.pick: Call(lambda d: train.pick(torch.ones(5, 12, device=d), batch(d))),
    train.predict: Call(lambda d: train.predict(reader(d), texts(9, 0), size=3), waits=1),
    train.score: Call(lambda d: train.score(reader(d), texts(9, 0)), waits=2),
}
LEFT_OUT = {
    "no tensor is computed": [
        data.Size.training,
        data.examples,
        data.notes,
        data.sst,
        data.texts,
        reviews.typed_words,
        data.words,
        model.AttentionModel.device,
        tables.Table.lams,
        tables.Table.seeds,
        tables.Table.starts,
    ],
    "made on the CPU; the caller moves it": [model.Vocabulary.encode, model.new_model],
}
