"""The log of the command on standard error."""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import loguru

# Held while the log is set up, so that the message about a signal waits until the log is ready.
setting_up_log = threading.Lock()


class _Forwarder(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a warning."""
        from stage_in.logger import logger

        logger.warning("{}", record.getMessage())


def set_up_log(level: str) -> "loguru.Logger":
    """Log to standard error: short lines for a terminal, long ones with date and level elsewhere.

    Args:
        level: the least severe level that is shown.
    """
    forget_settings()
    from stage_in.logger import logger

    if sys.stderr is None:  # the parent process has closed it
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    terminal = sys.stderr.isatty()
    layout = (
        "\r\x1b[K\x1b[?25h<green>{time:HH:mm:ss}</green> <level>{message}</level>"
        if terminal
        else "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level: <8} {message}"
    )
    # What libraries say goes the same way, as they quote what others wrote.
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[_Forwarder(logging.WARNING)])
    logger.remove()
    logger.add(sys.stderr, level=level, format=layout, diagnose=False, backtrace=False)
    return logger


def forget_settings() -> None:
    """Remove the variables that loguru reads when it is imported.

    They may belong to another program, and a malformed one would end the process.
    """
    for name in [name for name in os.environ if name.startswith("LOGURU_")]:
        del os.environ[name]
