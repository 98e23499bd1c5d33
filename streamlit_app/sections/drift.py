"""What has drifted from train: val on the review page, live sessions on production's."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dosvotos.contracts.records import FeatureDrift
from dosvotos.formats import MISSING, RATIO
from dosvotos.live.drift import LiveDrift
from dosvotos.market.drift import FALSE_ALARMS_A_YEAR
from streamlit_app.page import formats, translator


def show_drift(drift: Sequence[FeatureDrift] | None) -> None:
    """Name the features of val that left what train held; all of them one click away."""
    t = translator()
    st.header(t("drift.title"), anchor=False)
    if drift is None:
        st.caption(t("drift.unknown"))
        return
    _show(drift)


def show_live_drift(found: LiveDrift) -> None:
    """Name the features of the live sessions so far that left what train held, and since when."""
    t, f = translator(), formats()
    st.header(t("drift.live"), anchor=False)
    if found.features is None:
        st.caption(t("drift.unknown"))
    elif not found.sessions:
        st.caption(t("drift.no_session"))
    else:
        st.caption(t("drift.sessions", count=f.number(found.sessions, 0)))
        _show(found.features)


def _show(drift: Sequence[FeatureDrift]) -> None:
    t, f = translator(), formats()
    alarms = [
        t("drift.one", feature=found.feature, since=found.first_alarm) for found in drift if found.first_alarm
    ]
    if alarms:
        st.warning(t("drift.alarms", features=", ".join(alarms)), icon=":material/warning:")
    else:
        st.markdown(t("drift.none"))
    st.caption(t("drift.hint", rate=f.percent(FALSE_ALARMS_A_YEAR, 0)))
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
        st.table(pd.DataFrame(rows, index=names), border="horizontal")
