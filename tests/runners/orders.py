"""Job orders that hand the tool, in its container, more variables than the token."""

import json
from pathlib import Path
from typing import Any


def write_order(
    folder: Path, variables: dict[str, str], certificates: Path | None = None, **inputs: Any
) -> Path:
    """Write a job order for stage-in.cwl or a workflow around it.

    `cwl:requirements` would be for the outermost process, and lose to the tool's own where that is
    a step. Overrides are for the tool, wherever it is; they replace its own, hence the token.

    Args:
        folder: where the job order goes.
        variables: for the tool.
        certificates: a file of them, for the tool to see and to trust.
        inputs: the job order's.
    """
    variables = {"CDSE_ACCESS_TOKEN": "$(inputs.access_token)", **variables}
    requirements: dict[str, Any] = {"EnvVarRequirement": {"envDef": variables}}
    if certificates:
        variables["REQUESTS_CA_BUNDLE"] = f"$(runtime.outdir)/{certificates.name}"
        file = {"class": "File", "location": certificates.as_uri()}
        requirements["InitialWorkDirRequirement"] = {"listing": [file]}
    # Relative to the outermost document: the tool itself, or one of workflows/. Without effect is
    # the one that fits nothing.
    keys = ("stage-in.cwl#stage-in", "../stage-in.cwl#stage-in")
    overrides = {key: {"requirements": requirements} for key in keys}
    params = folder / "params.yml"
    params.write_text(json.dumps({**inputs, "cwltool:overrides": overrides}))
    params.chmod(0o600)
    return params
