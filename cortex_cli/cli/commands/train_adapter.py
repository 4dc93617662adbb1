"""The adapter part of `cortex train`: the plan, the training, the search, the forecast and the specialists as a user sees them."""

from typing import TYPE_CHECKING, Any

from cortex_cli.cli.context import settings
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.cli.progress import Steps, tell_progress

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.domain.manifests import Variant
    from cortex_cli.pipeline.gating import Gates
    from cortex_cli.pipeline.job import Job, Means
    from cortex_cli.pipeline.lessons import Estimate
    from cortex_cli.pipeline.opportunities import Opportunity
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.recipes import Recipe
    from cortex_cli.pipeline.searching import Searched
    from cortex_cli.pipeline.specialising import Contest, Specialised
    from cortex_cli.pipeline.training import Trained, Withheld
    from cortex_cli.train.planning import Outlook
    from cortex_cli.train.prediction import Forecast

__all__ = ["train_adapter"]


def train_adapter(place: "Place", recipe: "Recipe", name: str, *, dry_run: bool, fresh: bool, as_json: bool) -> None:
    """Plan or train the `[train]` table of *recipe* and render what came of it."""
    if dry_run:
        _plan(place, recipe, name, as_json=as_json)
    elif recipe.train is not None and recipe.train.per is not None:
        _specialise(place, recipe, name, as_json=as_json)
    else:
        _train(place, recipe, name, fresh=fresh, as_json=as_json)


def _plan(place: "Place", recipe: "Recipe", name: str, *, as_json: bool) -> None:
    from cortex_cli.pipeline.specialising import find_domains
    from cortex_cli.pipeline.training import forecast_needs, open_job

    snapshot = place.registry.snapshot()
    job = open_job(place, snapshot, recipe, name=name)
    domains = find_domains(place, job) if job.spec.per else []
    lesson = _preview(place, job) if job.spec.objective == "distil" else None
    steps, outlook = Steps(), None
    # What is done needs nothing; and a teacher is not asked for a plan, so its texts cannot be counted.
    if not job.step.done and lesson is None:
        with steps.step(f"plan {name}"):
            outlook = forecast_needs(place, job, _means(steps))
    data = {"plan": job.step, "outlook": outlook, "teacher": lesson, "opportunities": domains}
    emit("train", data, lambda console: _show_plan(console, job, outlook, lesson, domains), as_json=as_json)


def _preview(place: "Place", job: "Job") -> "Estimate":
    from cortex_cli.pipeline.distilling import preview
    from cortex_cli.pipeline.lessons import plan_lesson

    return preview(place, plan_lesson(place.registry.snapshot(), job.spec, job.dataset, job.recipe.curate))


