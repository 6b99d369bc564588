"""Training a dictionary (512 → 4,096, batch 4,096) beside the `dictionary-learning` package: activations a second, in turns.

The peer lives in an environment of its own (.cache/bench-sae), which this script makes at the first run; it sees the
course's packages, so that both use the same torch. The losses differ (theirs takes norms where ours takes squares), so that the
comparison of outputs is of reconstructions by the same weights; the work of a step is the same: forward, backward,
gradient projection, Adam, columns back to length 1.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from helpers.course import bench
from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import Training, encode_together, train

PEER, HOME = "dictionary-learning==0.1.0", ROOT / ".cache" / "bench-sae"
NEURONS, FEATURES, BATCH, STEPS = 512, 4096, 4096, 3


def in_own_environment() -> bool:
    """True inside the peer's environment; otherwise makes it and runs this script there."""
    return Path(sys.prefix).resolve() == HOME.resolve()


def make_environment() -> Path:
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (HOME / "ready").exists():
        venv.create(HOME, with_pip=True, clear=True)
        packages = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                                  capture_output=True, text=True, check=True).stdout.strip()
        here = [path for path in sys.path if path.endswith("site-packages")]
        (Path(packages) / "course.pth").write_text("\n".join(here) + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        (HOME / "ready").touch()
    return python


class Same:
    """The same batch again and again, in the interface of `Activations`: only the training is timed."""

    def __init__(self, x: torch.Tensor):
        self.x = x

    def batches(self, size: int, *, start: int = 0):
        while True:
            yield self.x

    def sample(self, size: int, *, seed: int):
        return self.x


def contests() -> list[bench.Contest]:
    from dictionary_learning.dictionary import AutoEncoder
    from dictionary_learning.trainers.standard import StandardTrainer
    x = torch.relu(torch.randn(BATCH, NEURONS, generator=torch.Generator().manual_seed(0)))
    ours = SparseAutoencoder(Settings(neurons=NEURONS, features=FEATURES, resample=False))
    theirs = AutoEncoder(NEURONS, FEATURES)
    theirs.load_state_dict({"bias": ours.b_d.detach(), "encoder.weight": ours.W_e.detach(), "encoder.bias": ours.b_e.detach(),
                            "decoder.weight": ours.W_d.detach()}, strict=False)
    found = [bench.Contest("reconstruction, 4,096 × 512", lambda: ours.decode(encode_together([ours], x)[0]).detach(),
                           lambda: theirs(x).detach(), PEER, 1e-3, items=BATCH, unit="activation")]
    for bfloat16 in (False, True):
        trainer = StandardTrainer(activation_dim=NEURONS, dict_size=FEATURES, lr=1e-3, warmup_steps=1, device="cpu", layer=0, lm_name="none")

        def steps(training=Training(tokens=STEPS * BATCH, batch=BATCH, bfloat16=bfloat16, resample_at=())):
            train([SparseAutoencoder(Settings(neurons=NEURONS, features=FEATURES, resample=False))], Same(x), training)
            return 0.0

        def peer_steps(trainer=trainer, bfloat16=bfloat16):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                for step in range(1, STEPS + 1):
                    trainer.update(step, x)
            return 0.0

        found.append(bench.Contest(f"{STEPS} training steps, {'bfloat16' if bfloat16 else 'float32'}", steps, peer_steps, PEER,
                                   float("inf"), apart="other losses; ours includes making the dictionary and its start",
                                   items=STEPS * BATCH, unit="activation"))
    return found


if __name__ == "__main__":
    if not in_own_environment():
        sys.exit(subprocess.run([make_environment(), __file__, *sys.argv[1:]]).returncode)
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
