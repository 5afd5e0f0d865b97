"""Job orders that hand the tool, in its container, more variables than the token."""

import json
from pathlib import Path
from typing import Any

from tests.test_cwl import CWL


def write_order(folder: Path, variables: dict[str, str], **inputs: Any) -> Path:
    """Write a job order for stage-in.cwl or a workflow around it.

    `cwl:requirements` would be for the outermost process, and lose to the tool's own where that is
    a step. Overrides are for the tool, wherever it is; they replace its own, hence the token.
    """
    variables = {"CDSE_ACCESS_TOKEN": "$(inputs.access_token)", **variables}
    requirements = {"EnvVarRequirement": {"envDef": variables}}
    overrides = {f"{CWL.as_uri()}#stage-in": {"requirements": requirements}}
    params = folder / "params.yml"
    params.write_text(json.dumps({**inputs, "cwltool:overrides": overrides}))
    params.chmod(0o600)
    return params
