"""How the seeds learned, phase by phase, for a person to judge: one HTML page, and nothing of test on it."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.parameters import Selection
from dosvotos.contracts.records import LinearFit, TrainingRecord
from dosvotos.formats import RATIO, Form
from dosvotos.hashing import short
from dosvotos.reports.bilingual import BOTH, Text, Texts
from dosvotos.reports.figures import BLUE, COLOURS, INK, SMALL_PRINT, figure, line
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Table, rows_table, table
from dosvotos.reports.words import value_in_words
from dosvotos.training.results import (
    LOSSES,
    MIN_SEEDS,
    TrainingMetrics,
    Validation,
    summarize_returns,
    validation_score,
)
from dosvotos.training.reward import COMPONENTS, phase_weights

Curves = Mapping[int, Sequence[Validation]]
"""Each seed's validations in time order."""
Shading = dict[str, Any]
"""The part of a figure's layout that shades the phases behind its lines."""

_SHADES: Final = ("rgba(154,167,179,0.10)", "rgba(154,167,179,0.24)")
_COMPONENT_COLOURS: Final = (*COLOURS[:5], SMALL_PRINT, "#b58db6")
_RETURN: Final = Form(2, percent=True, signed=True)
_SHARE: Final = Form(0, percent=True)
_T: Final = Texts("training")


def render_training(contract: ExperimentContract, record: TrainingRecord, curves: Curves) -> str:
    """Draw the page.

    Parameters
    ----------
    contract : ExperimentContract
    record : TrainingRecord
    curves : mapping of seed to validations
    """
    in_order = sorted((seed.seed for seed in record.seeds), key=lambda seed: seed == record.seed)
    shown = {seed: curves[seed] for seed in in_order}  # the candidate's line lies above the others
    returns = [seed.best_val_reward for seed in record.seeds]
    training = contract.parameters.training
    kept = {seed: kept_validation(curve, training.selection) for seed, curve in shown.items()}
    of_candidate, shading = kept[record.seed], _shading(shown)
    return render(
        "training",
        t=_T,
        contract=contract,
        record=record,
        n_seeds=len(returns),
        n_positive=sum(value > 0 for value in returns),
        MIN_SEEDS=MIN_SEEDS,
        spread=summarize_returns(returns),
        kept=of_candidate,
        training=training,
        val_return=_over_time(shading, shown, record.seed, of_candidate, "val_return", ".0%"),
        val_sharpe=_over_time(shading, shown, record.seed, of_candidate, "val_sharpe", ".1f"),
        val_exposure=_over_time(shading, shown, record.seed, of_candidate, "val_exposure", ".0%"),
        val_trades=_over_time(shading, shown, record.seed, of_candidate, "val_trades", ",d"),
        folds=_folds(record),
        seeds=_seeds(record, kept),
        rewards=_rewards(shown[record.seed]),
        losses={name: _loss(shading, shown, record.seed, name) for name in LOSSES},
        phases=_phases(contract),
        rival=_linear_rival(record.linear_rival) if record.linear_rival else None,
        settings=[_settings(contract, ("training",)), _settings(contract, ("trading", "reward"))],
        lineage=_lineage(contract, record),
    )


def draw_val_returns(metrics: TrainingMetrics) -> Any:
    """Draw the net return on val over the steps, a line a seed, in English, for kedro-viz."""
    in_order = sorted(metrics.curves, key=lambda seed: seed == metrics.seed)
    shown = {seed: metrics.curves[seed] for seed in in_order}
    drawn = _lines(figure(), shown, metrics.seed, lambda validation: validation.val_return, str)
    return drawn.update_xaxes(title="steps").update_yaxes(title="net return on val", tickformat=".0%")


def kept_validation(curve: Sequence[Validation], selection: Selection) -> Validation:
    """Return the validation whose policy was kept: the first best of the last phase."""
    last = [validation for validation in curve if validation.phase == curve[-1].phase]
    return max(last, key=lambda validation: validation_score(validation, selection))


