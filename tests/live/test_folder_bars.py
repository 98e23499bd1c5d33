"""A desk's own feed in the loop: bars that come as files into a folder."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from dosvotos.errors import SourceError
from dosvotos.live.providers import FolderBars
from tests.live.live_desk import LiveDesk

SECOND, BAR = timedelta(seconds=1), pd.Timedelta(minutes=5)


def put(folder: Path, name: str, bars: pd.DataFrame) -> Path:
    path = folder / name
    bars.reset_index()[["timestamp", "open", "high", "low", "close", "volume"]].to_csv(path, index=False)
    return path


def deliver_files(desk: LiveDesk, folder: Path, files: dict[datetime, pd.DataFrame]) -> None:
    """Write files into the folder when the desk's clock reaches their times."""
    sleep = type(desk.clock).sleep_until

    def sleep_until(moment: datetime) -> None:
        for at in sorted(at for at in files if at <= moment):
            put(folder, f"{at:%H%M%S}.csv", files.pop(at))
        sleep(desk.clock, moment)

    desk.clock.sleep_until = sleep_until


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "feed"
    made.mkdir()
    return made


def test_bars_that_come_as_files_are_signalled_in_time_and_a_late_one_is_not(make_desk, folder):
    desk = make_desk(live=1)
    taken = desk.stored.tables[0].taken_hashes
    desk.vendors = [FolderBars(folder, desk.parameters.data_acquisition, taken)]
    desk.restart()
    live = desk.market.iloc[desk.first :]
    closes = [opened + BAR for opened in live.index]
    whole_session = live.iloc[:4]
    deliver_files(desk, folder, {
        closes[0] + SECOND: live.iloc[[0]],                # a file a bar
        closes[1] + 100 * SECOND: live.iloc[:2],           # the day so far, written anew
        closes[3] + 400 * SECOND: whole_session,           # after the deadline of the fourth
        closes[4] + SECOND: live.iloc[[4]],
    })  # fmt: skip
    desk.run(1 + 6)
    rows = {row.timestamp: row for row in desk.rows()}
    reasons = [rows[opened.to_pydatetime()].reason_code for opened in live.index[:5]]
    assert reasons == [None, None, "NO_BAR", "NO_BAR", None]
    delays = [(rows[o.to_pydatetime()].created_at - (o + BAR)).total_seconds() for o in live.index[:2]]
    assert delays[0] == 2.0 and 100 <= delays[1] <= 130
    stored = desk.stored.tables[0].as_of(desk.clock.now())
    assert list(stored.index[-5:]) == list(live.index[:5]) and set(stored["source"].iloc[-5:]) == {"folder"}


def test_each_content_is_read_once_and_what_was_retracted_stays_away(folder, thirty_sessions, parameters):
    live, read = thirty_sessions[0].iloc[-60:], []
    source = FolderBars(folder, parameters.data_acquisition, lambda: ())
    inner = source._read
    source._read = lambda path: read.append(path.name) or inner(path)
    asked = live.index[0].to_pydatetime(), (live.index[2] + BAR).to_pydatetime()
    put(folder, "a.csv", live.iloc[:2])
    assert len(source.bars(*asked).bars) == len(source.bars(*asked).bars) == 2 and read == ["a.csv"]
    put(folder, "b.csv", live.iloc[[1, 2]].assign(close=1234.5))
    assert source.bars(*asked).bars["close"].tolist() == [live["close"].iloc[0], 1234.5, 1234.5]
    assert read == ["a.csv", "b.csv"]
    (folder / "half.csv").write_text("timestamp,open\n2024")
    assert len(source.bars(*asked).bars) == 3
    gone = FolderBars(folder, parameters.data_acquisition, lambda: source._seen)
    assert gone.bars(*asked).bars.empty


def test_a_history_is_left_to_l0_and_a_folder_that_is_none_is_a_failed_poll(
    folder, thirty_sessions, parameters
):
    market, source = thirty_sessions[0], FolderBars(folder, parameters.data_acquisition, lambda: ())
    put(folder, "history.csv", market)
    asked = market.index[-7].to_pydatetime(), (market.index[-1] + BAR).to_pydatetime()
    assert len(source.bars(*asked).bars) == 7
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(SourceError, match="is not a folder"):
        source.bars(*asked)
