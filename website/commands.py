"""The reference of the commands, from click's own objects."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

# What Markdown would take for its own.
_MARKUP = re.compile(r"[*_`<|\\]")
NAMES = ("stage-in", "cdse-token")
FUNCTIONS = ("get_asset_href", "download_and_extract_file")


def write(root: Path) -> str:
    """Return the page.

    Args:
        root: of the repository.
    """
    from app.app import main as stage_in
    from stage_in.login import main as cdse_token

    commands = dict(zip(NAMES, (stage_in, cdse_token), strict=True))
    return "\n".join(
        [
            "# Commands",
            "",
            "Written from the commands themselves. Both tell the same with `--help`, and end with",
            "the [exit codes](environment.md) of the tool.",
            *(line for name, command in commands.items() for line in _describe(name, command)),
            "",
            "## In Python",
            "",
            "What `app.app` has besides, for code that was written for a stage-in of these names:",
            *(line for function in FUNCTIONS for line in _document(function)),
        ]
    )


def _describe(name: str, command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "")
    if name == "stage-in":
        text += ", as `python -m app.app` does."
    return [
        "",
        f"## `{name}`",
        "",
        text,
        "",
        "```text",
        f"{name} [OPTIONS]",
        "```",
        "",
        *tabulate(command, name),
    ]


def _document(function: str) -> list[str]:
    from stage_in import cli as app

    called = getattr(app, function)
    head = f"{function}{inspect.signature(called)}".replace("'", "")
    text = inspect.getdoc(called) or ""
    return ["", "```python", head, "```", "", *_list_sections(text)]


def _list_sections(text: str) -> list[str]:
    """Return a docstring with its sections as lists."""
    prose, *sections = re.split(r"\n\n(?=(?:Args|Returns|Raises):\n)", text)
    lines = prose.splitlines()
    for section in sections:
        title, _, body = section.partition(":\n")
        entries = re.split(r"\n(?=    \S)", f"\n{body}")
        lines += ["", f"{title}:", "", *(f"- {' '.join(entry.split())}" for entry in entries[1:])]
    return lines


def tabulate(command: click.Command, name: str) -> list[str]:
    """Return a table of the options of a command, in their order.

    Args:
        command: whose.
        name: what the anchors of its options begin with.
    """
    context = click.Context(command)
    lines = ["| option | meaning | default |", "|---|---|---|"]
    for option in command.get_params(context):
        if isinstance(option, click.Option):
            lines.append(
                f"| {_call(option, context, name)} | {_explain(option)} | {_default(option)} |"
            )
    return lines


def _call(option: click.Option, context: click.Context, name: str) -> str:
    takes = "" if option.is_flag else f" {option.make_metavar(context)}"
    anchor = f"{name}{option.opts[0].removeprefix('-')}"
    return f'<span id="{anchor}"></span>`{option.opts[0]}{takes}`'


def _explain(option: click.Option) -> str:
    text = (option.help or "").partition("  [default:")[0]
    text = _MARKUP.sub(r"\\\g<0>", text).rstrip(".")
    if isinstance(option.type, click.Choice):
        text += f"; one of {', '.join(f'`{choice}`' for choice in option.type.choices)}"
    elif isinstance(option.type, click.IntRange) and option.type.max is not None:
        text += f"; {option.type.min} to {option.type.max}"
    if option.envvar:
        text += f"; or `{option.envvar}`"
    return text


def _default(option: click.Option) -> str:
    if option.required:
        return "**required**"
    if "[default: all]" in (option.help or ""):
        return "all"
    if (
        option.is_flag
        or option.default is None
        or not isinstance(option.default, str | int | float)
    ):
        return ""
    return f"`{option.default}`"
