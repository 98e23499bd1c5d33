"""The chain behind a proposal, layer by layer, and whether each link holds at this moment."""

from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import streamlit as st

from dosvotos.contracts.records import BacktestRecord, ChainRecord, DatasetRecord, TrainingRecord
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.formats import MISSING
from dosvotos.hashing import short
from dosvotos.lineage import vote
from dosvotos.lineage.layers import LAYERS, links_by_layer, unbroken_layers
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.proposal import ProposalLineage
from dosvotos.reports.rendering import opened_in
from dosvotos.reports.words import value_in_words
from streamlit_app import queries
from streamlit_app.page import formats, in_bogota, now, plain, translator

_HASHES: Final = {
    "L0": ("acquisition_hash",),
    "L1": ("feature_order_hash",),
    "L2": ("dataset_hash", "norm_stats_hash", "test_dataset_hash"),
    "L3": ("model_hash", "manifest_hash", "config_hash", "reward_config_hash"),
    "L4": ("backtest_hash",),
}
"""Of the proposal's lineage, by layer; the first one stands on the chain."""
_REPORTS: Final = {"L0": "data_quality.html", "L2": "dataset_report.html", "L3": "training_report.html"}


class _Records(NamedTuple):
    """What the layers recorded."""

    dataset: DatasetRecord
    training: TrainingRecord
    backtest: BacktestRecord | None
    """None of a refit."""


def show_lineage(proposal: queries.Record) -> None:
    """Show the chain from L0's sources to L5's signals; a click opens a layer, another verifies them all."""
    t = translator()
    st.header(t("review.lineage"), anchor=False)
    st.caption(t("review.lineage_hint"))
    lineage = ProposalLineage.model_validate(proposal.lineage)
    records = _records(proposal)
    key = f"verified-{proposal.id}"
    if st.button(t("lineage.verify"), icon=":material/verified:", key=f"verify-{proposal.id}"):
        with st.spinner(t("lineage.verifying")):
            st.session_state[key] = _verify(proposal)
    verified: tuple[str, ChainRecord | str] | None = st.session_state.get(key)
    chain = verified[1] if verified and isinstance(verified[1], ChainRecord) else None
    if verified:
        _verdict(*verified)
    _chain(proposal, lineage, records, chain)
    layer = st.segmented_control(t("lineage.open"), LAYERS, default="L2", key="layer", required=True)
    _layer(layer or "L2", proposal, lineage, records, chain)


def _verify(proposal: queries.Record) -> tuple[str, ChainRecord | str]:
    """Compute everything again, as an approval does; gives when, and the chain or why there is none."""
    try:
        return in_bogota(now()), vote.verify_proposal(queries.engine(), proposal).chain
    except DosVotosError as error:
        return in_bogota(now()), error.told(translator().language)


def _verdict(at: str, found: ChainRecord | str) -> None:
    t = translator()
    if isinstance(found, str):
        st.error(t("lineage.unverifiable", at=at))
        plain(found, "small", "unverifiable")
    elif found.broken:
        st.error(t("lineage.broken", at=at, count=formats().number(len(found.broken), 0)))
    else:
        st.success(t("lineage.whole", at=at, count=formats().number(len(found.links), 0)))


def _records(proposal: queries.Record) -> _Records | None:
    try:
        dossier = Dossier.of(proposal)
        return _Records(
            dossier.read(DatasetRecord), dossier.read(TrainingRecord), dossier.read_if_tested(BacktestRecord)
        )
    except LineageError:
        return None  # the page says so at its top


def _chain(
    proposal: queries.Record, lineage: ProposalLineage, records: _Records | None, chain: ChainRecord | None
) -> None:
    t = translator()
    marks = unbroken_layers(chain) if chain else {}
    for column, layer in zip(st.columns(len(LAYERS) + 1), (*LAYERS, "L5"), strict=True):
        with column, st.container(border=True, height="stretch", gap="xsmall", key=f"layer-{layer}"):
            st.markdown(f"**{t(f'lineage.{layer}')}**")
            if layer in marks:
                holds = marks[layer]
                st.badge(t("lineage.holds" if holds else "lineage.breaks"), color="green" if holds else "red")
            if layer == "L5":
                plain(_signals(proposal), "small", "lineage-L5")
            else:
                first = getattr(lineage, _HASHES[layer][0])
                plain(short(first) if first else MISSING, "hash", f"lineage-{layer}")
                plain(_size(layer, records), "small", f"lineage-{layer}")


def _signals(proposal: queries.Record) -> str:
    t = translator()
    count, last = queries.signals_of(proposal.model_id)
    return t("lineage.signals", count=formats().number(count, 0), last=in_bogota(last))


def _size(layer: str, records: _Records | None) -> str:
    """Write how many rows a layer has, and of which period."""
    t, f = translator(), formats()
    if records is None:
        return MISSING
    first = min(split.first_session for split in records.dataset.splits.values())
    last = max(split.last_session for split in records.dataset.splits.values())
    return {
        "L0": t("lineage.rows", rows=f.number(records.dataset.ohlcv_rows, 0), first=first, last=last),
        "L1": t("lineage.features"),
        "L2": t("lineage.rows", rows=f.number(records.dataset.row_count, 0), first=first, last=last),
        "L3": t("lineage.seed", seed=records.training.seed, steps=f.number(records.training.timesteps, 0)),
        "L4": value_in_words(records.backtest.test_period, t.language)
        if records.backtest
        else t("review.untested"),
    }[layer]


def _layer(
    layer: str,
    proposal: queries.Record,
    lineage: ProposalLineage,
    records: _Records | None,
    chain: ChainRecord | None,
) -> None:
    """Show one layer: its hashes in full, its record, its links, its report page and run."""
    t = translator()
    names = [*_HASHES[layer], *(("mlflow_run_id",) if layer == "L3" else ())]
    names += ["test_period", "baseline_model_id"] if layer == "L4" else []
    full = {
        t("column.name"): [t(f"lineage.{name}") for name in names],
        t("column.hash"): [value_in_words(getattr(lineage, name) or MISSING, t.language) for name in names],
    }
    st.dataframe(pd.DataFrame(full), hide_index=True, key=f"hashes-{layer}")
    if chain:
        links = [
            {
                t("lineage.record"): value_in_words(link.record, t.language),
                t("lineage.field"): link.field,
                t("lineage.recorded"): link.recorded,
                t("lineage.recomputed"): link.recomputed,
                t("lineage.source"): value_in_words(link.source, t.language),
                t("lineage.mark"): t("lineage.holds" if link.holds else "lineage.breaks"),
            }
            for link in links_by_layer(chain.links)[layer]
        ]
        st.dataframe(pd.DataFrame(links), hide_index=True, key=f"links-{layer}")
    _report_page(layer, proposal)
    record = dict(zip(("L2", "L3", "L4"), records, strict=True)).get(layer) if records else None
    if record is not None:
        with st.expander(t("lineage.whole_record")):
            st.code(record.model_dump_json(indent=2), language="json")


def _report_page(layer: str, proposal: queries.Record) -> None:
    """Offer the layer's report page, of its last run, where there is one."""
    t = translator()
    if layer not in _REPORTS:
        return
    path = Path(proposal.report_folder).parents[1] / _REPORTS[layer]
    if path.is_file():
        name, page = f"{proposal.experiment_name}_{path.name}", opened_in(path.read_bytes(), t.language)
        st.download_button(t("lineage.report"), page, file_name=name, mime="text/html", on_click="ignore")
    else:
        st.caption(t("lineage.no_report"))
