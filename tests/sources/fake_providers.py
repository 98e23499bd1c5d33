"""All providers on one local server, each in its own format, with one true history of every series."""

import io
import json
import math
import zipfile
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, Provider
from dosvotos.market.calendar import published_at, scheduled_sessions, session_bar_times
from dosvotos.sources.providers.dates import SPANISH_MONTHS
from tests.sources.local_server import LocalServer, ReceivedRequest, Reply

FIRST = date(2025, 9, 1)
_MONTHS = ("Enero", "Febrero", "Marzo", "Abril", "Mayo", "Junio", "Julio", "Agosto", "Septiembre", "Octubre",
           "Noviembre", "Diciembre")  # fmt: skip
_ENGLISH = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
            "October", "November", "December")  # fmt: skip
_BOGOTA = ZoneInfo("America/Bogota")
_NEW_YORK = ZoneInfo("America/New_York")
_NAMES = (
    "IBR overnight nominal; politica monetaria; tasa de cambio real; terminos de intercambio; reservas "
    "internacionales; precios; TES cero cupon, pesos, 5 años, 10 años; inversion; COLCAP"
)


class FakeProviders(LocalServer):
    """Replies with the values published by `today`; `revise` changes one value."""

    def __init__(self, variables: dict[str, MacroVariable], today: pd.Timestamp) -> None:
        super().__init__()
        self.variables, self.today = variables, today
        self.changed: dict[tuple[str, date], float] = {}
        for path, reply in {
            "/resource-center/*": self._treasury,
            "/datadownload/Output.aspx": self._fed,
            "/releases/*": self._fed_archive,
            "/publicAPI/*": self._bls,
            "/api/global/us_indices/*": self._cboe,
            "/files/tbmics.csv": self._umich,
            "/estadisticas-economicas-back/*": self._suameca,
            "/estadisticas/series/api/*": self._bcrp,
            "/files/operaciones/*": self._dane,
            "/resource/*": self._trm,
            "/v8/finance/chart/*": self._yahoo,
            "/time_series": self._twelvedata,
        }.items():
            self.answer(path, reply)

    def truth(self, variable: str) -> dict[date, float]:
        """What the variable's source has published by now, in the variable's unit."""
        described = self.variables[variable]
        days = _periods(described.frequency, self.today.date())
        known = published_at(days, described.publication) <= self.today
        values = {day: _value(described, day) for day, is_out in zip(days, known, strict=True) if is_out}
        return {day: self.changed.get((variable, day), value) for day, value in values.items()}

    def revise(self, variable: str, day: date, value: float) -> None:
        """Change a value of the source from now on."""
        self.changed[variable, day] = value

    def bars(self) -> pd.DataFrame:
        """The true 5-minute bars closed by now: index bar open (UTC), close."""
        sessions = scheduled_sessions(FIRST, self.today.date())
        times = pd.DatetimeIndex([time for day in sessions for time in session_bar_times(day)])
        times = times[times + pd.Timedelta(minutes=5) <= self.today]
        closes = [4500 + n % 97 * 0.25 + n // 97 * 0.01 for n in range(len(times))]
        return pd.DataFrame({"close": closes}, index=times)

    def _of(self, provider: Provider, series: str) -> tuple[str, dict[date, float]]:
        """A variable by the name its provider gives it, and its history in the provider's unit."""
        for name, variable in self.variables.items():
            for source in variable.sources:
                if (source.provider, source.series) == (provider, series):
                    return name, {d: round(v / source.scale, 6) for d, v in self.truth(name).items()}
        raise KeyError((provider, series))

    def _treasury(self, call: ReceivedRequest) -> Reply:
        year = int(call.path.split("/")[-2])
        columns = {name: self._of("us_treasury", name)[1] for name in ("2 Yr", "10 Yr")}
        days = sorted((d for d in columns["2 Yr"] if d.year == year), reverse=True)
        lines = ['Date,"2 Yr","10 Yr"']
        lines += [f"{d:%m/%d/%Y},{columns['2 Yr'][d]},{columns['10 Yr'].get(d, 'N/A')}" for d in days]
        return _csv(lines)

    def _fed(self, call: ReceivedRequest) -> Reply:
        wanted = {
            "bf17364827e38702b42a58cf8eaa3f78": [],
            "d7e27b7b09a3a7feae95b9c61781fcd8": ["H15/RIFSPFF_N.M"],
            "798e2796917702a5f8423426ba7e6b42": ["H6/M2.M"],
            "809009461b1cba2fd5b4cf5557d9d663": ["G17/IP.B50001.S"],
        }[call.query["series"]]
        if not wanted:
            return Reply(b"", content_type="text/csv")
        series = wanted[0]
        release, name = series.split("/")
        _, values = self._of("fed_ddp", series)
        units = {"H6": ("Currency", "1e+09", "USD"), "G17": ("Index:_2017_100", "1", "NA")}
        unit, multiplier, currency = units.get(release, ("Percent", "1", "NA"))
        described = {"H6": "M2; Not seasonally adjusted", "G17": "Total index", "H15": "Federal funds rate"}
        rows = [
            ["Series Description", described[release]], ["Unit:", unit], ["Multiplier:", multiplier],
            ["Currency:", currency], ["Unique Identifier: ", f"{release}/{release}/{name}"],
            ["Time Period", name], *([f"{d:%Y-%m}", str(v)] for d, v in values.items()),
        ]  # fmt: skip
        return _csv([f'"{left}","{right}"' for left, right in rows])

    def _fed_archive(self, call: ReceivedRequest) -> Reply:
        _, values = self._of("fed_ddp", "H15/RIFSPBLP_N.B")
        rows = "".join(f'<Obs OBS_STATUS="A" OBS_VALUE="{v}" TIME_PERIOD="{d}"/>' for d, v in values.items())
        series = (
            '<Series CURRENCY="NA" SERIES_NAME="RIFSPBLP_N.B" UNIT="Percent:_Per_Year" UNIT_MULT="1">'
            f"<Annotations><AnnotationText>Bank prime rate</AnnotationText></Annotations>{rows}</Series>"
        )
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            archive.writestr("H15_data.xml", f"<DataSet>{series}</DataSet>")
        return Reply(written.getvalue(), content_type="application/zip")

    def _bls(self, call: ReceivedRequest) -> Reply:
        asked = json.loads(call.body)
        found = []
        for series in asked["seriesid"]:
            rows = [
                {"year": str(d.year), "period": f"M{d.month:02d}", "value": str(v), "footnotes": [{}]}
                for d, v in sorted(self._of("bls", series)[1].items(), reverse=True)
            ]
            found.append({"seriesID": series, "data": rows})
        return Reply({"status": "REQUEST_SUCCEEDED", "message": [], "Results": {"series": found}})

    def _cboe(self, call: ReceivedRequest) -> Reply:
        _, values = self._of("cboe", "VIX_History.csv")
        return _csv(
            ["DATE,OPEN,HIGH,LOW,CLOSE", *(f"{d:%m/%d/%Y},{v},{v},{v},{v}" for d, v in values.items())]
        )

    def _umich(self, call: ReceivedRequest) -> Reply:
        _, values = self._of("umich", "tbmics.csv:ICS_ALL")
        return _csv(
            ["Month,YYYY,ICS_ALL", *(f"{_ENGLISH[d.month - 1]},{d.year},{v}" for d, v in values.items())]
        )

    def _suameca(self, call: ReceivedRequest) -> Reply:
        series = call.query["idSerie"]
        if series == "414001":
            return Reply([])
        name, values = self._of("suameca", series)
        stated = {"daily": "Diaria", "monthly": "Mensual", "quarterly": "Trimestral"}
        rows = [[_milliseconds(day), value] for day, value in values.items()]
        record = {
            "id": int(series), "nombre": _NAMES, "unidad": "Porcentaje", "data": rows,
            "descripcionPeriodicidad": stated[self.variables[name].frequency], "isSerie": "SI",
        }  # fmt: skip
        return Reply([record])

    def _bcrp(self, call: ReceivedRequest) -> Reply:
        start, end = (date.fromisoformat(part) for part in call.path.split("/")[-3:-1])
        _, values = self._of("bcrp", "PD04715XD")
        short = ("Ene", "Feb", "Mar", "Abr", "May", "Jun", "Jul", "Ago", "Set", "Oct", "Nov", "Dic")
        periods = [
            {"name": f"{d.day:02d}.{short[d.month - 1]}.{d:%y}", "values": [str(v)]}
            for d, v in values.items()
            if start <= d <= end
        ]
        name = "Diferencial de rendimientos (EMBIG) - Colombia (pbs)"
        return Reply({"config": {"title": name, "series": [{"name": name}]}, "periods": periods})

    def _dane(self, call: ReceivedRequest) -> Reply:
        which = "IMP" if "/IMP/" in call.path else "EXPORTACIONES" if "EXPORT" in call.path else "IPC"
        _, values = self._of("dane", which)
        newest = max(values)
        if not call.path.endswith(f"{SPANISH_MONTHS[newest.month - 1]}{newest.year}.xlsx"):
            return Reply("not here", 404, "text/html")
        return Reply(_dane_book(which, tuple(values.items())), content_type="application/vnd.ms-excel")

    def _trm(self, call: ReceivedRequest) -> Reply:
        _, values = self._of("datos_gov_co", "32sa-8pi3:valor")
        return Reply([
            {"valor": str(v), "unidad": "COP", "vigenciadesde": f"{d + timedelta(days=1)}T00:00:00.000"}
            for d, v in values.items()
        ])  # fmt: skip

    def _yahoo(self, call: ReceivedRequest) -> Reply:
        symbol = call.path.rsplit("/", 1)[-1].replace("%5E", "^").replace("%3D", "=")
        lowest = int(call.query.get("period1", 0))
        if call.query["interval"] == "5m":
            rows = [(int(t.timestamp()), c) for t, c in self.bars()["close"].items()]
        else:
            _, values = self._of("yahoo", symbol)
            rows = [
                (int(datetime(d.year, d.month, d.day, tzinfo=_NEW_YORK).timestamp()), v)
                for d, v in values.items()
            ]
        return Reply(_chart(symbol, call.query["interval"], [r for r in rows if r[0] >= lowest], self.today))

    def _twelvedata(self, call: ReceivedRequest) -> Reply:
        start, end = (pd.Timestamp(call.query[name]) for name in ("start_date", "end_date"))
        closes = self.bars()["close"].tz_localize(None)
        chosen = closes[(closes.index >= start) & (closes.index <= end)].iloc[::-1][:5000]
        if chosen.empty:
            return Reply(
                {"code": 400, "message": "No data is available on the specified dates.", "status": "error"}
            )
        rows = [
            {
                "datetime": f"{t:%Y-%m-%d %H:%M:%S}",
                "open": str(c),
                "high": str(c),
                "low": str(c),
                "close": str(c),
            }
            for t, c in chosen.items()
        ]
        meta = {"symbol": call.query["symbol"], "interval": "5min", "type": "Physical Currency"}
        return Reply({"meta": meta, "values": rows, "status": "ok"})


def _value(variable: MacroVariable, day: date) -> float:
    low, high = variable.expected_min, variable.expected_max
    own = sum(map(ord, variable.description)) % 97 / 1e5  # no two variables have the same values
    share = 0.4 + 0.004 * math.sin(day.toordinal() / 9) + 0.0003 * (day.toordinal() % 7) - own
    return round(low + (high - low) * share, 4)


def _periods(frequency: str, last: date) -> list[date]:
    freq = {"daily": "B", "monthly": "MS", "quarterly": "QS"}[frequency]
    start = FIRST if frequency == "daily" else date(FIRST.year, 1, 1)
    return [moment.date() for moment in pd.date_range(start, last, freq=freq)]


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=_BOGOTA).timestamp() * 1000)


