"""A toy world for dictionaries in which every true feature is known, so that splitting can be told from discovery.

Two sorts of true features lie in N dimensions. **Clusters**: four features with similar directions, of which one at a
time is present. **Arcs**: one feature of two dimensions; whenever it is present, its direction is drawn from an arc.
More directions for a cluster can mean that its members are found; more directions for an arc are one feature in pieces.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.sae.model import SparseAutoencoder
from helpers.sae.splitting import edges, forest


@dataclass(frozen=True)
class World:
    """What is true; dictionaries see only the activations."""

    clusters: int = 8
    members: int = 4  # in each cluster: together with the arcs 40 true features
    arcs: int = 8
    dimensions: int = 32
    cosine: float = 0.7  # between two members of a cluster
    angle: float = 1.2  # radians to each side that an arc reaches
    present: float = 0.04  # probability of each cluster, and of each arc, in a sample
    seed: int = 0

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Members (clusters, members, N), and each arc's middle and the direction it bends to, (arcs, N) each."""
        generator = torch.Generator().manual_seed(self.seed)
        draw = lambda *shape: F.normalize(
            torch.randn(*shape, self.dimensions, generator=generator), dim=-1
        )
        beside = lambda d, middle: F.normalize(
            d - (d * middle).sum(-1, keepdim=True) * middle, dim=-1
        )
        centre, own, middle, bend = (
            draw(self.clusters, 1),
            draw(self.clusters, self.members),
            draw(self.arcs),
            draw(self.arcs),
        )
        return (
            self.cosine**0.5 * centre + (1 - self.cosine) ** 0.5 * beside(own, centre),
            middle,
            beside(bend, middle),
        )

    def draw(self, samples: int, seed: int) -> tuple[Tensor, Tensor]:
        """Activations (B, N), and how strong each true feature is in them, members first, (B, clusters · members + arcs)."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + seed)
        groups = self.clusters + self.arcs
        strength = (0.5 + torch.rand(samples, groups, generator=generator)) * (
            torch.rand(samples, groups, generator=generator) < self.present
        )
        which = torch.randint(self.members, (samples, self.clusters, 1), generator=generator)
        members = torch.zeros(samples, self.clusters, self.members).scatter_(
            2, which, strength[:, : self.clusters, None]
        )
        arcs, angle = (
            strength[:, self.clusters :],
            self.angle * (2 * torch.rand(samples, self.arcs, generator=generator) - 1),
        )
        directions, middle, bend = self.directions()
        x = (
            torch.einsum("bcm,cmn->bn", members, directions)
            + (arcs * angle.cos()) @ middle
            + (arcs * angle.sin()) @ bend
        )
        return x * self.dimensions**0.5, torch.cat([members.flatten(1), arcs], dim=1)

    def batches(self, batch: int, *, start: int = 0) -> Iterator[Tensor]:
        """Fresh samples without end, as `train` asks for them."""
        while True:
            yield self.draw(batch, start)[0]
            start += 1

    def sample(self, count: int, *, seed: int) -> Tensor:
        """Samples for resampling."""
        return self.draw(count, 500_000 + seed)[0]


class Found(NamedTuple):
    """What a dictionary made of a world."""

    acts: Tensor  # (B, M) what its features do on samples that it has not seen
    owner: Tensor  # (M,) the true feature that each follows most closely; −1: it fires on fewer than 1 sample in 1,000
    correlation: Tensor  # (M,) with that true feature


@torch.no_grad()
def found(sae: SparseAutoencoder, world: World, samples: int = 20_000) -> Found:
    """Match a dictionary's features with the true ones, by the correlation of activations on fresh samples."""
    x, true = world.draw(samples, 999_999)
    acts = sae.encode(x)
    acts = acts * (acts > 0.05 * acts.amax(dim=0))  # the weakest firings are interference
    unit = lambda a: F.normalize(a - a.mean(dim=0), dim=0)
    best, owner = (unit(acts).T @ unit(true)).max(dim=1)
    return Found(acts, owner.where((acts > 0).float().mean(dim=0) > 1e-3, -1), best)


class Family(NamedTuple):
    """A feature of a narrow dictionary with its children in a wide one, two or more."""

    parent: int  # its true feature
    children: list[int]  # theirs
    closeness: (
        float  # mean similarity of the parent and its children: all that is seen without the truth
    )


def families(narrow: Found, wide: Found) -> list[Family]:
    """The splitting graph between two dictionaries, made from activations alone, with the truth written on it."""
    sparse = [scipy.sparse.csc_matrix(f.acts.numpy()) for f in (narrow, wide)]
    tree = forest(edges(*sparse), alive=wide.owner >= 0)
    groups = []
    for parent in tree.parent.unique().tolist():
        mine = tree.parent == parent
        groups.append(
            Family(
                int(narrow.owner[parent]),
                wide.owner[tree.child[mine].long()].tolist(),
                float(tree.similarity[mine].mean()),
            )
        )
    return [group for group in groups if len(group.children) > 1]


def share_split(groups: list[Family]) -> float:
    """The share of families in which all children follow one and the same true feature: splitting, and no discovery."""
    return sum(len(set(group.children)) == 1 for group in groups) / max(len(groups), 1)
