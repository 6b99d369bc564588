"""Saliency methods for any `nn.Module` that maps images to class scores. One signature for all:

    method(model, inputs, target, *, options...) -> Tensor

inputs: (B, C, H, W). target: the class to explain, an int for all pictures or one per picture.
Gradient methods return (B, C, H, W) with signs, Grad-CAM, occlusion and RISE (B, 1, H, W), on the
model's device, in float32 or, of a float64 model, float64. The model is left exactly as it was.
Memory: what goes through the network at once is bounded; each further picture costs at most eight
times its own size.
"""

from helpers.saliency.attention_maps import attn_lrp, relevance, rollout
from helpers.saliency.cam import grad_cam
from helpers.saliency.core import scores
from helpers.saliency.gradients import (
    completeness_error,
    gradient,
    gradient_x_input,
    ig_smoothgrad,
    integrated_gradients,
    smoothgrad,
)
from helpers.saliency.guided import guided_backprop
from helpers.saliency.perturbation import occlusion, rise

__all__ = ["completeness_error", "gradient", "gradient_x_input", "guided_backprop", "scores"]
__all__ += ["ig_smoothgrad", "integrated_gradients", "smoothgrad", "occlusion", "rise"]
__all__ += ["grad_cam", "attn_lrp", "relevance", "rollout"]
