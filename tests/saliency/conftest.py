"""Small random networks in float64, of the kinds the methods have to cope with."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """(B, 3, H, W) -> (B, 5), with what trips up saliency code; `last` is its last feature map."""

    def __init__(self, *, norm=False, stride=1, residual=False, inplace=False, relu=nn.ReLU):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=stride, padding=1)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.relu1 = relu(inplace=inplace)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.relu2 = relu(inplace=inplace)
        self.last = nn.Conv2d(6, 8, 3, stride=stride)
        self.relu3 = relu(inplace=inplace)
        self.head = nn.Linear(8, 5)
        self.residual = residual

    def forward(self, x):
        a = self.relu1(self.norm(self.first(x)))
        b = self.relu2(self.second(a.clone() if self.residual else a) + (a if self.residual else 0))
        return self.head(self.relu3(self.last(b)).mean(dim=(2, 3)))


KINDS = {
    "plain": {},
    "batch norm": {"norm": True},
    "strided": {"stride": 2},
    "residual": {"residual": True, "norm": True},
    "in-place": {"inplace": True, "norm": True},
    "in-place residual": {"inplace": True, "residual": True},
    "relu6": {"relu": nn.ReLU6, "norm": True},
}


def make_net(kind: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = Net(**KINDS[kind]).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return net.eval()


@pytest.fixture(params=KINDS)
def net(request):
    return make_net(request.param)


@pytest.fixture(params=[(16, 16), (17, 13)], ids=["even", "odd"])
def x(request):
    """Three pictures whose values span exactly 0 to 1."""
    pictures = torch.rand(
        3, 3, *request.param, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = 0, 1
    return pictures


class Smooth(nn.Module):
    """A smooth random network: softplus in place of ReLU."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.a, self.b, self.head = (
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.Linear(8, 4),
        )

    def forward(self, x):
        return self.head(F.softplus(self.b(F.softplus(self.a(x)))).mean(dim=(2, 3)))
