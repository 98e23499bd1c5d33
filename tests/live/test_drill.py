"""A halt and a rollback tried on a copy: one bar, no stray row, and a record of how long it took."""

import pytest
from sqlalchemy import select

from dosvotos.commands.drill import _copied, _what_is_copied
from dosvotos.commands.live_drill import LiveDrillRecord, drilled_loop, try_live
from dosvotos.commands.people import Keys
from dosvotos.database.append_only import missing_guards
from dosvotos.database.columns import metadata
from dosvotos.database.connection import make_engine, reading
from dosvotos.errors import DecisionError, LineageError
from dosvotos.live import signals
from dosvotos.live.controls import ACTIVE
from tests.live.limited_desk import LONG, ON_SQLITE, SHORT
from tests.live.production_models import approve
from tests.proposal_fixtures import INSTRUMENT
from tests.team import now


def drilled(desk, action: str) -> LiveDrillRecord:
    loop = drilled_loop(desk.engine, INSTRUMENT, desk.folder, desk.parameters)
    return try_live(loop, action, Keys(None), now)


@ON_SQLITE
def test_a_halt_is_flat_at_the_next_bar_and_a_rollback_served_at_it(make_limited, monkeypatch):
    desk = make_limited(LONG)
    first = approve(desk.engine, desk.folder / "bundles", SHORT, "1.0.1")
    desk.run(1)
    back = drilled(desk, "ROLLBACK")
    assert (back.bars_to_effect, back.stray_rows) == (1, 0)
    assert back.model_before == first.model_id != back.model_after
    assert back.decision_seconds > 0 and back.tick_seconds > 0
    with monkeypatch.context() as patch:  # a loop that reads no halt
        patch.setattr(signals.SignalTable, "_control", lambda *_: ACTIVE)
        with pytest.raises(LineageError, match="3 bars after HALT"):
            drilled(desk, "HALT")
    with pytest.raises(DecisionError, match="signals are HALTED already"):
        drilled(desk, "HALT")


@ON_SQLITE
def test_a_halt_is_flat_at_the_next_bar(make_limited):
    desk = make_limited(LONG)
    desk.run(1)
    record = drilled(desk, "HALT")
    assert (record.bars_to_effect, record.stray_rows) == (1, 0)
    assert record.model_after == record.model_before is not None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_server_s_database_is_drilled_on_a_copy_of_every_row(make_limited):
    desk = make_limited(LONG)
    desk.run(2)
    url = desk.engine.url.render_as_string(hide_password=False)
    with _copied(url, _what_is_copied(url)) as (copy, folder):
        copied = make_engine(copy.url)
        with reading(desk.engine) as source, reading(copied) as of_copy:
            for table in metadata.sorted_tables:
                order = select(table).order_by(*table.primary_key.columns)
                assert of_copy.execute(order).all() == source.execute(order).all(), table.name
            assert missing_guards(of_copy) == []
        loop = drilled_loop(copied, INSTRUMENT, folder, desk.parameters)
        record = try_live(loop, "HALT", Keys(None), now)
        copied.dispose()
    assert (record.bars_to_effect, record.stray_rows) == (1, 0)
    desk.run(1)
    assert desk.reasons() == [None] * 3, "production goes on"
