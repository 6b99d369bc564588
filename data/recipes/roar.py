"""Makes and measures data/roar, the table of lesson 03: `python -m helpers make roar`."""

import torch

from data.recipes.base import Run, table
from notebooks.support.lesson03 import roar

SHARES = (0.1, 0.5, 0.8)  # of the pixels, removed


def make(run: Run) -> None:
    """Store the accuracies (method, share, seed). Resumable, a cell at a time."""
    seeds, shares, epochs = run.pick((3, SHARES, 6), (20, SHARES, 6), (1, SHARES[:1], 1))
    checkpoint = run.checkpoint()
    cells = checkpoint.load() or {}
    accuracy = torch.zeros(len(roar.METHODS), len(shares), seeds)
    for seed in range(seeds):
        most = 50 if run.smoke else 1200
        parts, model = roar.learned(seed, epochs=epochs, most=most, device=run.device)
        for m, (name, method) in enumerate(roar.METHODS.items()):
            for s, share in enumerate(shares):
                key = f"{name} {share} {seed}"
                if key not in cells:
                    cells[key] = roar.retrained(model, parts, method, share, seed, epochs=epochs)
                    checkpoint.save(cells)
                accuracy[m, s, seed] = cells[key]
            print(f"seed {seed}, {name}: {accuracy[m, :, seed].numpy().round(2)}", flush=True)
    meta = {"methods": list(roar.METHODS), "shares": list(shares), "axes": "method, share, seed"}
    run.save({"accuracy": accuracy}, version=1, meta=meta)
    run.card(f"""# roar
Remove and retrain on handwritten digits (28 px, grain of deviation {roar.TEXTURE}): accuracy on
test digits after the most important pixels by each method became mean grey in all pictures
and a network was trained again. Mean over {seeds} seeds; lesson 03 shows it and re-runs a cell.

Made by `python -m helpers make roar` (resumable; about three minutes on two quiet cores) from
scikit-learn's `load_digits` (UCI, CC BY 4.0). Numbers only. Columns: pixels removed.

{table(measure(run))}""")
    checkpoint.clear()


def measure(run: Run) -> dict[str, dict[str, float]]:
    """{share removed: {method: mean accuracy over seeds}}."""
    tensors, meta = run.load(version=1)
    means = tensors["accuracy"].mean(2).T.tolist()  # (share, method)
    return {
        f"{share:.0%}": dict(zip(meta["methods"], row, strict=True))
        for share, row in zip(meta["shares"], means, strict=True)
    }
