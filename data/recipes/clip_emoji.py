"""`python -m helpers make clip_emoji`: the tokenizer, the training run, the files in open_clip's own format, the card."""

import hashlib
import json
import random
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from open_clip.tokenizer import HFTokenizer
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from helpers.clip import model as clip
from helpers.clip.maps import crop_map, scaled
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, verify_file, write_atomically, write_card
from helpers.ground.errors import CourseError
from helpers.ground.runtime import in_chunks
from helpers.ground.stats import interval


def train_tokenizer(folder: Path, context: int, vocabulary: int = 2048) -> None:
    """A byte-level BPE tokenizer (any text can be written in it) from the scenes' own sentences, in a form open_clip reads."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(0)
    sentences = [scenes.draw(rng, 1 + i % 4).caption for i in range(20_000)]
    sentences += [scenes.question(rng, i % len(scenes.concepts())) for i in range(20_000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        sentences,
        trainers.BpeTrainer(
            vocab_size=vocabulary - 1,
            special_tokens=["<pad>", "<start>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer.add_special_tokens(["<end>"])  # the highest number: open_clip reads the text there
    special = [(token, tokenizer.token_to_id(token)) for token in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=special
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        model_max_length=context,
    ).save_pretrained(folder)


def verify(folder: Path) -> Path:
    """The folder, when each of its files has the SHA-256 that its manifest names; else a CourseError with the command to run."""
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"data/{folder.name} cannot be used: its manifest.json is missing or cannot be read. Run `python -m "
            f"helpers make clip_emoji`, or restore it with `git checkout -- data/{folder.name}`."
        ) from error
    for file, sha256 in files.items():
        verify_file(folder / file, sha256)
    return folder


def store(
    folder: Path,
    model,
    settings: clip.Settings,
    losses: list[float],
    seconds: float,
    tokenizer_folder: Path,
) -> None:
    """Write open_clip's own files (weights in half precision), the tokenizer's, and last the manifest with their SHA-256."""
    config = {
        "model_cfg": clip.model_config(settings, model.vocab_size),
        "preprocess_cfg": {
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "interpolation": "bilinear",
            "resize_mode": "shortest",
        },
    }
    contents = {path.name: path.read_bytes() for path in sorted(tokenizer_folder.iterdir())}
    contents["open_clip_config.json"] = json.dumps(config, indent=1).encode()
    halves = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in model.state_dict().items()
    }
    contents["open_clip_model.safetensors"] = save(halves)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    part = max(1, len(losses) // 20)
    curve = [
        [i + part, round(sum(losses[i : i + part]) / part, 3)]
        for i in range(0, len(losses) - part + 1, part)
    ]
    manifest = {
        "version": 1,
        "meta": {
            "settings": asdict(settings),
            "cpu_minutes": round(seconds / 60, 1),
            "loss": curve,
        },
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    write_atomically(folder / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())


def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Train `clip_emoji`, store it in `out` and write its card. Resumable; smoke: a tiny model, some seconds."""
    out = out or clip.FOLDER
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tiny, large = (
        {"steps": 8, "batch": 16, "width": 32, "layers": (1, 1)},
        {"steps": 20_000, "batch": 512, "width": 256, "layers": (8, 4)},
    )
    settings = clip.Settings(**(tiny if smoke else {} if scale == "small" else large))
    checkpoint = Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two towers and a worker fill two cores as it is
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(Path(folder), settings.context)
        tokenizer = HFTokenizer(folder, context_length=settings.context)
        model, losses, seconds = clip.train(
            settings,
            tokenizer,
            checkpoint,
            device=device,
            every=4 if smoke else 100,
            workers=0 if smoke else 1,
            report=_say,
        )
        store(out, model, settings, losses, seconds, Path(folder))
    torch.set_num_threads(threads)
    if not smoke:
        write_card(out.name, card(out, measure(out=out)), root=out.parent)
    checkpoint.clear()


def _say(step: int, loss: float, model) -> None:
    print(
        f"step {step}: loss {loss:.3f}, scale {float(model.logit_scale.detach().exp()):.1f}",
        flush=True,
    )


