"""What metrics are called and how they are written: one table for console, pages, pack and app."""

from typing import Final, NamedTuple

from dosvotos.formats import COUNT, PERCENT, RATIO, Form, Formats, Language


class Metric(NamedTuple):
    """One metric."""

    key: str
    """Its name in the records."""
    en: str
    es: str
    form: Form
    """How its values are written."""

    def label(self, language: Language = "en") -> str:
        """Give the name that pages show."""
        return self.es if language == "es" else self.en

    def write(self, value: float | None, language: Language = "en") -> str:
        """Write one of its values."""
        return Formats(language).write(value, self.form)


RESULTS: Final = (
    Metric("sharpe_ratio", "Sharpe ratio", "Índice de Sharpe", RATIO),
    Metric("sortino_ratio", "Sortino ratio", "Índice de Sortino", RATIO),
    Metric("calmar_ratio", "Calmar ratio", "Índice de Calmar", RATIO),
    Metric("total_return", "Total return", "Retorno total", PERCENT),
    Metric("max_drawdown", "Maximum drawdown", "Caída máxima", PERCENT),
    Metric("worst_day", "Worst day", "Peor día", Form(2, percent=True)),
    Metric("win_rate", "Win rate", "Operaciones ganadoras", PERCENT),
    Metric("profit_factor", "Profit factor", "Factor de ganancia", RATIO),
    Metric("total_trades", "Trades", "Operaciones", COUNT),
    Metric("avg_trade_pnl", "Average trade (USD)", "Operación media (USD)", Form(2)),
    Metric("average_holding_bars", "Average holding (bars)", "Tenencia media (barras)", Form(1)),
    Metric("exposure", "Time in the market", "Tiempo en el mercado", PERCENT),
    Metric("turnover", "Sides traded a session", "Puntas por sesión", Form(2)),
)
"""A backtest's metrics, in the order of every table."""

_COSTS: Final = (
    Metric("cost_bps", "Cost (bps a side)", "Costo (pb por lado)", Form(1)),
    Metric("break_even_bps", "Break-even cost (bps a side)", "Costo de equilibrio (pb por lado)", Form(1)),
)
METRICS: Final = {metric.key: metric for metric in (*RESULTS, *_COSTS)}
"""Every metric by its key."""
