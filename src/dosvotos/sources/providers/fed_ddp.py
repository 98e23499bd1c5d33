"""Federal Reserve Board: a release's CSV package of the Data Download Program, or else its XML archive.

The program names a package by the hash of its selection, answers what it does not serve with an empty page
and status 200, and is being retired. The Board's notice of 16 July 2026
(https://www.federalreserve.gov/data/data-download-fred-information.htm): "Historical data will remain
available for download as XML files on statistical release pages." So a package is asked first, for the range
it needs, and the release's archive (1 to 9 MB) where no package holds the series or the program fails.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date
from typing import IO, Any, Final, NamedTuple

import pandas as pd

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient, Response, RetryableError
from dosvotos.sources.providers.parsing import parse_observations, read_csv_rows
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

PACKAGES: Final = {
    ("H15", "daily"): "bf17364827e38702b42a58cf8eaa3f78",  # Treasury yields only
    ("H15", "monthly"): "d7e27b7b09a3a7feae95b9c61781fcd8",
    ("H6", "monthly"): "798e2796917702a5f8423426ba7e6b42",
    ("G17", "monthly"): "809009461b1cba2fd5b4cf5557d9d663",
}
"""Preformatted packages by release and frequency, as linked on /datadownload/Choose.aspx?rel=<release>."""

_PACKAGE_HEADER: Final = (
    "Series Description", "Unit", "Multiplier", "Currency", "Unique Identifier", "Time Period",
)  # fmt: skip
_PERIOD: Final = {
    "daily": (re.compile(r"\d{4}-\d{2}-\d{2}"), "D"),
    "monthly": (re.compile(r"\d{4}-\d{2}(-\d{2})?"), "M"),
    "quarterly": (re.compile(r"\d{4}(-\d{2}(-\d{2})?|-?Q[1-4])"), "Q"),
}
_MISSING: Final = frozenset({"ND", "NC", "NA"})
_MAX_XML_BYTES: Final = 512 * 2**20


class _Attributes(NamedTuple):
    """What the Board says about a series; its values are not yet multiplied by the multiplier."""

    description: str
    unit: str
    multiplier: str
    currency: str
    identifier: str

    def sentence(self, context: str) -> str:
        try:
            multiplier = f"multiplier {float(self.multiplier):g}"
        except ValueError as error:
            problem = f"expected a number as multiplier, found {self.multiplier!r}"
            raise SourceError(f"{context}: {problem}") from error
        description, currency = " ".join(self.description.split()), f"currency {self.currency}"
        return ", ".join([description, self.unit, multiplier, currency, self.identifier])


class _Found(NamedTuple):
    attributes: _Attributes
    observations: list[tuple[str, str]]
    """Period and value as written, "" or one of _MISSING where there is none."""


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch values in the unit and multiplier that the description holds; the series is ``RELEASE/NAME``."""
    context = f"fed_ddp {request.series}"
    release, slash, name = request.series.partition("/")
    if not slash or "/" in name:
        raise SourceError(f"{context}: a series is written RELEASE/NAME, such as H15/RIFSPFF_N.M")
    try:
        found = _in_package(request, client, release, name)
    except SourceError as refused:
        try:
            found = _in_archive(client, release, name)
        except SourceError as error:
            raise SourceError(f"{context}: package: {refused}; archive: {error}") from error
    dated = [(_day(period, request.frequency, context), raw) for period, raw in found.observations]
    observations = parse_observations(dated, context, _MISSING, request.start)
    return build_series(observations, found.attributes.sentence(context))


def _in_package(request: SeriesRequest, client: ProviderClient, release: str, name: str) -> _Found:
    package = PACKAGES.get((release, request.frequency))
    if package is None:
        raise SourceError(f"no {request.frequency} package of {release} is known")
    last = pd.Period(request.end, freq=_PERIOD[request.frequency][1]).end_time.date()
    params = {
        "rel": release, "series": package, "lastobs": "",  # left empty, or the range is not heeded
        "from": f"{request.start:%m/%d/%Y}", "to": f"{last:%m/%d/%Y}",
        "filetype": "csv", "label": "include", "layout": "seriescolumn", "type": "package",
    }  # fmt: skip
    rows = client.get("/datadownload/Output.aspx", _parse_package, params)
    named = [at for at, identifier in enumerate(rows[4]) if at and _identifies(identifier, release, name)]
    if len(named) != 1:
        raise SourceError(f"expected one column identified as {release}/.../{name}, found {rows[4][1:]}")
    at = named[0]
    if rows[5][at] != name:
        raise SourceError(f"the column of {rows[4][at]} is headed {rows[5][at]!r}")
    if len(rows) == len(_PACKAGE_HEADER):
        raise SourceError("has header rows and no observation")
    attributes = _Attributes(*(cells[at] for cells in rows[:5]))
    return _Found(attributes, [(cells[0], cells[at]) for cells in rows[6:]])


