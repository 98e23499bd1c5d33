"""How the seeds learned, phase by phase, for a person to judge: one HTML page, and nothing of test on it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
from markupsafe import Markup

from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.records import TrainingRecord
from dosvotos.hashing import short
from dosvotos.reports.pages import (
    BLUE,
    COLOURS,
    INK,
    MISSING,
    figure,
    grid,
    note,
    page,
    plot,
    section,
    table,
    tiles,
    verdict,
)
from dosvotos.training.results import LOSSES, MIN_SEEDS, Validation
from dosvotos.training.results import summarize_returns as spread_of
from dosvotos.training.reward import COMPONENTS
from dosvotos.training.reward import phase_weights as weights_in

Curves = Mapping[int, Sequence[Validation]]
"""Each seed's validations in time order."""

_SHADES: Final = ("rgba(154,167,179,0.10)", "rgba(154,167,179,0.24)")
_COMPONENT_COLOURS: Final = (*COLOURS[:5], "#5a6875", "#b58db6")
_LOSS_NAMES: Final = {
    "loss": ("Loss", "policy loss + value loss x vf_coef + entropy loss x ent_coef"),
    "policy_gradient_loss": ("Policy loss", "below zero while updates find something to gain"),
    "value_loss": ("Value loss", "squared error of the values; jumps where a phase changes the reward"),
    "entropy_loss": ("Entropy loss", "minus the entropy: -1.1 acts at random, 0 never doubts"),
    "approx_kl": ("Approximate KL", "how far an update moves the policy; usual below 0.02"),
    "clip_fraction": ("Clip fraction", "share of samples whose change was clipped; usual below 0.2"),
    "explained_variance": (
        "Explained variance",
        "of the returns by the values; 1 is perfect, 0 or below none",
    ),
}


def training_report(contract: ExperimentContract, record: TrainingRecord, curves: Curves) -> str:
    """Draw the page.

    Parameters
    ----------
    contract : ExperimentContract
    record : TrainingRecord
    curves : mapping of seed to validations

    Returns
    -------
    str
        HTML. Equal inputs give equal pages.
    """
    shown = {seed: curves[seed] for seed in _candidate_last(record)}
    return page(
        f"Training of {contract.experiment_name}",
        f"{contract.contract_id} version {contract.contract_version}, engine {record.engine}: how "
        f"{_seeds(len(record.seeds))} learned on train and did on val. Nothing of test stands here.",
        _headline(record, shown),
        section(
            "Validation",
            plot(
                _course(shown, record.seed, "val_return", percent=True),
                "val-return",
                "Net return on val",
                "By the final costs and financing in every phase. Only the last phase's best policy is kept "
                "(the ring); the shades are the phases.",
            ),
            grid(
                plot(
                    _course(shown, record.seed, "val_exposure", percent=True),
                    "val-exposure",
                    "Exposure on val",
                    "Share of bars with a position.",
                ),
                plot(
                    _course(shown, record.seed, "val_trades"), "val-trades", "Trades on val", "Round trips."
                ),
            ),
        ),
        section("Seeds", _seeds_table(record, shown), note(_how_chosen(record))),
        section(
            "Reward",
            plot(
                _components(shown[record.seed]),
                "reward-components",
                f"What the reward of an episode is made of, seed {record.seed}",
                "Mean of the latest training episodes at each validation, under the weights of its phase; "
                "the line is their sum.",
            ),
        ),
        section("Learning", *_losses(shown, record.seed)),
        section("Phases", _phases_table(contract)),
        section(
            "Settings", grid(_settings(contract, ("training",)), _settings(contract, ("trading", "reward")))
        ),
        section("Lineage", _lineage(contract, record)),
    )


def kept_validation(curve: Sequence[Validation]) -> Validation:
    """The validation whose policy was kept: the first best of the last phase."""
    last = [validation for validation in curve if validation.phase == curve[-1].phase]
    return max(last, key=lambda validation: validation.val_return)


def _candidate_last(record: TrainingRecord) -> list[int]:
    """The candidate's line lies above the others."""
    return sorted((seed.seed for seed in record.seeds), key=lambda seed: seed == record.seed)


