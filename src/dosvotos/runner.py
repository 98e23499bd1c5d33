"""Kedro's sequential runner, which works on while other processes train."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner, Task

from dosvotos.pipelines.named import BESIDE_TRAINING

_TRAINING: Final = "train_policy"


class OverlappingRunner(SequentialRunner):
    """Runs nodes one after the other, and those tagged `BESIDE_TRAINING` in a thread while training waits.

    The training stays in the main thread, which Ctrl-C meets. Without a training it is Kedro's runner.
    """

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        beside = [node for node in pipeline.nodes if BESIDE_TRAINING in node.tags]
        if not beside or _TRAINING not in {node.name for node in pipeline.nodes}:
            super()._run(pipeline, catalog, hook_manager, run_id)
            return
        self._validate_catalog(catalog)
        self._set_manager_datasets(catalog)
        readers, done = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes)), list[Node]()

        def run(node: Node) -> None:
            Task(node, catalog, self._is_async, hook_manager, run_id).execute()
            done.append(node)

        try:
            for node in pipeline.nodes:
                if node in beside:
                    continue
                ran = [node]
                if node.name == _TRAINING:
                    with ThreadPoolExecutor(1, "beside_training") as thread:
                        others = [thread.submit(run, other) for other in beside]
                        run(node)
                    ran += beside
                    for other in others:
                        other.result()
                else:
                    run(node)
                for one in ran:
                    self._release_datasets(one, catalog, readers, pipeline)
        except Exception:
            self._suggest_resume_scenario(pipeline, done, catalog)
            raise
