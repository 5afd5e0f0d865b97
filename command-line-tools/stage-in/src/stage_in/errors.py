"""The failures that are not bugs, each with its exit code.

The codes above 64 are those of sysexits.h: EX_DATAERR, EX_NOINPUT, EX_CANTCREAT, EX_TEMPFAIL and
EX_NOPERM.
"""

from stage_in.secrets import clean


class StageInError(Exception):
    """A failure that is reported to the user in one line, without secrets.

    Attributes:
        exit_code: the exit code of the command (docs/environment.md has the table).
        retryable: whether the same request may succeed when it is made again.
    """

    exit_code = 1
    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(clean(message))


class UsageError(StageInError):
    """An option or an environment variable has a value that can't be used."""

    exit_code = 2


class ProxyRefusedError(UsageError):
    """The proxy refuses to connect to a host, or is no proxy."""


class ProductError(StageInError):
    """The item or the product is invalid, incomplete or damaged, also if it is downloaded again."""

    exit_code = 65


class VerificationError(ProductError):
    """What a server sent, or a URL that it named, is not acceptable. Another attempt may help."""

    retryable = True


class RefusedError(VerificationError):
    """The service does not accept this kind of request."""


class NotFoundError(StageInError):
    """There is no such item or product.

    It is retried, because the platform sometimes answers 404 for products that exist.
    """

    exit_code = 66
    retryable = True


class OutputError(StageInError):
    """The output cannot be written."""

    exit_code = 73


class TemporaryError(StageInError):
    """The service or the network failed temporarily.

    Attributes:
        retry_after: how many seconds the server asks to wait; None if it does not say.
    """

    exit_code = 75
    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownHostError(TemporaryError):
    """The name of a host can't be resolved, because there is no such host.

    It is retried for a short time, because some systems say the same while the network is down.
    """


class BusyError(TemporaryError):
    """The user has as many downloads open as the platform allows (status 429 or DAT-ZIP-100)."""


class SourceError(StageInError):
    """A source can't deliver this product now; the next source is tried."""


class ArchiveMissingError(UsageError, SourceError):
    """The archive is not mounted where a variable names it."""


class CredentialsError(StageInError):
    """There are no credentials, or they can't be used."""

    exit_code = 77


class UnauthorizedError(CredentialsError):
    """The service rejected the token.

    It is retried, because the platform sometimes rejects valid tokens.
    """

    retryable = True
