"""The capstones' worked examples run as they stand, and come out as they say."""

import runpy

from helpers.ground import ROOT

FOLDER = ROOT / "notebooks" / "teaching"


def test_a_claim_replicated_on_a_network_of_ones_own(capsys):
    space = runpy.run_path(str(FOLDER / "replicate.py"))
    assert min(space["right"]) > 0.85  # the network has learned something to explain
    assert space["holds"]
    assert capsys.readouterr().out.endswith("The bound holds.\n")


def test_a_sentence_of_the_first_edition_refuted(capsys):
    space = runpy.run_path(str(FOLDER / "refute.py"))
    assert min(space["reader"]) > 0.8  # the bound, set before the run
    assert max(space["controls"]) < 0.75  # what cannot read does not order digits
    assert "Refuted" in capsys.readouterr().out