def _train(place: "Place", recipe: "Recipe", name: str, *, fresh: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.training import Withheld, run_training

    steps = Steps()
    with steps.step(f"train {name}"):
        found = run_training(place, recipe, name=name, fresh=fresh, means=_means(steps))
    if isinstance(found, Withheld):
        withheld = {"adapter": None, "variant": "", "reason": found.reason, "forecast": found.forecast}
        emit("train", withheld, lambda console: _show_withheld(console, found), as_json=as_json)
        return
    for warning in found.warnings:
        say(f"warning: {warning}")
    gates, variant = _register(place, recipe, found, steps)
    data = {
        "adapter": found.adapter,
        "variant": variant.id if variant else "",
        "commit": found.commit,
        "skipped": found.skipped,
        "left_out": found.counts,
        "forecast": found.forecast,
        "search": found.searched,
        "gates": gates.gates if gates else (),
        "warnings": found.warnings,
    }
    emit("train", data, lambda console: _show_adapter(console, found, variant, gates), as_json=as_json)


def _register(
    place: "Place", recipe: "Recipe", trained: "Trained", steps: Steps
) -> "tuple[Gates | None, Variant | None]":
    """Check the gates of the recipe, if it has any, and register what passes as a challenger."""
    from cortex_cli.pipeline.gating import check_candidate, record_gates
    from cortex_cli.pipeline.training import find_challenger, register_challenger

    if trained.adapter.objective == "mntp":
        return None, None  # an encoder answers nothing, so it challenges nobody
    gates = None
    known = find_challenger(place, trained.adapter)
    if known is None and recipe.evaluate is not None:
        with steps.step(f"evaluate {trained.adapter.id}"):
            gates = check_candidate(place, trained.adapter.id, recipe.evaluate)
            record_gates(place, gates)
        if not gates.passed:
            return gates, None
    return gates, known or register_challenger(place, trained.adapter.agent, trained.adapter)


def _specialise(place: "Place", recipe: "Recipe", name: str, *, as_json: bool) -> None:
    from cortex_cli.pipeline.specialising import train_specialists
    from cortex_cli.pipeline.training import register_challenger

    steps = Steps()
    with steps.step(f"train {name}"):
        found = train_specialists(place, recipe, name=name, means=_means(steps))
    variants = [register_challenger(place, adapter.agent, adapter).id for adapter in found.adapters]
    data = {"contests": found.contests, "adapters": found.adapters, "variants": variants}
    emit("train", data, lambda console: _show_contests(console, found, variants), as_json=as_json)


def _means(steps: Steps) -> "Means":
    from cortex_cli.pipeline.job import Means

    def tell(stage: str, text: str) -> None:
        say(f"  {stage}: {text}")

    current = settings()
    return Means(lambda progress: tell_progress(steps, progress), tell, current.machine_price, current.redaction)


def _show_plan(
    console: "Console",
    job: "Job",
    outlook: "Outlook | None",
    lesson: "Estimate | None",
    domains: "list[Opportunity]",
) -> None:
    step = job.step
    console.print(f"{step.stage}({step.target}): " + (f"done already, {step.done}" if step.done else "to do"))
    rows: list[tuple[str, Any]] = [*step.inputs.items(), *((key, f"{value:g}") for key, value in step.estimate.items())]
    print_table(console, ("INPUT", "VALUE"), rows)
    if outlook is not None:
        console.print()
        print_table(console, ("NEEDS", "VALUE"), _needs(outlook))
        for fault in outlook.faults:
            console.print(f"does not fit: {fault}")
        for advice in outlook.advice:
            console.print(f"change: {advice}")
    if lesson is not None:
        console.print(
            f"teacher: {lesson.calls - lesson.kept:,} of {lesson.calls:,} calls to make, "
            f"about ${lesson.dollars:.2f}, at most ${lesson.most:.2f}"
        )
    if domains:
        console.print()
        print_table(console, ("DOMAIN", "TASKS", "QUALITY", "EXAMPLES", "PRIORITY", "WHY NOT"), map(_row, domains))


def _needs(outlook: "Outlook") -> list[tuple[str, str]]:
    machine = outlook.machine
    return [
        ("examples, tokens, steps", f"{outlook.examples:,}, {outlook.tokens:,}, {outlook.steps:,}"),
        ("parameters, trained", f"{outlook.parameters:,}, {outlook.trained:,}"),
        *((f"memory: {name}", _size(size)) for name, size in outlook.memory.items()),
        ("memory in all", f"{_size(outlook.peak)} of {_size(machine.memory)} free"),
        (
            "time",
            f"{outlook.seconds:,.0f} s after {outlook.start:,.0f} s to start, with {machine.free_cores} of {machine.cores} cores",
        ),
        ("disk", f"{_size(outlook.disk)} of {_size(machine.disk)} free"),
        ("cost", f"${outlook.cost:.4f}"),
    ]


def _row(found: "Opportunity") -> tuple[object, ...]:
    numbers = found.task_count, f"{found.avg_quality:.2f}", found.training_examples
    return (found.domain, *numbers, "-" if found.reason else found.priority, found.reason or "-")


def _show_adapter(console: "Console", trained: "Trained", variant: "Variant | None", gates: "Gates | None") -> None:
    adapter = trained.adapter
    if trained.searched:
        _show_search(console, trained.searched)
    if trained.forecast:
        _show_forecast(console, trained.forecast)
    if trained.skipped:
        console.print(f"nothing to do: {adapter.id} was trained from this dataset, base and recipe")
    else:
        console.print(f"adapter {adapter.id}: {adapter.examples} examples of {adapter.dataset}, {adapter.steps} steps")
        console.print(f"loss {adapter.final_loss:.3f}, {adapter.tokens:,} tokens in {adapter.seconds:.0f} s")
        if adapter.planned:
            console.print(_compared(adapter.planned, adapter.measured))
        left_out = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in trained.counts.items() if count)
        if left_out:
            console.print(f"left out: {left_out}")
        if adapter.figures:
            print_table(console, ("FIGURE", "VALUE"), [(name, f"{value:g}") for name, value in adapter.figures.items()])
    for gate in gates.gates if gates else ():
        console.print(f"gate {gate.name}: {'passed' if gate.opens else 'REFUSED'}: {gate.reason}")
    if adapter.objective == "mntp":
        console.print("an encoder of texts: it answers nothing, so it is no challenger")
        return
    if variant is None:
        console.print("not registered as a challenger: a gate says no")
        say(f"  next: cortex evaluate {adapter.id} --recipe {adapter.recipe}")
        return
    console.print(f"variant {variant.id}")
    say(f"  next: cortex evaluate {variant.id} --suite {adapter.dataset.partition('/')[0]}:test")


