"""The command cdse-token at a terminal and in scripts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from stage_in.transfer.token import Token
from tests.conftest import slow_after
from tests.terminals import run_on_terminal, show
from tests.test_libraries import FOREIGN

CDSE_TOKEN = Path(sys.executable).with_name("cdse-token")


@pytest.mark.parametrize(
    ("answers", "variables", "remedies"),
    slow_after(
        2,
        [
            (
                {"User": "user", "Password": "wrong", "have none)": ""},
                {},
                ["the user that you typed", "the password that you typed", "needs a one-time code"],
            ),
            (
                {"Password": "wrong", "have none)": "123456"},
                {"CDSE_USERNAME": "user"},
                ["CDSE_USERNAME", "the password that you typed", "valid for seconds"],
            ),
            (
                {"User": "user"},
                {"CDSE_PASSWORD": "wrong"},
                ["the user that you typed", "the password in CDSE_PASSWORD"],
            ),
        ],
    ),
)
def test_a_refused_login_names_what_was_typed(
    platform: Sandbox, answers: dict[str, str], variables: dict[str, str], remedies: list[str]
) -> None:
    code, written = run_on_terminal(
        [CDSE_TOKEN],
        400,
        {prompt: f"{answer}\n" for prompt, answer in answers.items()},
        env={"PATH": os.environ["PATH"], **platform.environment, **variables},
    )
    assert code == 77, written
    message = "".join(show(written, 400)).rpartition("cdse-token: ")[2]
    assert "Invalid user credentials" in message
    for remedy in remedies:
        assert remedy in message
    assert ("CDSE_PASSWORD" in message) == ("CDSE_PASSWORD" in variables)


@pytest.mark.parametrize("prompt", ["User", "Password"])
@pytest.mark.parametrize(("key", "expected"), [("\x03", 130), ("\x04", 2)], ids=["C", "D"])
def test_a_prompt_that_is_not_answered(
    platform: Sandbox, key: str, expected: int, prompt: str
) -> None:
    answers = {"User": "user\n", prompt: key}
    code, written = run_on_terminal(
        [CDSE_TOKEN], 200, answers, env={"PATH": os.environ["PATH"], **platform.environment}
    )
    assert code == expected, written
    *_, last, end = show(written, 200)
    assert last.startswith("cdse-token: ")
    assert end == ""
    assert "Aborted" not in written


def run_in_shell(redirection: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the command without a terminal, and with a redirection of the shell."""
    return subprocess.run(
        f'exec "{CDSE_TOKEN}" {redirection}',
        shell=True,
        env={"PYTHONWARNINGS": "error", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )


def test_no_input(platform: Sandbox) -> None:
    for variables in ({}, {"CDSE_USERNAME": "user"}):
        run = run_in_shell("", {**platform.environment, **variables})
        assert (run.returncode, run.stdout.strip()) == (2, "")
        last = run.stderr.splitlines()[-1]
        assert last.startswith("cdse-token: the input ended before an answer")
        assert "CDSE_USERNAME and CDSE_PASSWORD" in last


def test_closed_standard_input(platform: Sandbox) -> None:
    run = run_in_shell("<&-", platform.environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith("set CDSE_USERNAME and CDSE_PASSWORD\n")


def test_a_failure_while_standard_error_is_closed() -> None:
    """The message does not become the value of a variable that the output is assigned to."""
    run = run_in_shell("--nonsense 2>&-", {})
    assert (run.returncode, run.stdout) == (2, "")


def test_an_answer_in_another_encoding(platform: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "answers").write_bytes(b"\xff\n")
    variables = {**platform.environment, "PYTHONIOENCODING": "utf-8"}
    run = run_in_shell(f"<{tmp_path}/answers", variables)
    assert (run.returncode, run.stdout) == (2, "")
    last = run.stderr.rpartition("cdse-token: ")[2]
    assert last.startswith("can't get an answer to 'User': it must be in utf-8. ")


def test_a_question_that_cannot_be_written(platform: Sandbox) -> None:
    run = run_in_shell("2>/dev/full", platform.environment)
    assert (run.returncode, run.stdout) == (2, "")


def test_settings_of_other_programs_do_no_harm(platform: Sandbox) -> None:
    login = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}
    run = run_in_shell("", {**platform.environment, **FOREIGN, **login})
    assert (run.returncode, run.stderr) == (0, "")


def test_answers_from_a_pipe(platform: Sandbox) -> None:
    run = subprocess.run(
        [CDSE_TOKEN],
        env={**platform.environment, "PYTHONWARNINGS": "error"},
        input="user\nsecret\n\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert Token.parse(run.stdout.strip()).kind == "Bearer"


@pytest.mark.parametrize("command", ["stage-in", "cdse-token"])
@pytest.mark.parametrize("option", ["-h", "--version"])
def test_output_that_cannot_be_written(command: str, option: str) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [CDSE_TOKEN.with_name(command), option],
            env={},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    (line,) = run.stderr.splitlines()
    assert run.returncode == 73
    assert line.startswith(f"{command}: can't write to standard output: No space left")


@pytest.mark.parametrize(("option", "code"), [("--nonsense", 2), ("--version", 73)])
@pytest.mark.parametrize("command", ["stage-in", "cdse-token"])
def test_a_failure_that_cannot_be_reported(command: str, option: str, code: int) -> None:
    """The exit code is the same."""
    with Path("/dev/full").open("w") as full:
        # With PYTHONUNBUFFERED, the interpreter would not write at its end.
        run = subprocess.run(
            [CDSE_TOKEN.with_name(command), option], env={}, stdout=full, stderr=full
        )
    assert run.returncode == code


def test_a_token_that_cannot_be_written(platform: Sandbox) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [CDSE_TOKEN],
            env={**platform.environment, "CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert run.returncode == 73
    assert run.stderr.count("\n") == 1


def test_a_token_without_standard_output(platform: Sandbox) -> None:
    login = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}
    run = run_in_shell(">&-", {**platform.environment, **login})
    assert run.returncode == 73
    assert run.stderr.startswith("cdse-token: can't write to standard output: ")
    assert run.stderr.count("\n") == 1
