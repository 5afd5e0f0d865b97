"""The command as a process of its own: how it exits, after a signal or normally."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from stage_in.log import set_up_log, setting_up_log

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MAX_LAST_LINE_DELAY = 2.0  # seconds that the last line may take if nobody reads the log


def run_as_process(command: Callable[[], object]) -> None:
    """Run a command, and end the process without tearing down the interpreter.

    Threads that wait for a server or are importing a library can't be stopped, so a normal shutdown
    of the interpreter could hang or crash.
    """
    # Imports make many objects and no garbage. The default of 700 takes a tenth of their time.
    gc.set_threshold(10_000)
    # Threads inherit the blocked signals, so only the thread that waits for them gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        threading.Thread(target=_exit_at_signal, daemon=True).start()
    except RuntimeError:  # the system allows no more threads: signals kill the process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        command()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError):  # the reader may have gone away
                    stream.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def _exit_at_signal() -> None:
    """Wait for a signal and exit at once.

    An exception raised in the main thread could be swallowed, or leave a lock held. Runs can be
    resumed after any kill, so nothing needs to be cleaned up.
    """
    number = signal.sigwait(_SIGNALS)

    def end() -> None:
        # The log may not be set up yet, and no other message may follow this one.
        with setting_up_log:
            name = signal.Signals(number).name
            logger = set_up_log("ERROR")
            logger.error(
                "Stopped by {signal}. Run the command again to resume.",
                signal=name,
                exit_code=128 + number,
            )
            os._exit(128 + number)

    last_line = threading.Thread(target=end, daemon=True)
    last_line.start()
    last_line.join(_MAX_LAST_LINE_DELAY)
    os._exit(128 + number)