def _compared(planned: dict[str, float], measured: dict[str, float]) -> str:
    memory = f"{_size(measured['memory'])} of memory ({_size(planned['memory'])} planned)"
    return f"{memory}, {measured['seconds']:.0f} s of training ({planned['seconds']:.0f} s planned)"


def _show_search(console: "Console", searched: "Searched") -> None:
    rows = []
    for trial in searched.found.tried:
        choice = trial.choice
        settings_ = (
            (choice.base, choice.rank, choice.learning_rate, choice.epochs, choice.mixture) if choice else ("-",) * 5
        )
        score = "-" if trial.score is None else f"{trial.score:.4g}"
        rows.append((trial.number, trial.state, score, *settings_, trial.reason or "-"))
    headers = ("TRIAL", "STATE", "SCORE", "BASE", "RANK", "RATE", "EPOCHS", "MIXTURE", "WHY")
    print_table(console, headers, rows)
    console.print(
        f"search ended by {searched.found.ended}, {searched.found.seconds:,.0f} s, ${searched.found.cost:.2f}"
    )
    console.print(f"winner's recipe {searched.recipe}")


def _show_forecast(console: "Console", found: "Forecast") -> None:
    print_table(console, ("EXAMPLES", "RIGHT"), [(point.examples, f"{point.success:.1%}") for point in found.points])
    console.print(f"forecast: {found.sentence}")


def _show_withheld(console: "Console", found: "Withheld") -> None:
    if found.forecast:
        _show_forecast(console, found.forecast)
    else:
        console.print(f"nothing to do: {found.reason}")
    say("  nothing was trained")


def _show_contests(console: "Console", found: "Specialised", variants: list[str]) -> None:
    headers = ("SPECIALIST", "TASKS", "QUALITY", "EXAMPLES", "CHAMPION", "SPECIALIST", "GAIN, 95 %", "REGISTERED")
    print_table(console, headers, map(_contest_row, found.contests))
    for contest in found.contests:
        if contest.reason:
            console.print(f"{contest.name}: {contest.reason}")
    for variant in variants:
        console.print(f"variant {variant}")


def _contest_row(contest: "Contest") -> tuple[object, ...]:
    one, compared = contest.opportunity, contest.comparison
    scores: tuple[object, ...] = ("-", "-", "-")
    if compared:
        gain = f"{compared.difference:+.1%} ({compared.low:+.1%} to {compared.high:+.1%})"
        scores = (f"{compared.first:.1%}", f"{compared.second:.1%}", gain)
    numbers = one.task_count, f"{one.avg_quality:.2f}", one.training_examples
    return (contest.name, *numbers, *scores, "yes" if contest.won else "no")


def _size(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
