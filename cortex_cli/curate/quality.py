"""The quality rule: which answers that nobody judged are good enough to learn from, by limits alone."""

from dataclasses import dataclass

from cortex_cli.curate.spec import QualitySpec
from cortex_cli.domain.interactions import Interaction

__all__ = ["QualityRule", "map_quality", "resolve_quality"]


@dataclass(frozen=True, slots=True)
class QualityRule:
    """Limits with nothing left open; *min_quality* is on [0, 1], None asks for none."""

    success: bool = False
    output: bool = False
    no_error: bool = False
    max_retries: int | None = None
    min_quality: float | None = None
    min_seconds: float = 0.0
    max_seconds: float = 0.0
    lenient: bool = False

    @property
    def active(self) -> bool:
        """Return whether any limit is set; without one the rule trusts nothing by itself."""
        return self != QualityRule(lenient=self.lenient)

    def refuse(self, record: Interaction) -> str:
        """Return the reason why *record* is not good enough, '' when it is; the first that applies."""
        return self._refuse_result(record) or self._refuse_quality(record) or self._refuse_duration(record)

    def _refuse_result(self, record: Interaction) -> str:
        if self.success and record.outcome != "success":
            return "not_successful"
        if self.output and not record.output.strip():
            return "no_output"
        if self.no_error and (record.error or record.outcome == "error"):
            return "has_error"
        # Most producers never tell of retries: what is not known is none.
        return "retried" if self.max_retries is not None and (record.retries or 0) > self.max_retries else ""

    def _refuse_quality(self, record: Interaction) -> str:
        if self.min_quality is None:
            return ""
        if record.quality is None:
            return "" if self.lenient else "quality_unknown"
        quality = map_quality(record)
        if quality is None:
            return "no_scale"
        # 4.0 of 1 to 5 must pass a limit of 4.0, whatever the two divisions round to.
        return "low_quality" if quality < self.min_quality - 1e-9 else ""

    def _refuse_duration(self, record: Interaction) -> str:
        if not self.min_seconds and not self.max_seconds:
            return ""
        if record.latency is None:
            return "" if self.lenient else "duration_unknown"
        if record.latency < self.min_seconds:
            return "too_fast"
        return "too_slow" if self.max_seconds and record.latency > self.max_seconds else ""


def resolve_quality(spec: QualitySpec) -> QualityRule:
    """Return the rule that *spec* means: its own limits, and for the others those of its preset.

    Preset `seeds`: success, non-empty output, no error, no retry, quality at least 4.0 on 1 to 5, 10 to 600 seconds.
    """
    seeds = spec.preset == "seeds"
    least = _pick(spec.min_quality, spec.low + 0.75 * (spec.high - spec.low) if seeds else None)
    return QualityRule(
        success=bool(_pick(spec.success, seeds)),
        output=bool(_pick(spec.output, seeds)),
        no_error=bool(_pick(spec.no_error, seeds)),
        max_retries=spec.max_retries if spec.max_retries is not None else (0 if seeds else None),
        min_quality=None if least is None else (least - spec.low) / (spec.high - spec.low),
        min_seconds=_pick(spec.min_seconds, 10.0 if seeds else 0.0) or 0.0,
        max_seconds=_pick(spec.max_seconds, 600.0 if seeds else 0.0) or 0.0,
        lenient=spec.unknown == "pass",
    )


def map_quality(record: Interaction) -> float | None:
    """Return the quality of *record* on [0, 1]; None without a quality, or without a scale to read it on."""
    scale = record.quality_scale
    if record.quality is None or scale is None or not scale.low < scale.high:
        return None
    return (record.quality - scale.low) / (scale.high - scale.low)


def _pick(told: float | None, preset: float | None) -> float | None:
    return preset if told is None else told
