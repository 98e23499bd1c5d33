"""The registry: every model and its stage."""

import pandas as pd
import streamlit as st

from dosvotos.contracts.parameters import SIMULATED_INSTRUMENT
from dosvotos.promotion.inventory import NOT_STATED, InventoryEntry, csv_of_inventory
from dosvotos.promotion.own_strategy import kind_of
from dosvotos.promotion.proposal import stored_metrics
from streamlit_app import queries
from streamlit_app.page import empty, formats, in_bogota, numeric, plain, translator, written
from streamlit_app.production import show_retracted
from streamlit_app.verdict import market_badge


def show() -> None:
    """Show production models first, then all models as a table."""
    st.title(t("nav.models"), anchor=False)
    st.markdown(t("models.intro"))
    rows = queries.models()
    if not rows:
        empty(t("models.empty"), t("models.empty_next"))
        return
    st.header(t("models.in_production"), anchor=False)
    in_production = [row for row in rows if row.stage == "production"]
    if not in_production:
        st.info(t("models.no_production"))
    for row in in_production:
        _card(row)
    show_retracted()
    st.header(t("models.all"), anchor=False)
    st.dataframe(_table(rows), hide_index=True, column_config=numeric(*written(None, "sharpe_ratio")))
    _inventory()


def _inventory() -> None:
    """Show who answers for each model, what it is for, and who approved it over what, until when."""
    st.header(t("inventory.title"), anchor=False)
    st.caption(t("inventory.intro"))
    entries = queries.inventory()
    st.download_button(
        t("inventory.export"),
        csv_of_inventory(entries),
        file_name="model_inventory.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    table = pd.DataFrame([_inventory_row(entry) for entry in entries])
    st.dataframe(table, hide_index=True, key="inventory")


def _inventory_row(entry: InventoryEntry) -> dict[str, str]:
    nobody = t("inventory.not_stated")
    lapse = entry.max_drawdown
    return {
        t("column.stage"): t(f"stage.{entry.stage}"),
        t("column.model"): entry.model_id,
        t("inventory.owner"): entry.owner or nobody,
        t("inventory.tier"): nobody if entry.tier is None else str(entry.tier),
        t("inventory.purpose"): entry.purpose or nobody,
        t("inventory.permitted_use"): entry.permitted_use or nobody,
        t("inventory.approved_by"): (entry.approved_by or "") + " · self_approved" * entry.self_approved,
        t("inventory.overrides"): entry.overrides or "",
        t("inventory.max_drawdown"): "" if lapse is None else formats().percent(lapse, 1),
        t("inventory.next_review"): "" if entry.next_review is None else entry.next_review.isoformat(),
        t("inventory.licences"): _licences(entry),
    }


def _licences(entry: InventoryEntry) -> str:
    """Write under which terms a model's data stand; a provider's in the provider's own words."""
    if entry.instrument == SIMULATED_INSTRUMENT:
        return t("inventory.simulated")
    return t("inventory.not_stated") if entry.data_licences == NOT_STATED else entry.data_licences


def _card(row: queries.Record) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            market_badge(row.instrument)
            plain(row.model_id, "name", row.id)
        since = t("models.since", instrument=row.instrument, since=in_bogota(row.promoted_at))
        plain(f"{since} · {_kind(row)}", "small", row.id)


def _kind(row: queries.Record) -> str:
    """Write what a model is: trained, a refit, the last fold of a line, or a strategy of one's own."""
    kind = kind_of(row)
    if kind == "own_strategy":
        return t("models.own", targets=row.lineage["targets"])
    if kind == "refit":
        return t("models.refit", model=row.lineage["refit_of"])
    return t("models.line", folds=row.lineage["folds"]) if kind == "line" else t("models.trained")


def _table(rows: list[queries.Record]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                t("column.stage"): ("● " if row.stage == "production" else "") + t(f"stage.{row.stage}"),
                t("column.model"): row.model_id,
                t("column.kind"): _kind(row),
                t("column.instrument"): row.instrument,
                **written(stored_metrics(row), "sharpe_ratio"),
                t("column.trained_by"): row.trained_by,
                t("column.created"): in_bogota(row.created_at)[:10],
                t("column.promoted"): in_bogota(row.promoted_at)[:10],
                t("column.archived"): in_bogota(row.archived_at)[:10],
            }
            for row in rows
        ]
    )


t = translator()
show()
