"""Bug reports of people who do this job, tried on the course: each fault put back fails its test.

The letters are those of the kinds: B layouts, C random weights, D number types, E what is handed
over, F pictures, G typed texts, H dictionaries; S was read in the source, N found beside these.
"""

import re
import subprocess

import pytest

from helpers.ground import ROOT
from tests.authoring.mutants import run_tests

FAULTS = r"""  # the case; its test; the module: what is written there; => what the fault wrote
B maps of Swin and of ConvNeXt's norms, and pictures that are not square
saliency/test_agreement.py::test_stock_layouts_of_pictures_that_are_not_square
helpers/saliency/cam.py: return features if first else features.permute(0, 3, 1, 2)
=> return features
B a layer of Hugging Face that returns an object
test_fuzz.py::test_grad_cam_finds_any_layout_or_asks
helpers/saliency/cam.py: isinstance(output, (tuple, list, Mapping))
=> isinstance(output, (tuple, list))
B an attention that reads other tokens, followed all the same
saliency/test_others_networks.py::test_what_is_written_out_is_compared_with_what_the_layer_does
helpers/saliency/attention_maps.py: if differs and torch.stack(differs).any():
=> if False:
C weights of one byte
saliency/test_sanity.py::test_weights_of_one_byte_are_drawn_too
helpers/saliency/sanity.py: (p.float() if p.itemsize == 1 else p).normal_
=> p.normal_
C a transformer's attention and tokens stay trained
saliency/test_sanity.py::test_nothing_that_was_learned_is_left
helpers/saliency/sanity.py: if p.isnan().any() or (p.equal(trained[name]) and
=> if False and (p.equal(trained[name]) and
D RISE sums in half precision
saliency/test_behaviour.py::test_more_masks_are_no_worse_in_half_precision
helpers/saliency/perturbation.py: kept.to(x.device, core.wide(x).dtype)
=> kept.to(x)
D a picture of another number type than the model
test_fuzz.py::test_any_number_types_of_model_picture_and_map
helpers/saliency/core.py: x = x.to(weight)
=> x = x.to(weight.device)
D similarities of bfloat16 maps
test_fuzz.py::test_any_number_types_of_model_picture_and_map
helpers/saliency/core.py: maps = wide(torch.as_tensor(values).detach().to_dense())
=> maps = torch.as_tensor(values).detach().to_dense()
E floats and 16 bits in CLIP's maps are a black picture
clip/test_maps.py::test_pictures_of_any_kind_become_the_same_numbers
helpers/clip/maps.py: torch.from_numpy(as_rgb(image))
=> torch.as_tensor(image)
E a map that hangs in the graph
test_fuzz.py::test_any_number_types_of_model_picture_and_map
helpers/saliency/core.py: inputs.detach().to_dense(), tuple(inputs.shape)
=> inputs.to_dense(), tuple(inputs.shape)
E a function in place of a module
saliency/test_behaviour.py::test_bad_models
helpers/saliency/core.py: if not isinstance(model, nn.Module):
=> if model is None:
E a scripted model
saliency/test_behaviour.py::test_scripted_models_have_gradients_and_no_layers
helpers/saliency/guided.py: if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
=> if not parts:
E no masks
saliency/test_behaviour.py::test_bad_options
helpers/ground/errors.py: return whole and least <= value < inf and value > -inf
=> return True
E no crops
clip/test_maps.py::test_what_cannot_be_mapped_ends_in_a_sentence
helpers/ground/errors.py: return whole and least <= value < inf and value > -inf
=> return True
E a batch of one picture
test_fuzz.py::test_a_picture_in_any_usual_form_is_the_same_picture
helpers/datasets/photos.py: values = values[0] if values.ndim == 4 and len(values) == 1 else values
=> pass
E boxes in shares of the picture, or beyond it
test_wrong_calls.py::test_what_is_wrong_ends_in_one_sentence
helpers/ground/boxes.py: if shares or not inside.all():
=> if False:
E a switch set by a text
test_wrong_calls.py::test_what_is_wrong_ends_in_one_sentence
helpers/ground/errors.py: return kind is bool and isinstance(value, int) and value in (0, 1)
=> return True
E a text in place of a list of texts
test_wrong_calls.py::test_what_is_wrong_ends_in_one_sentence
helpers/ground/errors.py: isinstance(value, Iterable) and not isinstance(value, (str, bytes))
=> isinstance(value, Iterable)
F colours that are multiplied by their opacity
test_wrong_calls.py::test_what_is_unusual_is_what_it_says
helpers/datasets/photos.py: if picture.mode == "La"
=> if False
F damaged EXIF
datasets/test_photos.py::test_exif_rotation_is_undone_even_where_other_entries_are_damaged
helpers/datasets/photos.py: with suppress(Exception):
=> with suppress(ValueError):
F HEIC is no picture
datasets/test_photos.py::test_what_cannot_be_read_gets_one_sentence
helpers/datasets/photos.py: if box == b"ftyp" and brand in HEIC:
=> if not content:
F a path in quotes
datasets/test_photos.py::test_a_pasted_path_is_found
helpers/datasets/photos.py: .strip(AROUND).removeprefix("& ").strip(AROUND)
=> .strip()
F a path of 5,000 letters
datasets/test_photos.py::test_a_path_that_leads_nowhere_gets_one_short_sentence
helpers/datasets/photos.py: except (OSError, ValueError, RuntimeError) as error:  # too long
=> except ValueError as error:  # too long
G curly apostrophes
attention/test_data.py::test_curly_apostrophes_change_no_verdict
helpers/datasets/reviews.py: [\u2018\u2019\u201b\u02bc\u2032`]
=> [`]
G a typed text that is split at blanks
test_wrong_calls.py::test_what_is_unusual_is_what_it_says
helpers/attention/model.py: else reviews.typed_words(words)
=> else words.split()
G another script is an empty text
attention/test_data.py::test_a_review_that_cannot_be_read_ends_in_a_sentence
helpers/datasets/reviews.py: [\p{L}\p{M}\p{N}']+
=> [a-z0-9']+
G a query set as a formula
support/test_lesson02.py::test_any_query_can_be_a_title
helpers/lesson/plots/core.py: .replace("$", r"\$")
=> .strip()
G a name set as a formula in a chart
lesson/test_plots.py::test_names_in_any_figure_are_drawn_as_they_are
helpers/lesson/plots/charts.py: {"title": printable(title)} | scales
=> {"title": title} | scales
G a query in boxes
support/test_lesson02.py::test_any_query_can_be_a_title
helpers/lesson/plots/core.py: letter if drawn else f" U+{ord(letter):04X} "
=> letter
H JumpReLU, gated and scaled dictionaries load as ReLU
support/test_toy.py::test_a_dictionary_of_another_kind_is_refused
notebooks/support/lesson11/hub.py: if missing or unknown:
=> if False:
H TopK loads as ReLU
support/test_toy.py::test_a_dictionary_whose_configuration_says_more_is_refused
notebooks/support/lesson11/hub.py: if v not in CONFIG.get(k, (v,))]
=> if v not in (v,)]
H row numbers too large for their type
recipes/test_sae.py::test_numbers_of_features_beyond_16_bits_come_back
data/recipes/sae.py: or int(numbers.max()) < 2**15
=> or True
H nan in a training
sae/test_train.py::test_what_is_no_number_ends_in_a_sentence
helpers/transformer/train.py: still_numbers(self.weights, f"{steps} steps")
=> pass
S products of weak firings differ in their places
sae/test_splitting.py::test_weak_firings_have_edges_too
helpers/sae/splitting.py: narrow = csc_matrix(narrow, dtype=np.float64)
=> narrow = csc_matrix(narrow)
S a baseline that is a list
saliency/test_behaviour.py::test_bad_options
helpers/saliency/core.py: if isinstance(baseline, Tensor) else repr(baseline)
=> if baseline else ""
S nan ranks first
saliency/test_metrics.py::test_nan_has_no_place_in_an_order
helpers/saliency/metrics.py: if missing := int(heat.isnan().sum()):
=> if missing := 0:
S too long by its last letter
clip/test_maps.py::test_a_query_may_fill_the_model_to_its_last_token
helpers/clip/maps.py: if (beyond != beyond[-1]).any():
=> if tokens[queries.index(query)].equal(tokenizer([query[:-1]])[0]):
N an answer whose time is no number is lost
test_wrong_calls.py::test_what_is_unusual_is_what_it_says
helpers/lesson/answers.py: timed = seconds is not None and 0 <= seconds < math.inf
=> timed = seconds is not None
N rollout and relevance of the first patch where there is no class token
saliency/test_others_networks.py::test_what_is_written_out_is_compared_with_what_the_layer_does
helpers/saliency/attention_maps.py: if (others.isfinite() & (others != 0)).any():
=> if False:
N a standardised picture is a black one
datasets/test_photos.py::test_what_is_no_picture_is_refused_in_a_sentence
helpers/datasets/photos.py: not np.isfinite(high) or standardised:
=> not np.isfinite(high):
N attention weights, as many as a square picture's places
saliency/test_others_networks.py::test_attention_weights_are_no_places
helpers/saliency/cam.py: if (rows - 1).abs().max() < 0.02:
=> if False:
N tokens of Hiera, which stand in another order
saliency/test_others_networks.py::test_tokens_out_of_order_are_no_places
helpers/saliency/cam.py: if features.ndim == 3 and any(
=> if features.ndim == 9 and any(
N an initialiser that brings the trained weights back
saliency/test_sanity.py::test_an_initialiser_that_brings_trained_weights_back
helpers/saliency/sanity.py: or (p.equal(trained[name]) and bits(p).unique().numel() > 2):
=> or False:
N buffers that no state_dict holds stay reset
saliency/test_sanity.py::test_what_a_state_dict_leaves_out_comes_back_too
helpers/saliency/sanity.py: chain(model.named_parameters(), model.named_buffers())
=> chain(model.named_parameters(), [])
N a correlation of many pixels in half precision
ground/test_stats.py::test_a_correlation_of_many_pixels_of_any_number_type
helpers/ground/stats.py: (wide(values).flatten(1) for values in (a, b))
=> (values.flatten(1) for values in (a, b))
N nan met by resampling, before the next save
sae/test_train.py::test_resampling_meets_what_is_no_number_before_the_next_save
helpers/sae/train.py: if not odds.isfinite().all():
=> if False:
N pictures from inference mode in attention maps
saliency/test_others_networks.py::test_number_types_and_pictures_from_inference_mode
helpers/saliency/attention_maps.py: core.class_score(model, x.clone().requires_grad_(), target)
=> core.class_score(model, x.requires_grad_(), target)
N divergences in half precision
attention/test_faithfulness.py::test_number_types
helpers/attention/faithfulness.py: p, q = wide(p), wide(q)
=> pass
N a map of the red channel alone
clip/test_maps.py::test_signed_maps_of_the_colours_are_added_up
helpers/clip/maps.py: return put_back(maps.sum(dim=1), image)
=> return put_back(maps[:, 0], image)
"""
CASES = {
    case: (test, *re.fullmatch(r"(\S+): (.+)", place).groups(), faulty.removeprefix("=> "))
    for case, test, place, faulty in zip(*[iter(FAULTS.splitlines()[1:])] * 4, strict=True)
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_place_and_its_test(case):
    test, module, sound, _ = CASES[case]
    assert (ROOT / module).read_text("utf-8").count(sound) == 1
    file, name = test.split("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text("utf-8"), re.M)


@pytest.mark.long
def test_each_fault_fails_its_test(tmp_path):
    archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=archive, check=True)
    passed = []
    for case, (test, module, sound, faulty) in CASES.items():
        text = (tmp_path / module).read_text("utf-8")
        (tmp_path / module).write_text(text.replace(sound, faulty), "utf-8")
        ended, seconds = run_tests(tmp_path, (f"tests/{test}",), 300)
        (tmp_path / module).write_text(text, "utf-8")
        print(f"{case}: {ended or 'passed'}, {seconds:.0f} s", flush=True)
        passed += [case] if ended != "pytest ended with 1" else []
    assert not passed
