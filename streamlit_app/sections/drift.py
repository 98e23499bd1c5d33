"""Val's drift from train, on the review page."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dosvotos.contracts.records import FeatureDrift
from dosvotos.formats import MISSING, RATIO
from dosvotos.market.drift import FALSE_ALARMS_A_YEAR
from streamlit_app.page import formats, translator


def show_drift(drift: Sequence[FeatureDrift] | None) -> None:
    """Name the features that left what train held; all of them one click away."""
    t, f = translator(), formats()
    st.header(t("drift.title"), anchor=False)
    if drift is None:
        st.caption(t("drift.unknown"))
        return
    if alarms := [found.feature for found in drift if found.first_alarm]:
        st.warning(t("drift.alarms", features=", ".join(alarms)), icon=":material/warning:")
    else:
        st.markdown(t("drift.none"))
    rows = [
        {
            t("drift.rule"): t(f"drift.{found.rule}"),
            t("drift.largest"): f.write(found.statistic, RATIO),
            t("drift.limit"): f.write(found.limit, RATIO),
            t("drift.since"): found.first_alarm or MISSING,
        }
        for found in drift
    ]
    names = pd.Index([found.feature for found in drift], name=t("drift.feature"))
    with st.expander(t("drift.all")):
        st.caption(t("drift.hint", rate=f.percent(FALSE_ALARMS_A_YEAR, 0)))
        st.table(pd.DataFrame(rows, index=names), border="horizontal")