def _over_time(
    shading: Shading, curves: Curves, candidate: int, kept: Validation, name: str, form: str
) -> Any:
    """Draw a field of every seed's validations over the phases, that of the kept policy marked."""
    drawn = _lines(figure().update_layout(shading), curves, candidate, lambda v: getattr(v, name))
    drawn.update_traces(mode="lines+markers", marker_size=5)
    drawn.add_scatter(
        x=[kept.timesteps], y=[getattr(kept, name)], name=_T("kept").both, mode="markers",
        marker={"size": 15, "symbol": "circle-open", "color": INK, "line": {"width": 2}},
    )  # fmt: skip
    return drawn.update_xaxes(title=_T("steps").both).update_yaxes(tickformat=form, rangemode="tozero")


def _loss(shading: Shading, curves: Curves, candidate: int, name: str) -> Any:
    drawn = _lines(figure(240).update_layout(shading), curves, candidate, lambda v: v.losses.get(name))
    return drawn.update_layout(showlegend=False)


def _lines(
    drawn: Any,
    curves: Curves,
    candidate: int,
    value_of: Callable[[Validation], float | None],
    write: Callable[[Text], str] = attrgetter("both"),
) -> Any:
    """Draw a value of the validations, a line a seed; None is left out."""
    for i, (seed, curve) in enumerate(curves.items()):
        points = [(v.timesteps, value_of(v)) for v in curve if value_of(v) is not None]
        is_candidate = seed == candidate
        drawn.add_scatter(
            x=[steps for steps, _ in points], y=[value for _, value in points], mode="lines",
            name=write(_T("seed_candidate" if is_candidate and len(curves) > 1 else "seed_line", seed=seed)),
            line=_seed_line(i, is_candidate),
        )  # fmt: skip
    return drawn


def _seed_line(i: int, is_candidate: bool) -> dict[str, Any]:
    others = (*COLOURS[1:], *_COMPONENT_COLOURS[5:])
    return line(BLUE, 3) if is_candidate else line(others[i % len(others)], 1.3)


def _shading(curves: Curves) -> Shading:
    """Shade the phases, each to the end of its longest seed, for all figures at once: plotly takes long."""
    drawn = figure()
    longest = max(curves.values(), key=lambda curve: curve[-1].timesteps)
    start = 0
    for i, phase in enumerate(dict.fromkeys(validation.phase for validation in longest)):
        end = max(validation.timesteps for validation in longest if validation.phase == phase)
        drawn.add_vrect(
            x0=start, x1=end, fillcolor=_SHADES[i % 2], line_width=0, layer="below", annotation_text=phase,
            annotation_position="top left", annotation_font={"color": SMALL_PRINT, "size": 10},
        )  # fmt: skip
        start = end
    return {name: drawn.layout[name] for name in ("shapes", "annotations")}


def _seeds(record: TrainingRecord, kept_by_seed: Mapping[int, Validation]) -> Table:
    rows = []
    for seed in record.seeds:
        kept = kept_by_seed[seed.seed]
        rows.append({
            _T("seed"): seed.seed, "": _T("candidate") if seed.seed == record.seed else "",
            _T("column.val_return"): seed.best_val_reward, _T("column.val_sharpe"): kept.val_sharpe,
            _T("column.at_step"): kept.timesteps, _T("column.exposure"): kept.val_exposure,
            _T("column.trades"): kept.val_trades, _T("column.best_reward"): seed.best_reward,
            _T("steps"): seed.timesteps, _T("column.seconds"): seed.duration_seconds,
            _T("column.model_hash"): short(seed.model_hash),
        })  # fmt: skip
    forms = {_T("seed"): Form(0), _T("column.val_return"): _RETURN, _T("column.val_sharpe"): RATIO}
    forms |= {_T("column.exposure"): _SHARE, _T("column.best_reward"): RATIO, _T("column.seconds"): Form(1)}
    return table(rows, forms)