def _headline(record: TrainingRecord, curves: Curves) -> Markup:
    kept = kept_validation(curves[record.seed])
    returns = [seed.best_val_reward for seed in record.seeds]
    spread = spread_of(returns)
    figures: dict[str, object] = {"candidate's net return on val": f"{record.best_val_reward:+.2%}"}
    if spread.deviation is not None:
        figures |= {
            "mean of the seeds": f"{spread.mean:+.2%}",
            "standard deviation": f"{spread.deviation:.2%}",
            "worst": f"{spread.worst:+.2%}",
        }
    figures |= {
        "seed of the candidate": record.seed,
        "trades on val": f"{kept.val_trades:,}",
        "exposure on val": f"{kept.val_exposure:.0%}",
        "steps of the candidate": f"{record.timesteps:,}",
        "seconds of training": f"{record.training_duration_seconds:,.0f}",
    }
    return Markup("{}{}").format(_said(returns), tiles(figures))


def _said(returns: Sequence[float]) -> Markup:
    n, n_positive = len(returns), sum(value > 0 for value in returns)
    if n == 1:
        return verdict(
            f"The seed ends {'above' if n_positive else 'not above'} zero on val.", n_positive == 1
        )
    counts = "" if n >= MIN_SEEDS else f"; from {MIN_SEEDS} seeds on their share counts in the first vote"
    return verdict(f"{n_positive} of {n} seeds end above zero on val{counts}.", n_positive == n)


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _course(curves: Curves, candidate: int, name: str, percent: bool = False) -> Any:
    drawn = figure()
    _shade(drawn, curves)
    for place, (seed, curve) in enumerate(curves.items()):
        own = seed == candidate
        drawn.add_scatter(
            x=[validation.timesteps for validation in curve],
            y=[getattr(validation, name) for validation in curve],
            name=f"seed {seed}" + (", candidate" if own and len(curves) > 1 else ""),
            mode="lines+markers",
            marker={"size": 5},
            line=_line(place, own),
        )
    kept = kept_validation(curves[candidate])
    drawn.add_scatter(
        x=[kept.timesteps],
        y=[getattr(kept, name)],
        name="kept policy",
        mode="markers",
        marker={"size": 15, "symbol": "circle-open", "color": INK, "line": {"width": 2}},
    )
    drawn.update_xaxes(title="steps")
    drawn.update_yaxes(tickformat=".0%" if percent else ",d", rangemode="tozero")
    return drawn


def _line(place: int, own: bool) -> dict[str, Any]:
    others = [colour for colour in (*COLOURS[1:], *_COMPONENT_COLOURS[5:]) if colour != BLUE]
    return {"color": BLUE, "width": 3} if own else {"color": others[place % len(others)], "width": 1.3}


def _shade(drawn: Any, curves: Curves) -> None:
    """The phases behind the lines, each to its longest seed's end."""
    longest = max(curves.values(), key=lambda curve: curve[-1].timesteps)
    start = 0
    for place, phase in enumerate(dict.fromkeys(validation.phase for validation in longest)):
        end = max(validation.timesteps for validation in longest if validation.phase == phase)
        drawn.add_vrect(
            x0=start,
            x1=end,
            fillcolor=_SHADES[place % 2],
            line_width=0,
            layer="below",
            annotation_text=phase,
            annotation_position="top left",
            annotation_font_color="#5a6875",
        )
        start = end


def _seeds_table(record: TrainingRecord, curves: Curves) -> Markup:
    rows = []
    for seed in record.seeds:
        kept = kept_validation(curves[seed.seed])
        rows.append(
            {
                "seed": seed.seed,
                "": "candidate" if seed.seed == record.seed else "",
                "best net return on val": seed.best_val_reward,
                "at step": kept.timesteps,
                "exposure": kept.val_exposure,
                "trades": kept.val_trades,
                "best episode reward": seed.best_reward,
                "steps": seed.timesteps,
                "seconds": seed.duration_seconds,
                "model hash": short(seed.model_hash),
            }
        )
    formats = {
        "seed": "d",
        "best net return on val": "+.2%",
        "exposure": ".0%",
        "best episode reward": ",.2f",
        "seconds": ",.1f",
    }
    return table(pd.DataFrame(rows), formats)


