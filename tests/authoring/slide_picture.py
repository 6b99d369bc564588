"""`python -m tests.authoring.slide_picture PICTURE`: slide D1-08 with the CLIP of its demo.

The photograph is not ours to ship: whoever has it stores the map beside the lessons' pictures.
"""

import sys

from helpers.clip import maps
from helpers.clip.model import Clip
from helpers.datasets import photos
from helpers.ground import ROOT
from helpers.ground.runtime import setup
from helpers.lesson import plots

QUESTION = "Who developed the Theory of General Relativity?"
FILE = ROOT / "notebooks" / "pictures" / "slide_d1_08.png"


def openai() -> Clip:
    """ViT-B/16 with OpenAI's weights, from the hub."""
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(
        "ViT-B-16", pretrained="openai", force_quick_gelu=True
    )
    return Clip(model.eval(), preprocess, open_clip.get_tokenizer("ViT-B-16"))


def store(picture, clip: Clip, question: str = QUESTION, file=FILE, crops: int = 400) -> None:
    """The picture, and the question's map over it by the deck's algorithm, as one file."""
    image = photos.open_picture(picture)
    asked = maps.encode_queries(clip.model, clip.tokenizer, [question])
    S = maps.crop_map(clip.model, maps.scaled(clip.model, image), asked, crops=crops)
    bar = ("against", "0", "for")
    panels = {"the picture": image, question: S[0]}
    plots.maps(panels, over=image, bar=bar, caption="").savefig(file, bbox_inches="tight")


if __name__ == "__main__":
    device = setup().device
    clip = openai()
    store(sys.argv[1], clip._replace(model=clip.model.to(device)))
