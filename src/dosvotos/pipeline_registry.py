"""The six pipelines, singly, and ``__default__``: L0 to the promotion proposal."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines import backtest, data_acquisition, dataset, inference, promotion, training


def register_pipelines() -> dict[str, Pipeline]:
    """Name the pipelines as users type them; ``lineage`` is all six in one picture, for kedro-viz."""
    pipelines = {
        "data_acquisition": data_acquisition.create_pipeline(),
        "dataset": dataset.create_pipeline(),
        "training": training.create_pipeline(),
        "backtest": backtest.create_pipeline(),
        "promotion": promotion.create_pipeline(),
        "inference": inference.create_pipeline(),
    }
    to_the_proposal = [pipeline for name, pipeline in pipelines.items() if name != "inference"]
    return {
        **pipelines,
        "__default__": sum(to_the_proposal, Pipeline([])),
        "lineage": sum(pipelines.values(), Pipeline([])),
    }
