"""One hook for both transformers: give and take any site, inside a `with`, on unpatched models.

Sites, in layer i: ("attention", i) the weights (B, heads, T, T) after the softmax; ("heads", i)
what the heads read with them (B, T, heads · d), before they are mixed; ("mlp", i) what the MLP
adds (B, T, D); ("residual", i) the stream after the block (B, T, D).
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from helpers.ground.errors import CourseError, checked, same_shape

Site = tuple[str, int]
NAMES = {  # of DINOv2 (timm) and of SmolLM2 (transformers)
    "attention": ("blocks.{}.attn.attn_drop", "model.layers.{}.self_attn.attn_drop"),
    "heads": ("blocks.{}.attn.norm", "model.layers.{}.self_attn.heads"),
    "mlp": ("blocks.{}.mlp", "model.layers.{}.mlp"),
    "residual": ("blocks.{}", "model.layers.{}"),
}


@checked
@contextmanager
def hooked(model: nn.Module, edits: Mapping[Site, Callable[[Tensor], Tensor] | None]):
    """Inside, each site's value goes through its edit (None: as it is) and is kept in a dict.

    with hooked(model, {("attention", 3): None, ("mlp", 5): torch.zeros_like}) as kept:
        model(x)
    kept["attention", 3]  # what left the site last; part of the graph
    """
    kept: dict[Site, Tensor] = {}
    with ExitStack() as hooks:
        for site, edit in edits.items():
            hook = _hook(site, edit, kept)
            hooks.callback(_module(model, site).register_forward_hook(hook).remove)
        yield kept


def _hook(site: Site, edit: Callable | None, kept: dict):
    def hook(_module, _inputs, output):
        several = isinstance(output, tuple)
        value = output[0] if several else output
        kept[site] = (
            value if edit is None else same_shape(edit(value), value, f"The edit of {site}")
        )
        return (kept[site], *output[1:]) if several else kept[site]

    return hook


def _module(model: nn.Module, site: Site) -> nn.Module:
    kind, layer = site if isinstance(site, tuple) and len(site) == 2 else (None, None)
    for name in NAMES.get(kind, ()):
        try:
            return model.get_submodule(name.format(layer))
        except AttributeError:
            continue
    raise CourseError(f"This model has no site {site}: kinds are {', '.join(NAMES)}; count from 0.")
