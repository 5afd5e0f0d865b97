"""What can go wrong that is not a bug: each kind with the exit code that tells it to a workflow.

The codes above 64 are those of sysexits.h: EX_DATAERR, EX_NOINPUT, EX_CANTCREAT, EX_TEMPFAIL and
EX_NOPERM.
"""


class StageInError(Exception):
    """A failure that the user is told in one line.

    Attributes:
        exit_code: what the command ends with (the table is in docs/environment.md).
        passing: whether the same request may well succeed when made again.
    """

    exit_code = 1
    passing = False


class UsageError(StageInError):
    """An option or a variable of the environment is not what it should be."""

    exit_code = 2


class ProductError(StageInError):
    """The item or the product is not what it should be, and asking again won't help."""

    exit_code = 65


class VerificationError(ProductError):
    """What arrived is not what was announced: a failed try, like a cut connection."""

    passing = True


class RefusedError(VerificationError):
    """The service answers that it doesn't take such a request."""


class NotFoundError(StageInError):
    """No such item or product. Passing: the platform is known to answer 404 for valid products."""

    exit_code = 66
    passing = True


class OutputError(StageInError):
    """The output cannot be written."""

    exit_code = 73


class TemporaryError(StageInError):
    """The service or the network fails for now.

    Attributes:
        retry_after: seconds that the server asked to wait, if it did.
    """

    exit_code = 75
    passing = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BusyError(TemporaryError):
    """The platform counts as many sessions of the user as it grants."""


class SourceError(StageInError):
    """A source will not do for this product now: another takes over, as the zip always can."""


class CredentialsError(StageInError):
    """There is no token, or none that can be used."""

    exit_code = 77


class UnauthorizedError(CredentialsError):
    """The service refused the token. Passing: it is known to refuse good ones now and then."""

    passing = True
