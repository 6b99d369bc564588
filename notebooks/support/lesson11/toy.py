"""A toy world for dictionaries in which every true feature is known.

Two sorts of true features lie in N dimensions. **Clusters**: four features with similar
directions, of which one at a time is present. **Arcs**: one feature of two dimensions; whenever it
is present, its direction is drawn from an arc. More directions for a cluster can mean that its
members are found; more directions for an arc are one feature in pieces. So splitting can be told
from discovery.
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
    device: torch.device | str = "cpu"  # where samples are put; they are drawn on the CPU

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Members (clusters, members, N); each arc's middle and where it bends to, (arcs, N)."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            drawn = torch.randn(*shape, self.dimensions, generator=generator)
            return F.normalize(drawn.to(self.device), dim=-1)

        def beside(d: Tensor, middle: Tensor) -> Tensor:
            return F.normalize(d - (d * middle).sum(-1, keepdim=True) * middle, dim=-1)

        centre, own = draw(self.clusters, 1), draw(self.clusters, self.members)
        middle, bend = draw(self.arcs), draw(self.arcs)
        members = self.cosine**0.5 * centre + (1 - self.cosine) ** 0.5 * beside(own, centre)
        return members, middle, beside(bend, middle)

    def draw(self, samples: int, seed: int) -> tuple[Tensor, Tensor]:
        """Activations (B, N), and how strong each true feature is in them, members first.

        The latter: (B, clusters · members + arcs).
        """
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + seed)
        groups = self.clusters + self.arcs
        strength = 0.5 + torch.rand(samples, groups, generator=generator)
        strength = strength * (torch.rand(samples, groups, generator=generator) < self.present)
        which = torch.randint(self.members, (samples, self.clusters, 1), generator=generator)
        angle = self.angle * (2 * torch.rand(samples, self.arcs, generator=generator) - 1)
        strength, which, angle = (v.to(self.device) for v in (strength, which, angle))
        of_clusters, arcs = strength.split([self.clusters, self.arcs], dim=1)
        members = of_clusters.new_zeros(samples, self.clusters, self.members)
        members = members.scatter(2, which, of_clusters[..., None])
        directions, middle, bend = self.directions()
        x = torch.einsum("bcm,cmn->bn", members, directions)
        x = x + (arcs * angle.cos()) @ middle + (arcs * angle.sin()) @ bend
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
    owner: Tensor  # (M,) the true feature that each follows most closely; −1: it hardly fires
    correlation: Tensor  # (M,) with that true feature


@torch.no_grad()
def found(sae: SparseAutoencoder, world: World, samples: int = 20_000) -> Found:
    """Match a dictionary's features with the true ones, by correlation on fresh samples."""
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
    closeness: float  # mean similarity of the parent and its children: seen without the truth


def families(narrow: Found, wide: Found) -> list[Family]:
    """The splitting graph between two dictionaries, with the truth written on it."""
    sparse = [scipy.sparse.csc_matrix(found.acts.cpu().numpy()) for found in (narrow, wide)]
    tree = forest(edges(*sparse), alive=wide.owner >= 0)
    groups = []
    for parent in tree.parent.unique().tolist():
        mine = tree.parent == parent
        children = wide.owner[tree.child[mine].long().to(wide.owner.device)].tolist()
        if len(children) > 1:
            closeness = float(tree.similarity[mine].mean())
            groups.append(Family(int(narrow.owner[parent]), children, closeness))
    return groups


def share_split(groups: list[Family]) -> float:
    """The share of families whose children follow one true feature: splitting, no discovery."""
    return sum(len(set(group.children)) == 1 for group in groups) / max(len(groups), 1)
