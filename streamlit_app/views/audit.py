"""The audit log: every decision, and whether the chain of hashes holds."""

import pandas as pd
import streamlit as st

from dosvotos.hashing import short
from streamlit_app import queries
from streamlit_app.page import empty, in_bogota, now, plain, translator, what_was_done


def show() -> None:
    """Say whether the chain holds, then list its rows, newest first."""
    st.title(t("audit.title"), anchor=False)
    st.markdown(t("audit.intro"))
    _late_messages()
    rows = queries.audit_log()
    if not rows:
        empty(t("audit.empty"), t("audit.empty_next"))
        return
    if breaks := queries.audit_problems():
        st.error(t("audit.broken"))
        plain("\n".join(one.told(t.language) for one in breaks))
    else:
        st.success(t("audit.whole", count=len(rows)))
    table = _table(rows[::-1])
    st.download_button(
        t("audit.export"),
        table.to_csv(index=False),
        file_name="audit_log.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    reasons = {t("column.notes"): st.column_config.TextColumn(width="medium")}
    st.dataframe(table, hide_index=True, column_config=reasons)


def _late_messages() -> None:
    """Name what people and other systems were not told yet, though they should have been."""
    late = queries.late_messages(now(), t.language)
    if not late:
        return
    st.warning(t("audit.late", count=len(late)))
    table = [
        {
            t("column.time"): in_bogota(message.since),
            t("audit.message"): f"{t.label('message', message.kind)}: {message.subject}",
            t("audit.tries"): message.attempts,
            t("audit.problem"): message.problem or "",
        }
        for message in late
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True, key="late-messages")


def _table(rows: list[queries.Record]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                t("column.id"): row.id,
                t("column.time"): in_bogota(row.created_at),
                t("column.reviewer"): row.reviewer,
                t("column.action"): _decision(row),
                t("column.instrument"): row.instrument or "",
                t("column.model"): row.model_id or "",
                t("column.notes"): row.notes or "",
                t("column.previous"): row.previous_production_model or "",
                t("column.hash"): short(row.row_hash),
            }
            for row in rows
        ]
    )


def _decision(row: queries.Record) -> str:
    """Write what was decided, and of a decision about a person whom it names."""
    person = row.subject.get("name") if isinstance(row.subject, dict) else None
    return " · ".join([what_was_done(row), *([str(person)] if person else [])])


t = translator()
show()
