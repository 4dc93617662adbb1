"""One file per format, each with a `FORMAT`: how to recognise it, and how its values become records.

In: decoded JSON objects with their place. Out: interactions and feedback, or a reason why not.
A format never reads files and never guesses what is missing.
"""

__all__ = [
    "alpaca",
    "claude_code",
    "claude_code_lines",
    "codex",
    "cortex",
    "langfuse",
    "langfuse_rows",
    "langfuse_scores",
    "litellm",
    "llm",
    "llm_tables",
    "mlflow",
    "mlflow_assessments",
    "mlflow_spans",
    "nl2bash",
    "openai_batch",
    "openai_chat",
    "openai_responses",
    "openinference",
    "otel",
    "outcomes",
    "preference",
    "routing",
    "sharegpt",
    "tensorzero",
    "tensorzero_feedback",
    "tensorzero_rows",
    "trl",
]
