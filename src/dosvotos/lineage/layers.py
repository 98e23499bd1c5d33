"""Which layer each link of a verified chain belongs to, for a reader who goes from the data to the vote."""

from collections.abc import Iterable
from typing import Final

from dosvotos.contracts.records import ChainRecord, LinkRecord

LAYERS: Final = ("L0", "L1", "L2", "L3", "L4")
_BY_FIELD: Final = {
    "acquisition_hash": "L0",
    "feature_order_hash": "L1",
    "dataset_hash": "L2",
    "test_dataset_hash": "L2",
    "norm_stats_hash": "L2",
    "config_hash": "L3",
    "reward_config_hash": "L3",
    "model_hash": "L3",
    "manifest_hash": "L3",
}
_BY_RECORD: Final = {"dataset record": "L2", "training record": "L3"}
"""Of links that compare a whole record; all others are about the backtest and the vote."""


def layer_of(link: LinkRecord) -> str:
    """Give the layer that made what a link compares."""
    return _BY_FIELD.get(link.field) or _BY_RECORD.get(link.record, "L4")


def links_by_layer(links: Iterable[LinkRecord]) -> dict[str, tuple[LinkRecord, ...]]:
    """Group links by layer, in the layers' order; a layer without a link is there too."""
    known = tuple(links)
    return {layer: tuple(link for link in known if layer_of(link) == layer) for layer in LAYERS}


def unbroken_layers(chain: ChainRecord) -> dict[str, bool]:
    """Tell of each layer whether something of it was compared and all of it holds."""
    groups = links_by_layer(chain.links)
    return {layer: bool(links) and all(link.holds for link in links) for layer, links in groups.items()}
