"""What maps are measured by, beside Quantus: deletion is its PixelFlipping, concentration its
Sparseness. Its MaxSensitivity and ModelParameterRandomisation draw for themselves: not compared.
"""

import sys
from contextlib import redirect_stdout
from functools import partial

import numpy as np
import torch

from helpers.nets import digits
from helpers.saliency.metrics import concentration, deletion
from tests.benchmarks import bench
from tests.benchmarks.bench import Contest

PEERS = ("quantus==0.6.0",)
B = 64


def contests() -> list[Contest]:
    if not hasattr(np, "trapz"):
        np.trapz = np.trapezoid  # Quantus 0.6.0 asks for the name that NumPy 2.4 took away
    import quantus

    net = digits.network().eval()
    x = digits.digits("test").images[:B]  # (B, 1, 28, 28)
    t = net(x).argmax(1)
    heat = torch.rand(B, 28, 28, generator=torch.Generator().manual_seed(0))  # without ties
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    data = {"model": net, "x_batch": x.numpy(), "y_batch": t.numpy()}
    data |= {"a_batch": heat[:, None].numpy(), "device": "cpu"}
    flipping = quantus.PixelFlipping(
        features_in_step=28, perturb_baseline="black", return_auc_per_sample=False, **plain
    )
    with redirect_stdout(sys.stderr):  # it warns by printing; the table goes to stdout
        sparseness = quantus.Sparseness(**plain)
    many = {"items": B, "unit": "image"}
    return [
        Contest(
            f"deletion, {B} digits, 28 steps",
            lambda: deletion(net, x, t, heat)[:, 1:],
            lambda: torch.tensor(np.array(flipping(**data, softmax=True))),
            PEERS[0],
            1e-4,
            **many,
        ),
        Contest(
            f"concentration, {B} digits",
            partial(concentration, heat[:, None]),
            lambda: torch.tensor(np.array(sparseness(**data))),
            PEERS[0],
            1e-4,
            **many,
        ),
    ]


if __name__ == "__main__":
    sys.exit(bench.run(contests, sys.argv[1:]))
