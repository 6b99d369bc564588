# %% [markdown]
# # Worked example 1: one claim of the decks, on a network of one's own
# **Claim (D1-09, Adebayo et al. 2018).** Guided Backpropagation notices less than the
# gradient does that the last layer is random. **Network:** two convolutions of our own,
# for digits, three seeds. **Measure:** Spearman's ρ of a map before and after, without
# signs, mean of 100 test digits. **Bound:** guided above gradient in all three seeds.
# **Control:** the maps of a second training. **Reworded after a look:** at these
# numbers "hardly changes" would have said too much, so the claim was made weaker. The
# bound is therefore not blind and loses points by the rubric; new seeds judge it below.

# %%
import torch
from torch import nn

from helpers import saliency
from helpers.ground.stats import spearman
from helpers.nets import digits
from helpers.saliency import sanity


def own_network():
    """(B, 1, 20, 20) to (B, 10) scores."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5),  # (B, 12, 16, 16)
        nn.ReLU(),
        nn.AvgPool2d(2),  # (B, 12, 8, 8)
        nn.Conv2d(12, 24, 3),  # (B, 24, 6, 6)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 36, 10),
    )


def trained(seed):
    """An own network after eight passes over 1,200 digits."""
    torch.manual_seed(seed)
    model = own_network()
    data = digits.digits("train", side=20)
    return digits.fit(model, data.images, data.digit, seed, 8, lr=4e-3)


METHODS = {"gradient": saliency.gradient, "guided": saliency.guided_backprop}
test = digits.digits("test", side=20)
x, y = test.images[:100], test.digit[:100]

# %%
rho, control, right = {}, {}, []
for seed in range(3):
    model, other = trained(seed), trained(seed + 10)
    right.append(digits.accuracy(model, test.images, test.digit))
    for name, method in METHODS.items():
        before = method(model, x, y).abs()
        with sanity.randomised(model, ["6"], seed=seed):
            after = method(model, x, y).abs()
        rho[name, seed] = float(spearman(before, after).mean())
        control[name, seed] = float(spearman(before, method(other, x, y).abs()).mean())

# %%
print("seed  accuracy  gradient (control)  guided (control)")
for seed in range(3):
    cells = [f"{rho[n, seed]:8.2f} ({control[n, seed]:.2f})" for n in METHODS]
    print(f"{seed:4}  {right[seed]:8.2f}  {'  '.join(cells)}")
holds = all(rho["guided", seed] > rho["gradient", seed] for seed in range(3))
print("The bound holds." if holds else "The bound does not hold.")

# %% [markdown]
# **What came out.** The order of the claim replicates: about 0.73 against 0.51. But two
# trainings have maps more alike than that (0.82 to 0.85), so here both methods notice
# the random layer. "Hardly changes" would say more than this network shows. **Eight new
# seeds,** 20 to 27: 0.71 to 0.78 against 0.47 to 0.57, so the bound holds in 8 of 8.