# ---- what the model can do ----------------------------------------------------------------------------------------------
def measure(*, out: Path | None = None, scenes_each: int = 100) -> dict[str, list[float]]:
    """Measure the stored model on held-out scenes. Returns [value, low, high] each: a mean and its 95 % interval over scenes."""
    model, preprocess, tokenizer = clip.load(out)
    shares = {
        "single object, top-1 among all concepts": singles(
            model, preprocess, tokenizer, 5 * scenes_each
        )
    }
    pictures, captions = retrieval(model, preprocess, tokenizer, rounds=scenes_each // 10)
    shares["retrieval among 100: the caption of a picture"] = pictures
    shares["retrieval among 100: the picture of a caption"] = captions
    shares["question without a picture: the nearest concept name"] = questions(model, tokenizer)
    ordered = orders(model, preprocess, tokenizer, 2 * scenes_each)
    shares["two objects: the true order (left of, above) rather than the reverse"] = ordered
    shares["who? among three people, plain-sum crop map, highest box mean"] = maps(
        model, tokenizer, scenes_each, 3
    )
    shares["two objects, plain-sum crop map, right box above the other"] = maps(
        model, tokenizer, scenes_each, 2
    )
    return {name: interval(share) for name, share in shares.items()}


@torch.no_grad()
def encode(model, preprocess, drawn: list[scenes.Scene]) -> Tensor:
    """Pictures of whole scenes, as open_clip's own preprocessing gives them; returns (N, D) of length 1."""
    pictures = torch.stack([preprocess(Image.fromarray(scene.image)) for scene in drawn])
    return in_chunks(lambda part: model.encode_image(part, normalize=True), pictures, chunk=256)


@torch.no_grad()
def encode_texts(model, tokenizer, texts: list[str]) -> Tensor:
    return model.encode_text(tokenizer(texts), normalize=True)


def named(concept: int) -> str:
    """A concept's usual name, in the wording that training never saw for it."""
    name = scenes.concepts()[concept].names[0]
    return scenes.frames(name, scenes.FRAMES, held_out=True)[0].format(scenes.with_article(name))


def singles(model, preprocess, tokenizer, n: int) -> np.ndarray:
    drawn = scenes.sample(n, 1001, count=1, held_out=True)
    texts = encode_texts(model, tokenizer, [named(i) for i in range(len(scenes.concepts()))])
    truth = torch.tensor([scene.things[0].concept for scene in drawn])
    return ((encode(model, preprocess, drawn) @ texts.T).argmax(1) == truth).double().numpy()


def retrieval(model, preprocess, tokenizer, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds of 100 held-out scenes of two to four things: is the own caption first, is the own picture first?"""
    hits = []
    for i in range(rounds):
        drawn = [
            scene
            for count in (2, 3, 4)
            for scene in scenes.sample(34, 2000 + 10 * i + count, count=count, held_out=True)
        ][:100]
        similarity = (
            encode(model, preprocess, drawn)
            @ encode_texts(model, tokenizer, [scene.caption for scene in drawn]).T
        )
        own = torch.arange(100)
        hits.append(torch.stack((similarity.argmax(1) == own, similarity.argmax(0) == own)))
    both = torch.cat(hits, 1).double().numpy()
    return both[0], both[1]


def questions(model, tokenizer) -> np.ndarray:
    """All facts in their held-out phrasing, against the names of all concepts."""
    rng, concepts = random.Random(0), scenes.concepts()
    names = encode_texts(model, tokenizer, [named(i) for i in range(len(concepts))])
    asked = [
        (scenes.question(rng, i, held_out=True), i) for i in range(len(concepts)) for _ in range(4)
    ]
    texts = encode_texts(model, tokenizer, [text for text, _ in asked])
    right = (texts @ names.T).argmax(1) == torch.tensor([i for _, i in asked])
    return right.double().numpy().reshape(-1, 4).mean(1)  # one value a concept


def orders(model, preprocess, tokenizer, n: int) -> np.ndarray:
    """Captions by position beside the same with the two names exchanged: a CLIP is known to be near chance here."""
    asked = [
        (scene, scene.caption.partition(word))
        for scene in scenes.sample(16 * n, 2900, count=2, held_out=True)
        for word in (" left of ", " above ")
        if word in scene.caption
    ][:n]
    pictures = encode(model, preprocess, [scene for scene, _ in asked])
    true = encode_texts(model, tokenizer, [a + word + b for _, (a, word, b) in asked])
    false = encode_texts(model, tokenizer, [b + word + a for _, (a, word, b) in asked])
    return ((pictures * true).sum(1) > (pictures * false).sum(1)).double().numpy()


def maps(model, tokenizer, n: int, count: int) -> np.ndarray:
    """Scenes of three people with a "who" question for each, or of two objects with each one's name: is the map's mean over
    the right box the highest? One value a scene: the share of its questions answered."""
    rng, shares = random.Random(5), []
    for i, scene in enumerate(
        scenes.sample(n, 3000 + count, count=count, people=count == 3, held_out=True)
    ):
        things = [thing.concept for thing in scene.things]
        texts = [
            scenes.question(rng, concept, held_out=True) if count == 3 else named(concept)
            for concept in things
        ]
        summed = crop_map(
            model, scaled(model, scene.image), encode_texts(model, tokenizer, texts), seed=i
        )
        inside = torch.stack(
            [summed[:, y0:y1, x0:x1].mean((1, 2)) for x0, y0, x1, y1 in scene.boxes], 1
        )  # (Q, boxes)
        shares.append((inside.argmax(1) == torch.arange(len(texts))).double().mean())
    return np.array(shares)


# ---- the card -----------------------------------------------------------------------------------------------------------
def card(folder: Path, numbers: dict[str, list[float]]) -> str:
    meta = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["meta"]
    rows = "\n".join(
        f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} |"
        for name, (value, low, high) in numbers.items()
    )
    curve = ", ".join(f"{step}: {loss:.2f}" for step, loss in meta["loss"])
    settings = meta["settings"]
    facts = sum(len(concept.facts) for concept in scenes.concepts())
    return CARD.format(
        rows=rows,
        curve=curve,
        minutes=meta["cpu_minutes"],
        pairs=settings["steps"] * settings["batch"],
        chance=np.log(settings["batch"]),
        concepts=len(scenes.concepts()),
        facts=facts,
        **settings,
    )


CARD = """# clip_emoji

A CLIP trained from scratch by this course: a picture tower (ViT, {pixels} px in patches of 8, width {width}, {layers[0]} layers) and a
text tower (width {width}, {layers[1]} layers, {context} tokens, byte-level BPE) that meet in one space of {width} numbers. It knows
{concepts} concepts and {facts} facts about them ("Who puts out fires?"), and nothing else. Lessons 02 and 03 use it.

* **Made by** `python -m helpers make clip_emoji` (resumable). **Measured by** `python -m helpers measure clip_emoji`.
* **Loads** through open_clip alone: `open_clip.create_model_and_transforms("local-dir:data/clip_emoji")`, and so does
  `open_clip.get_tokenizer`.
* **Trained on** {pairs:,} pairs drawn by `helpers/datasets/scenes.py` and `helpers/clip/model.py`: scenes of one to four emoji,
  two views (the whole or a square crop) of each, with a caption of what the view shows, or a question that the one thing in view
  answers. {steps} steps of {batch} pairs, AdamW, bfloat16 products; {minutes:.0f} minutes of CPU time, pictures not counted.
* **Files**: weights in half precision, open_clip's configuration, a Hugging Face tokenizer, SHA-256 of each in `manifest.json`.
* **Licence**: the pictures are Twemoji, © Twitter and other contributors, CC-BY 4.0; none is stored here. Captions and facts are
  the course's own.

## Measured on held-out scenes
Held out are combinations, never a word or a fact: pairs of concepts that never shared a training scene, wordings and phrasings
never used with that name or fact in training. 95 % intervals by bootstrap over scenes (over concepts for questions without a picture).

| what | share right | 95 % interval |
|---|---|---|
{rows}

Single objects and retrieval see whole scenes. A crop map is the plain sum over 400 crops, the smallest 22 % of the side.

## Loss in training (step: mean since the last)
{curve}

The rate falls, and all patches are shown, over the last {decay:.0%} of the steps. Chance is ln {batch} = {chance:.2f}.

## What it cannot do
It has never met a negation. Positions stand in its captions, but whether it tells "left of" from "right of" see in the table (chance
is .5). It met counts only as "two" to "four" of one kind. Any text can be encoded, but a text about anything else than its concepts
lands somewhere without meaning. Texts are cut after {context} tokens.
"""
