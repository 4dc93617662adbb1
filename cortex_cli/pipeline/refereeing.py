"""How far a model as judge agrees with the people of this workspace, on the answers that they put above others."""

from cortex_cli.curate.versions import read_examples
from cortex_cli.evaluate.referee import Agreement, check_referee
from cortex_cli.evaluate.suites import Suite
from cortex_cli.pipeline.contenders import Contender
from cortex_cli.pipeline.evaluating import open_panel

__all__ = ["measure_referee"]


def measure_referee(contender: Contender, suites: tuple[Suite, ...]) -> Agreement | None:
    """Measure the first model that judges one of *suites* on the corrections of the agent's newest dataset version.

    None where no model judges, or where no answer was ever put above another one. The sealed part is not read.
    """
    asked = [
        suite for suite in suites if suite.spec and not isinstance(suite.spec.judge, str) and suite.spec.judge.model
    ]
    versions = [each for each in contender.snapshot.datasets() if each.agent == contender.variant.agent]
    live = [each for each in versions if each.state == "live"]
    if not asked or not live:
        return None
    panel = open_panel(contender.place, contender.snapshot, contender, asked[0])
    newest = max(live, key=lambda each: (each.created, each.version))
    return check_referee(panel.referee, read_examples(contender.place.objects, newest, "")) if panel.referee else None
