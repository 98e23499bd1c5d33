"""What metrics are called and how they are written: one table for console, pages, pack and app."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from dosvotos.formats import Form, Formats, Language

Unit = Literal["ratio", "percent", "count", "money", "bars", "sides a session", "bps"]
Better = Literal["higher", "lower", "neither"]


class Metric(NamedTuple):
    """One metric."""

    key: str
    """Its name in the records."""
    en: str
    es: str
    unit: Unit
    digits: int
    better: Better

    def label(self, language: Language = "en") -> str:
        """What a reader calls it."""
        return self.es if language == "es" else self.en

    @property
    def form(self) -> Form:
        """How its values are written."""
        return Form(self.digits, percent=self.unit == "percent")

    def best(self, values: Iterable[float | None]) -> float | None:
        """Return the best of several values; None without any, or where neither way is better."""
        known = [value for value in values if value is not None]
        if not known or self.better == "neither":
            return None
        return max(known) if self.better == "higher" else min(known)

    def write(self, value: float | None, language: Language = "en") -> str:
        """Write one of its values."""
        return Formats(language).write(value, self.form)


RESULTS: Final = (
    Metric("sharpe_ratio", "Sharpe ratio", "Índice de Sharpe", "ratio", 2, "higher"),
    Metric("sortino_ratio", "Sortino ratio", "Índice de Sortino", "ratio", 2, "higher"),
    Metric("calmar_ratio", "Calmar ratio", "Índice de Calmar", "ratio", 2, "higher"),
    Metric("total_return", "Total return", "Retorno total", "percent", 1, "higher"),
    Metric("max_drawdown", "Maximum drawdown", "Caída máxima", "percent", 1, "lower"),
    Metric("worst_day", "Worst day", "Peor día", "percent", 2, "higher"),
    Metric("win_rate", "Win rate", "Operaciones ganadoras", "percent", 1, "higher"),
    Metric("profit_factor", "Profit factor", "Factor de ganancia", "ratio", 2, "higher"),
    Metric("total_trades", "Trades", "Operaciones", "count", 0, "neither"),
    Metric("avg_trade_pnl", "Average trade (USD)", "Operación media (USD)", "money", 2, "higher"),
    Metric("average_holding_bars", "Average holding (bars)", "Tenencia media (barras)", "bars", 1, "neither"),
    Metric("exposure", "Time in the market", "Tiempo en el mercado", "percent", 1, "neither"),
    Metric("turnover", "Sides traded a session", "Puntas por sesión", "sides a session", 2, "lower"),
)
"""A backtest's metrics, in the order of every table."""

METRICS: Final = {
    metric.key: metric
    for metric in (
        *RESULTS,
        Metric("cost_bps", "Cost (bps a side)", "Costo (pb por lado)", "bps", 1, "lower"),
        Metric(
            "break_even_bps",
            "Break-even cost (bps a side)",
            "Costo de equilibrio (pb por lado)",
            "bps",
            1,
            "higher",
        ),
    )
}
"""Every metric by its key."""

INTERVALS: Final = {
    "sharpe_ratio": METRICS["sharpe_ratio"],
    "total_return": METRICS["total_return"],
    "max_drawdown": METRICS["max_drawdown"]._replace(
        en="Maximum drawdown, session ends", es="Caída máxima, cierres de sesión"
    ),
}
"""The metrics of which the evidence gives intervals; their drawdown is between session ends."""


def write_metrics(account: object, keys: Iterable[str], language: Language = "en") -> dict[str, str]:
    """Write metrics that are attributes of an account, by their labels; one it does not have is missing."""
    metrics = [METRICS[key] for key in keys]
    return {m.label(language): m.write(getattr(account, m.key, None), language) for m in metrics}
