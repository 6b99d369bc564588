"""Dictionaries: sparse autoencoders on the neurons of a one-layer transformer, and what their features mean."""

from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import export_saelens, load, load_examples, load_tables, load_trials

__all__ = [
    "Dictionary",
    "Settings",
    "SparseAutoencoder",
    "export_saelens",
    "load",
    "load_examples",
    "load_tables",
    "load_trials",
]
