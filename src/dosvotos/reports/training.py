"""How the seeds learned, phase by phase, for a person to judge: one HTML page, and nothing of test on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.parameters import Selection
from dosvotos.contracts.records import LinearFit, TrainingRecord
from dosvotos.formats import RATIO, Form
from dosvotos.hashing import short
from dosvotos.reports.figures import BLUE, COLOURS, INK, SMALL_PRINT, figure, line
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import EN, Table, rows_table, table
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
_LOSS_NAMES: Final = {
    "loss": ("Loss", "policy loss + value loss x vf_coef + entropy loss x ent_coef"),
    "policy_gradient_loss": ("Policy loss", "below zero while updates find something to gain"),
    "value_loss": ("Value loss", "squared error of the values; jumps where a phase changes the reward"),
    "entropy_loss": ("Entropy loss", "minus the entropy: -1.1 is a random policy, 0 a deterministic one"),
    "approx_kl": ("Approximate KL", "how far an update moves the policy; usual below 0.02"),
    "clip_fraction": ("Clip fraction", "share of samples whose change was clipped; usual below 0.2"),
    "explained_variance": ("Explained variance", "of the returns by the values; 1 is perfect, 0 none"),
}
_RETURN: Final = Form(2, percent=True, signed=True)
_SHARE: Final = Form(0, percent=True)


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
        loss_names=_LOSS_NAMES,
        phases=_phases(contract),
        rival=_linear_rival(record.linear_rival) if record.linear_rival else None,
        settings=[_settings(contract, ("training",)), _settings(contract, ("trading", "reward"))],
        lineage=_lineage(contract, record),
    )


def draw_val_returns(metrics: TrainingMetrics) -> Any:
    """Draw the net return on val over the steps, a line a seed."""
    in_order = sorted(metrics.curves, key=lambda seed: seed == metrics.seed)
    shown = {seed: metrics.curves[seed] for seed in in_order}
    drawn = _lines(figure(), shown, metrics.seed, lambda validation: validation.val_return)
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
        x=[kept.timesteps], y=[getattr(kept, name)], name="kept policy", mode="markers",
        marker={"size": 15, "symbol": "circle-open", "color": INK, "line": {"width": 2}},
    )  # fmt: skip
    return drawn.update_xaxes(title="steps").update_yaxes(tickformat=form, rangemode="tozero")


def _loss(shading: Shading, curves: Curves, candidate: int, name: str) -> Any:
    drawn = _lines(figure(240).update_layout(shading), curves, candidate, lambda v: v.losses.get(name))
    return drawn.update_layout(showlegend=False)


def _lines(drawn: Any, curves: Curves, candidate: int, value_of: Callable[[Validation], float | None]) -> Any:
    """Draw a value of the validations, a line a seed; None is left out."""
    for i, (seed, curve) in enumerate(curves.items()):
        points = [(v.timesteps, value_of(v)) for v in curve if value_of(v) is not None]
        is_candidate = seed == candidate
        drawn.add_scatter(
            x=[steps for steps, _ in points], y=[value for _, value in points], mode="lines",
            name=f"seed {seed}" + (", candidate" if is_candidate and len(curves) > 1 else ""),
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
            "seed": seed.seed, "": "candidate" if seed.seed == record.seed else "",
            "net return on val": seed.best_val_reward, "Sharpe ratio on val": kept.val_sharpe,
            "at step": kept.timesteps, "exposure": kept.val_exposure, "trades": kept.val_trades,
            "best episode reward": seed.best_reward, "steps": seed.timesteps,
            "seconds": seed.duration_seconds, "model hash": short(seed.model_hash),
        })  # fmt: skip
    forms = {"seed": Form(0), "net return on val": _RETURN, "Sharpe ratio on val": RATIO, "exposure": _SHARE}
    return table(rows, forms | {"best episode reward": RATIO, "seconds": Form(1)})


def _folds(record: TrainingRecord) -> Table:
    rows = [
        {
            "fold": fold.fold,
            "train": fold.date_ranges["train"],
            "val": fold.date_ranges["val"],
            "seed": fold.seed,
            "net return on val": fold.best_val_reward,
            "model hash": short(fold.model_hash),
        }
        for fold in record.folds
    ]
    return table(rows, {"fold": Form(0), "seed": Form(0), "net return on val": _RETURN})


def _rewards(curve: Sequence[Validation]) -> Any:
    drawn = figure(360).update_layout(_shading({0: curve}))
    known = [validation for validation in curve if validation.reward_components]
    steps = [validation.timesteps for validation in known]
    for name, colour in zip(COMPONENTS, _COMPONENT_COLOURS, strict=True):
        values = [(validation.reward_components or {}).get(name, 0.0) for validation in known]
        if any(values):
            drawn.add_bar(x=steps, y=values, name=name.replace("_", " "), marker_color=colour)
    rewards = [validation.episode_reward for validation in known]
    drawn.add_scatter(x=steps, y=rewards, name="reward", mode="lines+markers", line=line(INK, 2))
    return drawn.update_layout(barmode="relative").update_xaxes(title="steps")


def _linear_rival(fit: LinearFit) -> Table:
    facts = {
        "Sharpe ratio on val": EN.write(fit.val_sharpe, RATIO),
        "net return on val": EN.write(fit.val_return, _RETURN),
        "exposure on val": EN.write(fit.val_exposure, _SHARE),
        "trades on val": EN.number(fit.val_trades, 0),
        "ridge penalty": f"{fit.ridge_penalty:g}",
        "entry threshold, standard deviations of the forecast": f"{fit.entry_threshold:g}",
        "model hash": short(fit.model_hash),
    }
    return rows_table(facts.items(), ["", "value"], right=["value"])


def _phases(contract: ExperimentContract) -> Table:
    parameters = contract.parameters
    rows = []
    for phase in parameters.curriculum.phases:
        weights = phase_weights(phase, parameters.reward)._asdict()
        words = {name.replace("_", " "): weight for name, weight in weights.items()}
        rows.append({"phase": phase.name, "steps": phase.timesteps, **words})
    return table(rows)


def _settings(contract: ExperimentContract, sections: tuple[str, ...]) -> Table:
    flat = flatten({name: contract.frozen_config[name] for name in sections})
    rows = [(name, ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for name, v in flat.items()]
    return rows_table(rows, ["parameter", "value"], right=["value"])


def _lineage(contract: ExperimentContract, record: TrainingRecord) -> Table:
    hashes = ("model_hash", "manifest_hash", "dataset_hash", "config_hash", "reward_config_hash")
    facts = {
        "model id": record.model_id,
        **{name.replace("_", " "): getattr(record, name) for name in hashes},
        "feature order hash": contract.feature_order_hash, "engine": record.engine,
        "torch threads": record.torch_threads, "BLAS threads": record.blas_threads,
        "trained by": record.trained_by, "data as of": f"{EN.moment(contract.data_as_of)} UTC",
        "MLflow run": record.mlflow_run_id,
    }  # fmt: skip
    rows = [(name, None if value is None else str(value)) for name, value in facts.items()]
    return rows_table(rows, ["", "value"])