def _folds(record: TrainingRecord) -> Table:
    rows = [
        {
            _T("column.fold"): fold.fold,
            **{split: _period(fold.date_ranges[split]) for split in ("train", "val")},
            _T("seed"): fold.seed, _T("column.val_return"): fold.best_val_reward,
            _T("column.model_hash"): short(fold.model_hash),
        }
        for fold in record.folds
    ]  # fmt: skip
    forms = {_T("column.fold"): Form(0), _T("seed"): Form(0), _T("column.val_return"): _RETURN}
    return table(rows, forms)


def _period(dates: str) -> Text:
    return Text.write(lambda language: value_in_words(dates, language))


def _rewards(curve: Sequence[Validation]) -> Any:
    drawn = figure(360).update_layout(_shading({0: curve}))
    known = [validation for validation in curve if validation.reward_components]
    steps = [validation.timesteps for validation in known]
    for name, colour in zip(COMPONENTS, _COMPONENT_COLOURS, strict=True):
        values = [(validation.reward_components or {}).get(name, 0.0) for validation in known]
        if any(values):
            drawn.add_bar(x=steps, y=values, name=_T(f"component.{name}").both, marker_color=colour)
    rewards = [validation.episode_reward for validation in known]
    drawn.add_scatter(
        x=steps, y=rewards, name=_T("total_reward").both, mode="lines+markers", line=line(INK, 2)
    )
    return drawn.update_layout(barmode="relative").update_xaxes(title=_T("steps").both)


def _linear_rival(fit: LinearFit) -> Table:
    facts = {
        _T("column.val_sharpe"): BOTH.write(fit.val_sharpe, RATIO),
        _T("column.val_return"): BOTH.write(fit.val_return, _RETURN),
        _T("rival.exposure"): BOTH.write(fit.val_exposure, _SHARE),
        _T("rival.trades"): BOTH.number(fit.val_trades, 0),
        _T("rival.penalty"): BOTH.significant(fit.ridge_penalty, "g"),
        _T("rival.threshold"): BOTH.significant(fit.entry_threshold, "g"),
        _T("column.model_hash"): short(fit.model_hash),
    }
    return rows_table(facts.items(), ["", _T("value")], right=[_T("value")])


def _phases(contract: ExperimentContract) -> Table:
    parameters = contract.parameters
    rows = []
    for phase in parameters.curriculum.phases:
        weights = phase_weights(phase, parameters.reward)._asdict()
        words = {_T(f"component.{name}"): weight for name, weight in weights.items()}
        rows.append({_T("phase"): phase.name, _T("steps"): phase.timesteps, **words})
    return table(rows)


def _settings(contract: ExperimentContract, sections: tuple[str, ...]) -> Table:
    flat = flatten({name: contract.frozen_config[name] for name in sections})
    rows = [(name, ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for name, v in flat.items()]
    return rows_table(rows, [_T("parameter"), _T("value")], right=[_T("value")])


def _lineage(contract: ExperimentContract, record: TrainingRecord) -> Table:
    hashes = ("model_hash", "manifest_hash", "dataset_hash", "config_hash", "reward_config_hash")
    facts = {
        "model_id": record.model_id,
        **{name: getattr(record, name) for name in hashes},
        "feature_order_hash": contract.feature_order_hash, "engine": record.engine,
        "torch_threads": record.torch_threads, "blas_threads": record.blas_threads,
        "trained_by": record.trained_by, "data_as_of": f"{BOTH.moment(contract.data_as_of)} UTC",
        "mlflow_run": record.mlflow_run_id,
    }  # fmt: skip
    rows = [(_T(f"lineage.{name}"), None if value is None else str(value)) for name, value in facts.items()]
    return rows_table(rows, ["", _T("value")])
