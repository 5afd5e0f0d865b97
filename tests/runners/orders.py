"""Job orders that set environment variables of the tool in its container."""

import json
from pathlib import Path
from typing import Any


def write_order(
    folder: Path, variables: dict[str, str], certificates: Path | None = None, **inputs: Any
) -> Path:
    """Write a job order for stage-in.cwl or a workflow around it.

    `cwl:requirements` would apply to the outermost process only, and the tool's own requirements
    win where the tool is a step. Overrides apply to the tool wherever it is. They replace its own
    requirements, so that the token's variable must be repeated.

    Args:
        folder: The folder of the job order.
        variables: Variables for the tool.
        certificates: A file of certificates that the tool is to trust.
        inputs: The inputs of the job order.
    """
    variables = {"CDSE_ACCESS_TOKEN": "$(inputs.access_token)", **variables}
    requirements: dict[str, Any] = {"EnvVarRequirement": {"envDef": variables}}
    if certificates:
        variables["REQUESTS_CA_BUNDLE"] = f"$(runtime.outdir)/{certificates.name}"
        file = {"class": "File", "location": certificates.as_uri()}
        requirements["InitialWorkDirRequirement"] = {"listing": [file]}
    # Keys are relative to the outermost document: the tool itself, or a file in workflows/. A key
    # that matches nothing has no effect.
    keys = ("stage-in.cwl#stage-in", "../stage-in.cwl#stage-in")
    overrides = {key: {"requirements": requirements} for key in keys}
    params = folder / "params.yml"
    params.write_text(json.dumps({**inputs, "cwltool:overrides": overrides}))
    params.chmod(0o600)
    return params
