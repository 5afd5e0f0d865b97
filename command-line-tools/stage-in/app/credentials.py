"""Where tokens come from, and what is wrong with one that can't be used."""

from collections.abc import Mapping

from app.errors import CredentialsError

HOW_TO_GET_ONE = (
    "set CDSE_ACCESS_TOKEN to an access token of your Copernicus Data Space account "
    "(https://documentation.dataspace.copernicus.eu/APIs/Token.html)"
)


class Credentials:
    """The account's secrets, as the sources need them."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Credentials":
        """Read the secrets from the environment.

        Raises:
            CredentialsError: there is no token, or something that can't be one.
        """
        token = read_secret(environment, "CDSE_ACCESS_TOKEN")
        if not token:
            raise CredentialsError(f"expected a token, found none: {HOW_TO_GET_ONE}")
        return cls(token)

    def access_token(self) -> str:
        """Return an access token."""
        return self._access_token


def read_secret(environment: Mapping[str, str], name: str) -> str:
    """Return a secret without the white space that copying leaves around it; empty if unset.

    Raises:
        CredentialsError: it could not be sent in a header, or is a runner's placeholder.
    """
    secret = environment.get(name, "").strip()
    if secret.startswith("(secret-"):
        # https://github.com/Duke-GCB/calrissian/issues/145
        raise CredentialsError(
            f"{name} holds a workflow runner's placeholder for a secret, not the secret: this "
            "runner doesn't resolve the cwltool:Secrets hint, so run the tool without it"
        )
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise CredentialsError(
            f"{name}: expected printable ASCII without white space, found other characters among "
            f"its {len(secret)}: copy the token again"
        )
    return secret
