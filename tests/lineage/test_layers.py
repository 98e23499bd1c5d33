"""A broken link marks its own layer and no other."""

import pytest

from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.lineage.chain import _LINKED
from dosvotos.lineage.layers import LAYERS, layer_of, links_by_layer, unbroken_layers


def link(record: str, field: str, recomputed: str = "a") -> LinkRecord:
    return LinkRecord(record=record, field=field, recorded="a", recomputed=recomputed, source="test")


WHOLE = [link("dataset record", field) for field in _LINKED] + [
    link(record, "content")
    for record in ("dataset record", "training record", "comparison report", "proposal")
]
EXPECTED = {
    "acquisition_hash": "L0", "feature_order_hash": "L1", "test_dataset_hash": "L2", "norm_stats_hash": "L2",
    "model_hash": "L3", "config_hash": "L3", "backtest_hash": "L4", "recommendation": "L4",
}  # fmt: skip


@pytest.mark.parametrize(("field", "layer"), EXPECTED.items())
def test_a_broken_link_marks_its_layer_alone(field: str, layer: str):
    links = [link("backtest record", field, "b") if one.field == field else one for one in WHOLE]
    assert [name for name, holds in unbroken_layers(ChainRecord(links=links)).items() if not holds] == [layer]


@pytest.mark.parametrize(
    ("record", "layer"),
    [("dataset record", "L2"), ("training record", "L3"), ("chain", "L4"), ("proposal", "L4")],
)
def test_a_record_as_a_whole_belongs_to_the_layer_that_wrote_it(record: str, layer: str):
    assert layer_of(link(record, "content")) == layer


def test_every_link_has_one_layer_and_what_was_not_compared_is_not_green():
    groups = links_by_layer(WHOLE)
    assert tuple(groups) == LAYERS and sum(map(len, groups.values())) == len(WHOLE)
    assert not any(unbroken_layers(ChainRecord(links=())).values())
