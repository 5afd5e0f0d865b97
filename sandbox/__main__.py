"""``python -m sandbox``: run the platform on the loopback interface until told to stop."""

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
from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.tokens import Account

MEGABYTE = 1_000_000


class _Rule(click.ParamType):
    """A fault as text."""

    name = "rule"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fault:
        if isinstance(value, Fault):
            return value
        try:
            return Fault.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--safe",
    "safes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Serve this SAFE folder; repeatable. Default: two synthetic products, a new and an old.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to make the synthetic products, or find them made. Default: a temporary folder.",
)
@click.option(
    "--pixels",
    type=click.IntRange(60),
    metavar="N",
    help="Width of the synthetic 10 m bands, a multiple of 6; a real one has 10980.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65531),
    default=0,
    metavar="N",
    help="First of five successive ports. Default: any that are free.",
)
@click.option(
    "--token-life",
    type=float,
    default=600,
    show_default=True,
    metavar="SECS",
    help="Life of access tokens.",
)
@click.option(
    "--connections",
    type=click.IntRange(1),
    metavar="N",
    help="Downloads that a user may have open at once; CDSE: 4. Default: any number.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="MB/S",
    help="Megabytes per second of each download; CDSE: 20. Default: all that is possible.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0,
    metavar="MS",
    help="Milliseconds until each answer begins.",
)
@click.option(
    "--lag",
    type=click.FloatRange(0),
    default=0,
    metavar="SECS",
    help="How long a download that has ended still counts as open.",
)
@click.option("--ranges", is_flag=True, help="Honour Range at the download service.")
@click.option(
    "--fault",
    "faults",
    type=_Rule(),
    multiple=True,
    metavar="RULE",
    help="Let something go wrong; repeatable. Such as 'status=503 on=download path=*B04.jp2* "
    "times=2' or 'cut=50% chance=2%'; all words: sandbox/faults.py.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="What the chances of faults are drawn from.",
)
@click.option(
    "--ready",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write shell variables for clients to FILE once all is listening.",
)
def main(
    safes: tuple[Path, ...],
    folder: Path | None,
    pixels: int | None,
    port: int,
    token_life: float,
    connections: int | None,
    rate: float | None,
    latency: float,
    lag: float,
    ranges: bool,
    faults: tuple[Fault, ...],
    seed: int,
    ready: Path | None,
) -> None:
    """Run a Copernicus Data Space on 127.0.0.1 until SIGINT or SIGTERM.

    It serves Sentinel-2 Level-1C products as the platform does: STAC items of both APIs, a
    download service with tokens and limits, the identity service. Log in as "user" with the
    password "secret".
    """
    limits = Limits(
        connections=connections,
        rate=None if rate is None else rate * MEGABYTE,
        latency=latency / 1000,
        lag=lag,
    )
    if ready is not None:
        ready.unlink(missing_ok=True)
    with ExitStack() as stack:
        if not safes:
            if folder is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
            safes = tuple(_synthetic(folder, pixels))
        # blocked before any thread starts, so that sigwait alone sees them
        stops = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        server = Sandbox(
            safes, limits=limits, token_life=token_life, ranges=ranges, port=port, seed=seed
        )
        for fault in faults:
            server.faults.add(fault)
        try:
            stack.enter_context(server)
        except OSError as error:
            raise click.ClickException(f"cannot listen: {error}") from error
        for product in server.products:
            # now rather than at the first request, which a benchmark may be timing
            product.archive()
        variables = _variables(server)
        _summarise(server)
        if ready is not None:
            _write(ready, "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))
            click.echo(f"\nvariables for clients: . {ready}")
        signal.sigwait(stops)


def _synthetic(folder: Path, pixels: int | None) -> Iterable[Path]:
    """The default products, made where they are not there yet."""
    # only here: it brings rasterio, which serving given folders does not need
    from sandbox.product import NEW, OLD, make_product

    folder.mkdir(parents=True, exist_ok=True)
    for recipe in (NEW, OLD):
        try:
            wanted = recipe if pixels is None else replace(recipe, pixels=pixels)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--pixels") from error
        safe = folder / wanted.name
        if not safe.is_dir():
            click.echo(f"making {wanted.name}")
            # aside first, so that a product which is there is a whole one
            with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as aside:
                make_product(Path(aside), wanted).rename(safe)
        yield safe


def _variables(server: Sandbox) -> dict[str, str]:
    """What a client's shell needs to know."""
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
    """Say what there is."""
    click.echo("A Copernicus Data Space is up, on this machine only:\n")
    for role, origin in server.origins.items():
        click.echo(f"  {role:10} {origin}")
    for product in server.products:
        click.echo(f"\n{product.name}")
        click.echo(f"  item         {server.item_url(product.name)}")
        click.echo(f"  legacy item  {server.item_url(product.name, 'legacy')}")


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there with all its content or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".ready-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


if __name__ == "__main__":
    main(prog_name="python -m sandbox")
