"""The chain behind a proposal, from the data to the vote."""

import pandas as pd
import streamlit as st

from dosvotos.formats import MISSING
from dosvotos.hashing import short
from dosvotos.promotion.proposal import ProposalLineage
from streamlit_app.page import plain, translator

_LAYERS = {
    "acquisition": ("acquisition_hash",),
    "features": ("feature_order_hash",),
    "dataset": ("dataset_hash", "norm_stats_hash", "test_dataset_hash"),
    "model": ("model_hash", "manifest_hash", "config_hash", "reward_config_hash"),
    "backtest": ("backtest_hash",),
}
_MORE_NAMES = ("test_period", "mlflow_run_id", "baseline_model_id")


def show_lineage(lineage: ProposalLineage) -> None:
    """Show the hash of every layer."""
    t = translator()
    st.header(t("review.lineage"), anchor=False)
    st.caption(t("review.lineage_hint"))
    for column, (layer, hashes) in zip(st.columns(len(_LAYERS)), _LAYERS.items(), strict=True):
        with column, st.container(border=True, height="stretch", gap="xsmall"):
            st.markdown(f"**{t(f'lineage.{layer}')}**")
            for name in hashes:
                plain(t(f"lineage.{name}"), "small", f"lineage-{name}")
                plain(short(getattr(lineage, name)), "hash", f"lineage-{name}")
    shown = [*(name for names in _LAYERS.values() for name in names), *_MORE_NAMES]
    with st.expander(t("review.full_hashes")):
        full = {
            t("column.name"): [t(f"lineage.{name}") for name in shown],
            t("column.hash"): [str(getattr(lineage, name) or MISSING) for name in shown],
        }
        st.dataframe(pd.DataFrame(full), hide_index=True)