def _parse_package(response: Response) -> list[list[str]]:
    if not response.content.strip():
        raise SourceError("an empty answer: the Data Download Program does not serve this package or range")
    rows = read_csv_rows(response)
    header = tuple(cells[0].rstrip(": ") for cells in rows[:6])
    if header != _PACKAGE_HEADER:
        raise SourceError(f"expected rows headed {list(_PACKAGE_HEADER)}, found {list(header)}")
    return rows


def _identifies(identifier: str, release: str, name: str) -> bool:
    """Whether ``H6/H6_M2/M2.M`` is release H6, name M2.M; the data set between them says no more."""
    first, *_, last = identifier.split("/")
    return (first, last) == (release, name)


def _in_archive(client: ProviderClient, release: str, name: str) -> _Found:
    content = client.get(f"/releases/{release.lower()}/data/FRB_{release.lower()}_xml.zip", _check_archive)
    with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(_data_member(archive)) as xml:
        found = list(_iter_series(name, release, xml))
    if not found:
        raise SourceError(f"no series {name} in the archive of {release}")
    if len({each.attributes[1:] for each in found}) > 1:
        raise SourceError(f"{name} stands in data sets that disagree: {[each.attributes for each in found]}")
    return _Found(found[0].attributes, [observation for each in found for observation in each.observations])


def _check_archive(response: Response) -> bytes:
    """Check a ZIP archive, and give it back as it came: it holds every series of a release."""
    try:
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RetryableError(f"answered with what is no ZIP archive: {error}") from error
    if broken is not None:
        raise RetryableError(f"answered with a ZIP archive whose {broken} is broken")
    return response.content


def _data_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if member.filename.lower().endswith("_data.xml")]
    if len(members) != 1 or members[0].file_size > _MAX_XML_BYTES:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        raise SourceError(f"expected one *_data.xml of at most {_MAX_XML_BYTES:,} bytes, found {sizes}")
    return members[0]


def _iter_series(name: str, release: str, xml: IO[bytes]) -> Iterator[_Found]:
    """Read the archive's SDMX as a stream: it is up to 130 MB."""
    from lxml import etree

    try:
        for _, element in etree.iterparse(xml, tag="{*}Series", resolve_entities=False, no_network=True):
            if element.get("SERIES_NAME") == name:
                yield _series(element, f"{release}/{name}")
            element.clear()
    except etree.XMLSyntaxError as error:
        raise SourceError(f"the archive of {release} holds broken XML: {error}") from error


def _series(element: Any, identifier: str) -> _Found:
    unit, multiplier, currency = (element.get(key, "") for key in ("UNIT", "UNIT_MULT", "CURRENCY"))
    texts = [found.text or "" for found in element.iterfind(".//{*}AnnotationText")]
    attributes = _Attributes("; ".join(texts), unit, multiplier, currency, identifier)
    return _Found(attributes, [_period_and_value(found) for found in element.iterfind("{*}Obs")])


def _period_and_value(element: Any) -> tuple[str, str]:
    status, period = element.get("OBS_STATUS", ""), element.get("TIME_PERIOD", "")
    if status != "A" and status not in _MISSING:
        raise SourceError(f"expected an OBS_STATUS of A, {sorted(_MISSING)}, found {status!r} in {period!r}")
    return period, element.get("OBS_VALUE", "") if status == "A" else status


def _day(period: str, frequency: Frequency, context: str) -> date:
    """The period's first day; an archive dates months by their last one."""
    pattern, freq = _PERIOD[frequency]
    problem = f"{context}: expected a {frequency} period, found {period!r}"
    if not pattern.fullmatch(period):
        raise SourceError(problem)
    try:
        return pd.Period(period, freq=freq).start_time.date()
    except ValueError as error:
        raise SourceError(problem) from error
