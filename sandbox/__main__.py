"""``python -m sandbox``: run the platform on this machine until a signal stops it."""

from __future__ import annotations

import shlex
import signal
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from sandbox.faults import Fault
from sandbox.limits import Count, Limits
from sandbox.server import HOST, Sandbox
from sandbox.tokens import Account

MEGABYTE = 1_000_000


def _parse_faults(
    context: click.Context, option: click.Parameter, rules: tuple[str, ...]
) -> list[Fault]:
    try:
        return [Fault.parse(rule) for rule in rules]
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


def _check_host(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if ":" in value or value == "0.0.0.0":
        raise click.BadParameter(
            f"expected an IPv4 address or a name that clients can connect to, found {value}"
        )
    return value


@click.command()
@click.option(
    "--safe",
    "safes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Serve this SAFE folder; repeatable. Default: two synthetic products, one of today's "
    "format and one of 2020.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the synthetic products; missing ones are made. Default: a temporary folder.",
)
@click.option(
    "--pixels",
    type=click.IntRange(60),
    metavar="N",
    help="Width of the synthetic 10 m bands in pixels, a multiple of 6. Real bands have 10980.",
)
@click.option(
    "--host",
    callback=_check_host,
    default=HOST,
    show_default=True,
    metavar="ADDRESS",
    help="Address of this machine to listen on. Anyone who can reach it can use the sandbox.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65529),
    default=0,
    metavar="N",
    help="First of seven consecutive ports. Default: any free ports.",
)
@click.option(
    "--token-life",
    type=float,
    default=600,
    show_default=True,
    metavar="SECS",
    help="Time for which access tokens are valid.",
)
@click.option(
    "--connections",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of open downloads per user. CDSE allows 4. Default: no limit.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="MB/S",
    help="Maximum rate of each download. CDSE allows 20. Default: no limit.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0,
    metavar="MS",
    help="Delay before each response.",
)
@click.option(
    "--lag",
    type=click.FloatRange(0),
    default=0,
    metavar="SECS",
    help="Time for which a finished download still counts as open.",
)
@click.option(
    "--tick",
    type=click.FloatRange(0),
    default=0,
    metavar="SECS",
    help="A finished download counts as open until the next multiple of this instead.",
)
@click.option(
    "--refusal-lag",
    type=click.FloatRange(0),
    default=0,
    metavar="SECS",
    help="Time for which a refused request counts as open.",
)
@click.option(
    "--new-per-second",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of downloads that may start in any second. Default: no limit.",
)
@click.option(
    "--count",
    type=click.Choice(["request", "connection"]),
    default="request",
    show_default=True,
    help="What counts as open: a request, or a TCP connection until it is closed.",
)
@click.option(
    "--other-job",
    type=(click.FloatRange(0, min_open=True), click.IntRange(1)),
    metavar="SECS N",
    help="Another job of the user holds N downloads in the first half of each period of SECS.",
)
@click.option(
    "--total-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="MB/S",
    help="Maximum rate of all downloads of a user together. Default: no limit.",
)
@click.option("--ranges", is_flag=True, help="Honour Range in requests to the download service.")
@click.option(
    "--s3",
    is_flag=True,
    help="Add the variables of the object store, with keys, to those of --ready, so that "
    "clients use it.",
)
@click.option(
    "--s3-requests",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of S3 requests per user and minute. CDSE allows 2000. Default: no limit.",
)
@click.option(
    "--fault",
    "faults",
    callback=_parse_faults,
    multiple=True,
    metavar="RULE",
    help="Add a fault; repeatable. Examples: 'status=503 on=download path=*B04.jp2* times=2', "
    "'cut=50% chance=2%'. docs/sandbox.md describes all words.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the faults' chances.",
)
@click.option(
    "--ready",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write shell variables for clients to FILE once all services are listening.",
)
def main(
    safes: tuple[Path, ...],
    folder: Path | None,
    pixels: int | None,
    host: str,
    port: int,
    token_life: float,
    connections: int | None,
    rate: float | None,
    latency: float,
    lag: float,
    tick: float,
    refusal_lag: float,
    new_per_second: int | None,
    count: Count,
    other_job: tuple[float, int] | None,
    total_rate: float | None,
    ranges: bool,
    s3: bool,
    s3_requests: int | None,
    faults: list[Fault],
    seed: int,
    ready: Path | None,
) -> None:
    """Run a Copernicus Data Space on this machine until SIGINT or SIGTERM.

    It serves Sentinel-2 Level-1C products like the platform: STAC items of both APIs, a download
    service with tokens and limits, an object store (S3) and its key manager, and an identity
    service. Log in as "user" with the password "secret".
    """
    limits = Limits(
        connections=connections,
        rate=None if rate is None else rate * MEGABYTE,
        total_rate=None if total_rate is None else total_rate * MEGABYTE,
        latency=latency / 1000,
        lag=lag,
        tick=tick,
        refusal_lag=refusal_lag,
        new_per_second=new_per_second,
        count=count,
        s3_requests=s3_requests,
    )
    if other_job is not None:
        period, downloads = other_job
        limits = replace(limits, other_period=period, other_downloads=downloads)
    if ready is not None:
        ready.unlink(missing_ok=True)
    with ExitStack() as stack:
        if not safes:
            if folder is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
            safes = tuple(_synthetic(folder, pixels))
        # Threads inherit the mask, so only sigwait below receives these signals.
        stops = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        server = Sandbox(
            safes,
            limits=limits,
            token_life=token_life,
            ranges=ranges,
            host=host,
            port=port,
            seed=seed,
        )
        for fault in faults:
            server.faults.add(fault)
        try:
            stack.enter_context(server)
        except OSError as error:
            raise click.ClickException(f"Cannot listen there: {error}") from error
        for product in server.products:
            # A benchmark may time the first request, so lay out the zip now.
            product.archive()
        variables = _variables(server) | (
            server.s3_environment() if s3 else {"AWS_ENDPOINT_URL_S3": server.origins["s3"]}
        )
        _summarise(server)
        if ready is not None:
            _write(ready, "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))
            # `.` looks up a name without a slash on PATH in most shells.
            path = shlex.quote(str(ready.absolute()))
            click.echo(f"\nTo set the variables for clients: . {path}")
        signal.sigwait(stops)


def _synthetic(folder: Path, pixels: int | None) -> Iterable[Path]:
    """Yield the folders of the default products, after making the missing ones."""
    # Importing this loads rasterio, which is not needed to serve given folders.
    from sandbox.product import NEW, OLD, make_product

    folder.mkdir(parents=True, exist_ok=True)
    for recipe in (NEW, OLD):
        try:
            recipe = recipe if pixels is None else replace(recipe, pixels=pixels)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--pixels") from error
        safe = folder / recipe.name
        if not safe.is_dir():
            click.echo(f"Making {recipe.name}")
            # A rename at the end ensures that an existing product is complete.
            with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as temporary:
                make_product(Path(temporary), recipe).rename(safe)
        yield safe


def _variables(server: Sandbox) -> dict[str, str]:
    """Return the environment variables for a client's shell."""
    account = Account()
    found = server.environment | {
        "CDSE_ACCESS_TOKEN": server.mint(),
        "SANDBOX_REFRESH_TOKEN": server.mint_refresh(),
        "SANDBOX_USERNAME": account.name,
        "SANDBOX_PASSWORD": account.password,
    }
    for number, product in enumerate(server.products, 1):
        for suffix in ("", f"_{number}") if number == 1 else (f"_{number}",):
            found[f"SANDBOX_ITEM{suffix}"] = server.item_url(product.name)
            found[f"SANDBOX_ITEM_LEGACY{suffix}"] = server.item_url(product.name, "legacy")
            found[f"SANDBOX_SAFE{suffix}"] = str(product.folder)
    return found


def _summarise(server: Sandbox) -> None:
    """Print the services and the products."""
    click.echo("A Copernicus Data Space is running on this machine:\n")
    for role, origin in server.origins.items():
        click.echo(f"  {role:10} {origin}")
    for product in server.products:
        click.echo(f"\n{product.name}")
        click.echo(f"  item         {server.item_url(product.name)}")
        click.echo(f"  legacy item  {server.item_url(product.name, 'legacy')}")


def _write(path: Path, text: str) -> None:
    """Write a file atomically."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".ready-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


if __name__ == "__main__":
    main(prog_name="python -m sandbox")
