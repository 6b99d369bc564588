"""A toy world for dictionaries in which every true feature is known.

Three sorts of true features lie in N dimensions. **Clusters**: four features with similar
directions, of which one at a time is present. **Arcs**: one feature of two dimensions; whenever it
is present, its direction is drawn from an arc. **Pairs**: two features at a right angle, of which
the second, the child, is present only where the first, the parent, is. More directions for a
cluster can mean that its members are found; more for an arc are one feature in pieces; for a pair
the parent's direction may fall silent where the child fires: absorption (Chanin et al. 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.sae.model import SparseAutoencoder
from helpers.sae.splitting import edges, living


@dataclass(frozen=True)
class World:
    """What is true; dictionaries see only the activations."""

    clusters: int = 8
    members: int = 4  # in each cluster
    arcs: int = 8
    pairs: int = 4  # with the members and the arcs 48 true features
    nested: bool = True  # False: the control, where children come as often without their parent
    dimensions: int = 32
    cosine: float = 0.7  # between two members of a cluster
    angle: float = 1.2  # radians to each side that an arc reaches
    present: float = 0.04  # probability of each cluster, arc and parent in a sample
    share: float = 0.4  # of its parent's samples in which a child is present
    seed: int = 0
    device: torch.device | str = "cpu"  # where samples are put; they are drawn on the CPU

    @cache  # noqa: B019 (asked for at each step)
    def directions(self) -> dict[str, Tensor]:
        """Unit vectors: "members" (clusters, members, N); an arc's "middle" and where it bends to,
        "bend" (arcs, N); "parents" and "children" (pairs, N)."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            drawn = torch.randn(*shape, self.dimensions, generator=generator)
            return F.normalize(drawn.to(self.device), dim=-1)

        def beside(d: Tensor, other: Tensor) -> Tensor:
            return F.normalize(d - (d * other).sum(-1, keepdim=True) * other, dim=-1)

        centre, own = draw(self.clusters, 1), draw(self.clusters, self.members)
        middle, bend = draw(self.arcs), draw(self.arcs)
        parents, children = draw(self.pairs), draw(self.pairs)
        members = self.cosine**0.5 * centre + (1 - self.cosine) ** 0.5 * beside(own, centre)
        found = {"members": members, "middle": middle, "bend": beside(bend, middle)}
        return found | {"parents": parents, "children": beside(children, parents)}

    def draw(self, samples: int, seed: int) -> tuple[Tensor, Tensor]:
        """Activations (B, N), and how strong each true feature is in them.

        The latter (B, clusters · members + arcs + 2 · pairs): members, arcs, parents, children.
        """
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + seed)
        sizes = [self.clusters, self.arcs, self.pairs, self.pairs]
        uniform = lambda *shape: torch.rand(*shape, generator=generator).to(self.device)
        strength = 0.5 + uniform(samples, sum(sizes))
        chance = uniform(samples, sum(sizes))
        which = torch.randint(self.members, (samples, self.clusters, 1), generator=generator)
        angle = self.angle * (2 * uniform(samples, self.arcs) - 1)
        on = chance[:, : -self.pairs] < self.present
        lone = 0.0 if self.nested else self.share * self.present / (1 - self.present)
        share = torch.where(on[:, -self.pairs :], self.share, lone)
        on = torch.cat([on, chance[:, -self.pairs :] < share], dim=1)
        groups, arcs, parents, children = (strength * on).split(sizes, dim=1)
        members = groups.new_zeros(samples, self.clusters, self.members)
        members = members.scatter(2, which.to(self.device), groups[..., None])
        d = self.directions()
        x = torch.einsum("bcm,cmn->bn", members, d["members"])
        x = x + (arcs * angle.cos()) @ d["middle"] + (arcs * angle.sin()) @ d["bend"]
        x = x + parents @ d["parents"] + children @ d["children"]
        true = torch.cat([members.flatten(1), arcs, parents, children], dim=1)
        return x * self.dimensions**0.5, true

    def batches(self, batch: int, *, start: int = 0) -> Iterator[Tensor]:
        """Fresh samples without end, as `train` asks for them."""
        while True:
            yield self.draw(batch, start)[0]
            start += 1

    def sample(self, count: int, *, seed: int) -> Tensor:
        """Samples for resampling."""
        return self.draw(count, 500_000 + seed)[0]


