"""How the functions of helpers.saliency are called on a device."""

import torch
from torch import nn

from helpers.saliency import (
    attention_maps,
    cam,
    core,
    gradients,
    guided,
    metrics,
    perturbation,
    sanity,
    shapley,
)
from tests.gpu.calls import Call


def network(device) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = [
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(576, 3),
        ]
        return nn.Sequential(*layers).to(device)


class Seeing(nn.Module):
    """Nine patches, one attention, a norm, three classes."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.curve, self.head = nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        read = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(self.curve(self.norm(tokens + read))[:, 0])


def seeing(device):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Seeing().eval().to(device)


def opened(device, inside=attention_maps.attention_in_graph):
    net = seeing(device)
    with inside(net) as A:
        score = net(x(device))
    return A or score


def attended(device):
    keep, layer = [], seeing(device).attention
    return [attention_maps.attend(layer, keep, draw(device, 2, 5, 8))[0], *keep]


def weights(device, seed=1):
    return [draw(device, 2, 3, 5, 5, seed=seed + i).softmax(-1) for i in range(2)]


def draw(device, *shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def x(device):
    return draw(device, 2, 1, 12, 12)


def maps(device):
    return draw(device, 2, 1, 12, 12, seed=2)


def heat(device):
    return maps(device).abs().sum(1)


def boxes(device):
    return torch.tensor([[2, 2, 7, 7], [0, 3, 12, 9]], device=device)


def polynomial(points):
    return (points**3).sum(-1) + points.prod(-1)


def points(device):
    return draw(device, 5, 3)


def shuffled(device):
    with sanity.randomised(network(device), ["3"]) as net:
        return {name: value.clone() for name, value in net.state_dict().items()}


def one_random(device):
    net = network(device)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        sanity.randomise(net, "3", sanity.reset)
    return net


def collected(device):
    net = network(device)
    with cam.output_of(net[1]) as outputs:
        net(x(device))
    return outputs


def guided_gradient(device):
    net = network(device)
    with guided.GuidedReLU():
        return gradients.gradient(net, x(device), 1)


def frozen(device):
    net = network(device)
    with core.frozen_eval(net):
        return net(x(device))


# Waits: `check` and `ranks` look whether all is finite; similarities are computed by SciPy.
CALLS = {
    attention_maps.attend: Call(attended),
    attention_maps.attention_in_graph: Call(lambda d: opened(d), waits=1),
    attention_maps.attn_lrp: Call(
        lambda d: attention_maps.attn_lrp(seeing(d), x(d), 1), waits=3, close=1e-3
    ),
    attention_maps.halved: Call(lambda d: attention_maps.halved(x(d))),
    attention_maps.lrp_rules: Call(lambda d: opened(d, attention_maps.lrp_rules), waits=1),
    attention_maps.normalise: Call(
        lambda d: attention_maps.normalise(seeing(d).norm, draw(d, 2, 8))
    ),
    attention_maps.on_patches: Call(
        lambda d: attention_maps.on_patches(seeing(d), draw(d, 2, 9), x(d))
    ),
    attention_maps.pass_on: Call(lambda d: attention_maps.pass_on(nn.GELU(), x(d))),
    attention_maps.relevance: Call(
        lambda d: attention_maps.relevance(seeing(d), x(d), 1), waits=4, close=1e-3
    ),
    attention_maps.roll: Call(lambda d: attention_maps.roll(weights(d))),
    attention_maps.roll_weighted: Call(
        lambda d: attention_maps.roll_weighted(weights(d), weights(d, 5))
    ),
    attention_maps.rollout: Call(
        lambda d: attention_maps.rollout(seeing(d), x(d), 1), waits=4, close=1e-3
    ),
    cam.as_maps: Call(lambda d: cam.as_maps(draw(d, 2, 10, 4), x(d), (3, 3))),
    cam.grad_cam: Call(lambda d: cam.grad_cam(network(d), x(d), 1, layer="1"), waits=2),
    cam.output_of: Call(collected),
    core.as_baseline: Call(lambda d: core.as_baseline(0.5, x(d))),
    core.as_tensor: Call(lambda d: core.as_tensor(x(d).half(), 4)),
    core.each_ones: Call(lambda d: core.each_ones(maps(d), x(d)[:, 0, 0, 0], x(d))),
    core.check: Call(
        lambda d: core.check(network(d), x(d), torch.tensor([1, 2], device=d))[0],
        waits=2,
    ),
    core.class_score: Call(lambda d: core.class_score(network(d), x(d), torch.tensor([1, 2]))),
    core.derivatives: Call(
        lambda d: core.derivatives((at := x(d).requires_grad_()).square().sum((1, 2, 3)), [at])
    ),
    core.derivative: Call(
        lambda d: core.derivative((at := x(d).requires_grad_()).square().sum((1, 2, 3)), at)
    ),
    core.finite: Call(lambda d: core.finite(x(d)), waits=1),
    core.for_copies: Call(
        lambda d, steps: core.for_copies(
            core.forward_scores,
            network(d),
            x(d).expand(steps, 2, 1, 12, 12),
            torch.tensor([1, 2]),
        )
    ),
    core.forward_scores: Call(
        lambda d: core.forward_scores(network(d), x(d), torch.tensor([1, 2]))
    ),
    core.frozen_eval: Call(frozen),
    core.in_batches: Call(
        lambda d: core.in_batches(lambda x, c: x.sum((1, 2, 3)), x(d), torch.tensor([1, 2]))
    ),
    core.scores: Call(lambda d: core.scores(network(d), x(d), 1, softmax=True), waits=2),
    gradients.completeness_error: Call(
        lambda d: gradients.completeness_error(network(d), x(d), 1, maps(d)), waits=2
    ),
    gradients.gradient: Call(lambda d: gradients.gradient(network(d), x(d), [1, 2]), waits=2),
    gradients.gradient_x_input: Call(
        lambda d: gradients.gradient_x_input(network(d), x(d), 1), waits=3
    ),
    gradients.ig_smoothgrad: Call(
        lambda d, steps: gradients.ig_smoothgrad(network(d), x(d), 1, samples=2, steps=steps),
        waits=3,
    ),
    gradients.input_gradient: Call(
        lambda d: gradients.input_gradient(network(d), x(d), torch.tensor([1, 2]))
    ),
    gradients.integrated_gradients: Call(
        lambda d, steps: gradients.integrated_gradients(network(d), x(d), 1, steps=steps),
        waits=2,
    ),
    gradients.smoothgrad: Call(
        lambda d, steps: gradients.smoothgrad(network(d), x(d), 1, samples=steps),
        waits=3,
    ),
    guided.GuidedReLU: Call(guided_gradient, waits=2),
    guided.guided_backprop: Call(lambda d: guided.guided_backprop(network(d), x(d), 1), waits=2),
    metrics.area: Call(lambda d: metrics.area(draw(d, 2, 5))),
    metrics.concentration: Call(lambda d: metrics.concentration(maps(d))),
    metrics.deletion: Call(
        lambda d, steps: metrics.deletion(network(d), x(d), 1, heat(d), steps=steps),
        waits=3,
    ),
    metrics.energy_in_box: Call(lambda d: metrics.energy_in_box(heat(d), boxes("cpu"))),
    metrics.in_boxes: Call(lambda d: metrics.in_boxes(boxes("cpu"), heat(d))),
    metrics.infidelity: Call(
        lambda d, steps: metrics.infidelity(network(d), x(d), 1, maps(d), samples=steps),
        waits=2,
    ),
    metrics.insertion: Call(
        lambda d, steps: metrics.insertion(network(d), x(d), 1, heat(d), steps=steps),
        waits=3,
    ),
    metrics.magnitude: Call(lambda d: metrics.magnitude(maps(d))),
    core.noises: Call(lambda d, steps: core.noises(x(d), steps, 0, uniform=True)),
    metrics.perturbation_curve: Call(
        lambda d, steps: metrics.perturbation_curve(
            network(d), x(d), maps(d), torch.tensor([1, 2]), heat(d), steps=steps
        ),
        waits=2,
    ),
    metrics.places: Call(lambda d: metrics.places(heat(d), x(d)), waits=1),
    metrics.pointing_game: Call(lambda d: metrics.pointing_game(heat(d), boxes("cpu"))),
    metrics.sensitivity_max: Call(
        lambda d: metrics.sensitivity_max(gradients.gradient, network(d), x(d), 1, samples=3),
        waits=9,
    ),
    metrics.total_variation: Call(lambda d: metrics.total_variation(maps(d), block=2)),
    perturbation.occlusion: Call(
        lambda d: perturbation.occlusion(network(d), x(d), 1, window=4, stride=4),
        waits=2,
    ),
    perturbation.rise: Call(
        lambda d, steps: perturbation.rise(network(d), x(d), 1, masks=8 * steps, cells=3),
        waits=2,
    ),
    perturbation.soft_masks: Call(
        lambda d: perturbation.soft_masks(draw(d, 4, 1, 3, 3), draw(d, 4, 2).sigmoid(), (12, 12))
    ),
    sanity.cascade: Call(
        lambda d: sanity.cascade(network(d), ["3", "0"], gradients.gradient, x(d), 1),
        waits=12,
    ),
    sanity.each: Call(lambda d: sanity.each(lambda p: p.mean(), maps(d)), waits=1),
    sanity.edges: Call(lambda d: sanity.edges(x(d), maps(d)), waits=2),
    sanity.randomise: Call(one_random, waits=2),
    sanity.randomised: Call(shuffled, waits=2),
    sanity.rank_correlation: Call(lambda d: sanity.rank_correlation(x(d), maps(d))),
    sanity.signed_correlation: Call(lambda d: sanity.signed_correlation(x(d), maps(d))),
    sanity.structural: Call(lambda d: sanity.structural(x(d), maps(d)), waits=2),
    sanity.two: Call(lambda d: sanity.two(x(d), maps(d), metrics.magnitude)),
    shapley.shapley: Call(
        lambda d: shapley.shapley(polynomial, points(d), torch.zeros_like(points(d)))
    ),
}
LEFT_OUT = {
    "no tensor is computed": [
        attention_maps.attention_layers,
        attention_maps.is_timms,
        attention_maps.compared,
        attention_maps.refuse_other_readers,
        attention_maps.swapped,
        cam.find_layer,
        cam.misfit,
        cam.patch_grid,
        cam.patch_sides,
        cam.refuse_no_places,
        core.chunk_size,
        core.copies_at_once,
        core.groups,
        core.refuse_unfit,
        guided.is_relu,
        guided.refuse_scripted,
        sanity.as_list,
        sanity.bits,
        sanity.layers_of,
        sanity.numbers_of,
    ],
    "made on the CPU; the caller moves it": [
        perturbation.windows,
        shapley.shapley_weights,
    ],
    "called on the CPU by randomise": [
        sanity.reset,
        sanity.settle,
    ],
    "what rollout and relevance share": [attention_maps.followed],
}