def _csv(lines: list[str]) -> Reply:
    return Reply("\n".join(lines) + "\n", content_type="text/csv")


@cache
def _dane_book(which: str, values: tuple[tuple[date, float], ...]) -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    if which == "IPC":
        _fill_cpi(sheet, dict(values))
    else:
        _fill_trade(sheet, dict(values))
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _fill_cpi(sheet: Any, values: dict[date, float]) -> None:
    years = sorted({day.year for day in values})
    sheet.title = "IndicesIPC"
    sheet.append(["Indice de Precios al Consumidor. Base Diciembre de 2018 = 100,00"])
    sheet.append(["Mes", *years])
    for month in range(1, 13):
        sheet.append([_MONTHS[month - 1], *(values.get(date(year, month, 1)) for year in years)])


def _fill_trade(sheet: Any, values: dict[date, float]) -> None:
    sheet.title = "Grupos OMC"
    sheet.append(["Comercio exterior, miles de dolares FOB, miles de dolares CIF"])
    sheet.append(["Mes", "Total"])
    for day, value in values.items():
        sheet.append([f"{_MONTHS[day.month - 1]} {day.year}", value])


def _chart(symbol: str, interval: str, rows: list[tuple[int, float]], now: pd.Timestamp) -> dict[str, Any]:
    kinds = {"=F": "FUTURE", "=X": "CURRENCY"}
    pairs = {"MXN=X": "MXN", "CLP=X": "CLP", "COP=X": "COP", "KC=F": "USX"}
    closes = [value for _, value in rows]
    meta = {
        "currency": pairs.get(symbol, "USD"), "symbol": symbol, "exchangeName": "CCY",
        "instrumentType": kinds.get(symbol[-2:], "INDEX"), "gmtoffset": -18000, "timezone": "EST",
        "exchangeTimezoneName": "America/New_York", "regularMarketTime": int(now.timestamp()),
        "dataGranularity": interval, "priceHint": 4, "validRanges": ["1d", "5d", "max"],
    }  # fmt: skip
    today = now.tz_convert(_NEW_YORK).normalize()
    session = {
        "start": int(today.timestamp()), "end": int((today + pd.Timedelta(hours=17)).timestamp()),
        "timezone": "EST", "gmtoffset": -18000,
    }  # fmt: skip
    meta["currentTradingPeriod"] = dict.fromkeys(("pre", "regular", "post"), session)
    quote = dict.fromkeys(("open", "high", "low", "close"), closes) | {"volume": [0] * len(rows)}
    indicators: dict[str, Any] = {"quote": [quote]}
    if interval == "1d":
        indicators["adjclose"] = [{"adjclose": closes}]
    result = {"meta": meta, "timestamp": [moment for moment, _ in rows], "indicators": indicators}
    return {"chart": {"result": [result], "error": None}}