class Found(NamedTuple):
    """What a dictionary made of a world, on samples that it has not seen."""

    acts: Tensor  # (B, M) what its features do
    true: Tensor  # (B, K) how strong each true feature is
    owner: Tensor  # (M,) the true feature that each follows most closely; −1: it hardly fires
    follows: Tensor  # (M,) how closely: the correlation
    covers: Tensor  # (M,) on which share of the owner's samples each fires


@torch.no_grad()
def found(sae: SparseAutoencoder, world: World, samples: int = 20_000) -> Found:
    """Match a dictionary's features with the true ones, by correlation on fresh samples."""
    x, true = world.draw(samples, 999_999)
    acts = sae.encode(x)
    acts = acts * (acts > 0.05 * acts.amax(dim=0))  # the weakest firings are interference
    unit = lambda a: F.normalize(a - a.mean(dim=0), dim=0)
    follows, owner = (unit(acts).T @ unit(true)).max(dim=1)
    present = true[:, owner] > 0
    covers = ((acts > 0) & present).sum(dim=0) / present.sum(dim=0)
    owner = owner.where((acts > 0).float().mean(dim=0) > 1e-3, -1)
    return Found(acts, true, owner, follows, covers)


class Family(NamedTuple):
    """A feature of a narrow dictionary with its children in a wide one, two or more."""

    parent: int  # its true feature
    children: list[int]  # theirs
    closeness: float  # mean similarity of the parent and its children: seen without the truth

    @property
    def splits(self) -> bool:
        """Whether all its children follow one true feature: nothing was discovered."""
        return len(set(self.children)) == 1


def families(narrow: Found, wide: Found) -> list[Family]:
    """The splitting graph with the truth on it; a child goes to the parent it resembles most."""
    sparse = [scipy.sparse.csc_matrix(found.acts.cpu().numpy()) for found in (narrow, wide)]
    graph = living(edges(*sparse), wide.owner >= 0)
    home, kids = set(), {}
    for i in graph.similarity.argsort(descending=True, stable=True).tolist():
        child, parent = int(graph.child[i]), int(graph.parent[i])
        if child not in home:
            home.add(child)
            kids.setdefault(parent, []).append((int(wide.owner[child]), graph.similarity[i]))
    return [
        Family(int(narrow.owner[p]), [o for o, _ in c], float(sum(s for _, s in c) / len(c)))
        for p, c in kids.items()
        if len(c) > 1 and narrow.owner[p] >= 0
    ]


def pairs(found: Found, world: World) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each pair (B,) each: the latent that follows the parent best where no child is, the
    parent's strength, the child's."""
    parents, children = found.true[:, -2 * world.pairs :].T.split(world.pairs)
    unit = lambda a: F.normalize(a - a.mean(dim=0), dim=0)
    cases = []
    for parent, child in zip(parents, children, strict=True):
        alone = child == 0
        best = (unit(found.acts[alone]).T @ unit(parent[alone])).argmax()
        cases.append((found.acts[:, best], parent, child))
    return cases


def first_and_more(owner: Tensor) -> tuple[int, int]:
    """How many true features have an owner (M,), and how many further directions there are."""
    used = owner[owner >= 0]
    return len(used.unique()), len(used) - len(used.unique())


def absorption(f: Tensor, parent: Tensor, child: Tensor) -> Tensor:
    """How much oftener the latent f is silent where its parent comes with the child: (B,) each."""
    silent, both, alone = f == 0, (parent > 0) & (child > 0), (parent > 0) & (child == 0)
    return silent[both].float().mean() - silent[alone].float().mean()
