"""The log on standard error, without secrets and without untrusted control characters."""

import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import loguru

# A JSON Web Token, or what is left of one in a message that was cut.
_TOKEN = re.compile(r"eyJ[\w-]{8,}(\.[\w-]*)*", re.ASCII)
_SECRETS = ("CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN", "CDSE_PASSWORD", "CDSE_TOTP")
_MAX_MESSAGE_LENGTH = 10_000  # characters; quotes are normally cut where they are made
_MIN_SECRET_LENGTH = 8  # characters; ordinary words may contain a shorter one by chance

# Held while the log is set up, so that the message about a signal waits until the log is ready.
setting_up_log = threading.Lock()


def set_up_log(level: str) -> "loguru.Logger":
    """Log to standard error: short lines for a terminal, long ones with date and level elsewhere.

    Args:
        level: the least severe level that is shown.
    """
    forget_settings()
    from loguru import logger

    if sys.stderr is None:  # the parent process has closed it
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    secrets = [
        _secret_pattern(value) for name in _SECRETS if (value := os.environ.get(name, "").strip())
    ]

    def clean(record: "loguru.Record") -> None:
        message = record["message"]
        for secret in secrets:
            message = secret.sub("[secret]", message)
        message = _TOKEN.sub("[token]", message)[:_MAX_MESSAGE_LENGTH]
        # Servers and items may send line ends, or sequences that control a terminal.
        record["message"] = "".join(c if c.isprintable() else " " for c in message)

    terminal = sys.stderr.isatty()
    layout = (
        "\r\x1b[K\x1b[?25h<green>{time:HH:mm:ss}</green> <level>{message}</level>"
        if terminal
        else "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level: <8} {message}"
    )
    logger.remove()
    logger.configure(patcher=clean)
    logger.add(sys.stderr, level=level, format=layout, diagnose=False, backtrace=False)
    return logger


def forget_settings() -> None:
    """Remove the variables that loguru reads when it is imported.

    They may belong to another program, and a malformed one would end the process.
    """
    for name in [name for name in os.environ if name.startswith("LOGURU_")]:
        del os.environ[name]


def _secret_pattern(value: str) -> re.Pattern[str]:
    """Return a pattern that finds a secret in a message; a short one only as a separate word.

    If `p` were removed from every word, each gap would reveal that the secret is `p`.
    """
    word = re.escape(value)
    is_short = len(value) < _MIN_SECRET_LENGTH
    return re.compile(rf"(?<!\w){word}(?!\w)" if is_short else word)