def _how_chosen(record: TrainingRecord) -> str:
    if len(record.seeds) == 1:
        return "One seed says nothing about the others: five or more show how much of the result is chance."
    spread = spread_of([seed.best_val_reward for seed in record.seeds])
    return (
        f"Mean {spread.mean:+.2%}, standard deviation {spread.deviation:.2%}, worst {spread.worst:+.2%}. The "
        "candidate is the best on val, chosen before test was opened; as the best of several its return "
        "there flatters it."
    )


def _components(curve: Sequence[Validation]) -> Any:
    drawn = figure(360)
    _shade(drawn, {0: curve})
    known = [validation for validation in curve if validation.reward_components]
    steps = [validation.timesteps for validation in known]
    for name, colour in zip(COMPONENTS, _COMPONENT_COLOURS, strict=True):
        values = [(validation.reward_components or {}).get(name, 0.0) for validation in known]
        if any(values):
            drawn.add_bar(x=steps, y=values, name=name.replace("_", " "), marker_color=colour)
    drawn.add_scatter(
        x=steps,
        y=[validation.episode_reward for validation in known],
        name="reward",
        mode="lines+markers",
        line={"color": INK, "width": 2},
    )
    drawn.update_layout(barmode="relative")
    drawn.update_xaxes(title="steps")
    return drawn


def _losses(curves: Curves, candidate: int) -> list[str]:
    plots = []
    for name in LOSSES:
        drawn = figure(240)
        _shade(drawn, curves)
        for place, (seed, curve) in enumerate(curves.items()):
            known = [validation for validation in curve if name in validation.losses]
            drawn.add_scatter(
                x=[validation.timesteps for validation in known],
                y=[validation.losses[name] for validation in known],
                name=f"seed {seed}",
                mode="lines",
                line=_line(place, seed == candidate),
            )
        drawn.update_layout(showlegend=False)
        plots.append(plot(drawn, f"losses-{name}", *_LOSS_NAMES[name]))
    return [
        note("Means over the updates since the validation before; the thick line is the candidate."),
        grid(*plots),
    ]


def _phases_table(contract: ExperimentContract) -> Markup:
    parameters = contract.parameters
    rows = []
    for phase in parameters.curriculum.phases:
        weights = weights_in(phase, parameters.reward)._asdict()
        rows.append({"phase": phase.name, "steps": phase.timesteps, **_words(weights)})
    return table(pd.DataFrame(rows))


def _settings(contract: ExperimentContract, sections: tuple[str, ...]) -> Markup:
    chosen = {name: contract.frozen_config[name] for name in sections}
    flat = {name: ", ".join(map(str, v)) if isinstance(v, list) else v for name, v in flatten(chosen).items()}
    rows = [{"parameter": name, "value": str(value)} for name, value in flat.items()]
    return table(pd.DataFrame(rows), right=("value",))


def _lineage(contract: ExperimentContract, record: TrainingRecord) -> Markup:
    facts = {
        "model id": record.model_id,
        "model hash": record.model_hash,
        "manifest hash": record.manifest_hash,
        "dataset hash": record.dataset_hash,
        "config hash": record.config_hash,
        "reward config hash": record.reward_config_hash,
        "feature order hash": contract.feature_order_hash,
        "engine": record.engine,
        "torch threads": record.torch_threads,
        "BLAS threads": record.blas_threads,
        "trained by": record.trained_by,
        "data as of": f"{contract.data_as_of:%Y-%m-%d %H:%M} UTC",
        "MLflow run": record.mlflow_run_id,
    }
    rows = [{"": name, " ": MISSING if value is None else str(value)} for name, value in facts.items()]
    return table(pd.DataFrame(rows))


def _words(names: Mapping[str, float]) -> dict[str, float]:
    return {name.replace("_", " "): value for name, value in names.items()}
