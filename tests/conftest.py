import os
from pathlib import Path

import pytest
from hypothesis import settings

# Speed lives in benchmarks: on a busy machine a deadline would make a property test fail by chance.
settings.register_profile("cortex", deadline=None)
settings.load_profile("cortex")
# Nothing here may look for a network; set before any library reads it.
os.environ.update(HF_HUB_OFFLINE="1", LITELLM_LOCAL_MODEL_COST_MAP="True", ANONYMIZED_TELEMETRY="False")


@pytest.fixture(scope="session")
def texts() -> Path:
    """The shipped text packs."""
    from cortex_cli.store.starter import starter_root

    return starter_root() / "datasets" / "texts"
