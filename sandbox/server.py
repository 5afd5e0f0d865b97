"""The platform on the loopback interface: five services, each on its own port.

On the platform the services are different hosts. Here they are different ports of 127.0.0.1, which
HTTP clients take for different hosts too: ``requests`` strips Authorization between them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote

from aiohttp import web

from sandbox.answer import Alter, Answer, Framing, deliver, reset
from sandbox.damage import paced
from sandbox.faults import Fault, Faults
from sandbox.items import LEGACY_PATH, NEW_PATH, legacy_item, new_item
from sandbox.limits import Limits, Sessions
from sandbox.log import Exchange, Log
from sandbox.services import ROLES, Page, Services, token, too_many
from sandbox.store import Holding, Store
from sandbox.tokens import REALM, TOKEN_PATH, Account, Issuer

HOST = "127.0.0.1"

Generation = Literal["new", "legacy"]


class Sandbox:
    """The platform, run by a thread of its own for as long as the context lasts.

    Everything may be changed while it runs, from any thread.

    Attributes:
        limits: What the download service grants.
        faults: What goes wrong: ``faults.add(Fault(...))`` or ``faults.add("status=503 times=2")``.
        log: What was asked and answered.
        origins: Origins of the services by role, such as ``http://127.0.0.1:40123``.
    """

    def __init__(
        self,
        products: Iterable[Path] = (),
        *,
        limits: Limits = Limits(),  # noqa: B008 (it is immutable)
        token_life: float = 600,
        refresh_life: float = 3600,
        ranges: bool = False,
        accounts: Iterable[Account] = (Account(),),
        port: int = 0,
        seed: int = 0,
    ) -> None:
        """Prepare a sandbox; it listens once it is entered or started.

        Args:
            products: SAFE folders to serve.
            limits: What the download service grants.
            token_life: Life of access tokens in seconds.
            refresh_life: Life of refresh tokens in seconds.
            ranges: Whether the download service honours Range; CDSE's mostly does not.
            accounts: Who may log in.
            port: First of five successive ports; 0 for any that are free.
            seed: What the chances of faults are drawn from.
        """
        self.limits = limits
        self.faults = Faults(seed)
        self.log = Log()
        self.origins: dict[str, str] = {}
        self._port = port
        self._store = Store()
        self._issuer = Issuer("", accounts, token_life, refresh_life)
        self._services = Services(self._store, self._issuer, self.origins)
        self._services.ranges = ranges
        self._sessions = Sessions()
        self._sites: dict[str, web.TCPSite] = {}
        self._runners: dict[str, web.ServerRunner] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        for folder in products:
            self.add_product(folder)

    # -- what is served

    def add_product(self, folder: Path) -> Holding:
        """Serve the product of a SAFE folder."""
        return self._store.add(folder)

    @property
    def products(self) -> list[Holding]:
        """The products served, in the order in which they were added."""
        return list(self._store)

    @property
    def pages(self) -> dict[str, Page]:
        """Content to serve at a path on every service, before anything else is looked at.

        Bytes, text, a Path to a file, or anything else as JSON; no token is asked for.
        """
        return self._services.pages

    @property
    def ranges(self) -> bool:
        """Whether the download service honours Range."""
        return self._services.ranges

    @ranges.setter
    def ranges(self, value: bool) -> None:
        self._services.ranges = value

    @property
    def most_granted(self) -> int:
        """How many downloads a user has had open at once, at most, refused ones left out."""
        return self._sessions.most

    def item(self, name: str, generation: Generation = "new") -> dict[str, Any]:
        """A fresh copy of the item of a product, to look at or to edit."""
        make = new_item if generation == "new" else legacy_item
        return make(self._holding(name), self.origins)

    def item_url(self, name: str, generation: Generation = "new") -> str:
        """The URL of a product's item; the name with or without ``.SAFE``."""
        return (
            f"{self.stac if generation == 'new' else self.catalogue}{_item_path(name, generation)}"
        )

    def override_item(self, name: str, generation: Generation, item: dict[str, Any]) -> str:
        """Serve another item in place of a product's own; returns its URL."""
        self.pages[_item_path(name, generation)] = item
        return self.item_url(name, generation)

    def _holding(self, name: str) -> Holding:
        holding = self._store.named(name)
        if holding is None:
            raise KeyError(f"expected one of {[x.name for x in self._store]}, found {name}")
        return holding

    # -- where

    @property
    def catalogue(self) -> str:
        """Origin of the legacy STAC API and of OData."""
        return self.origins["catalogue"]

    @property
    def stac(self) -> str:
        """Origin of the new STAC API."""
        return self.origins["stac"]

    @property
    def download(self) -> str:
        """Origin of the download service."""
        return self.origins["download"]

    @property
    def identity(self) -> str:
        """Origin of the identity service."""
        return self.origins["identity"]

    @property
    def stranger(self) -> str:
        """Origin of a host that nobody trusts: it answers anything with a page."""
        return self.origins["stranger"]

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.identity}{TOKEN_PATH}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make the stage-in tool take the sandbox for the platform.

        ``CDSE_TRUSTED_HOSTS`` holds the origins of catalogue, stac and download, separated by
        commas; ``CDSE_IDENTITY_URL`` is the whole URL of the token endpoint.
        """
        trusted = ",".join(self.origins[role] for role in ("catalogue", "stac", "download"))
        return {"CDSE_TRUSTED_HOSTS": trusted, "CDSE_IDENTITY_URL": self.token_url}

    # -- tokens

    def mint(self, life: float | None = None, *, user: str = "user", **claims: Any) -> str:
        """An access token.

        Args:
            life: Seconds until it expires, negative for one that has; None for ``token_life``.
            user: Whose token it is.
            claims: Claims that replace or add to the usual ones, such as ``aud=[]``.
        """
        return self._issuer.mint(user, life, **claims)

    def mint_refresh(self, life: float | None = None, *, user: str = "user", **claims: Any) -> str:
        """A refresh token; arguments as for :meth:`mint`, ``life`` from ``refresh_life``."""
        return self._issuer.mint_refresh(user, life, **claims)

    @property
    def token_life(self) -> float:
        """Life in seconds of access tokens that are issued from now on."""
        return self._issuer.token_life

    @token_life.setter
    def token_life(self, seconds: float) -> None:
        self._issuer.token_life = seconds

    @property
    def refresh_life(self) -> float:
        """Life in seconds of refresh tokens that are issued from now on."""
        return self._issuer.refresh_life

    @refresh_life.setter
    def refresh_life(self, seconds: float) -> None:
        self._issuer.refresh_life = seconds

    # -- running

    def start(self) -> Self:
        """Listen on all ports.

        Raises:
            OSError: A port is taken.
        """
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop listening, break off what is under way, and end the thread."""
        if self._thread is not None and self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @contextmanager
    def down(self, role: str) -> Iterator[None]:
        """While the context lasts, a service refuses connections; those it has are broken off."""
        self._await(self._close(role))
        try:
            yield
        finally:
            self._await(self._listen(role, int(self.origins[role].rpartition(":")[2])))

    def _await(self, coroutine: Any) -> None:
        if self._loop is None:
            raise RuntimeError("expected a running sandbox, found one that was not started")
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            for number, role in enumerate(ROLES):
                server = web.Server(
                    partial(self._handle, role), handler_cancellation=True, access_log=None
                )
                # the time-out is for connections; handlers are cancelled before
                self._runners[role] = web.ServerRunner(server, shutdown_timeout=0.1)
                await self._runners[role].setup()
                await self._listen(role, self._port + number if self._port else 0)
            self._issuer.url = f"{self.identity}{REALM}"
            self._started.set()
            await self._stop.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for runner in self._runners.values():
                await runner.cleanup()

    async def _listen(self, role: str, port: int) -> None:
        self._sites[role] = web.TCPSite(self._runners[role], HOST, port, backlog=256)
        await self._sites[role].start()
        if role not in self.origins:
            address = self._runners[role].addresses[0]
            self.origins[role] = f"http://{HOST}:{address[1]}"

    async def _close(self, role: str) -> None:
        await self._sites[role].stop()
        server = self._runners[role].server
        if server is not None:
            await server.shutdown(0.01)

    async def _handle(self, role: str, request: web.BaseRequest) -> web.StreamResponse:
        """One exchange, from the request's arrival to the end of the answer."""
        body = await request.read()
        peer = request.transport and request.transport.get_extra_info("peername")
        given = token(request)
        claims = self._issuer.read(given) if given else None
        exchange = self.log.open(
            role=role,
            method=request.method,
            path=request.raw_path,
            headers=tuple(
                (name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
                for name, value in request.raw_headers
            ),
            body=body,
            port=peer[1] if peer else 0,
            user=claims.get("preferred_username") if claims else None,
        )
        limits = self.limits
        counted: list[str] = []
        complete = False
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            answer, faults = await self._decide(role, request, body, limits, counted)
            await asyncio.sleep(limits.latency)
            response, complete = await self._send(request, exchange, answer, faults, limits)
            return response
        finally:
            for user in counted:
                self._sessions.leave(user, limits)
            self.log.note(exchange, closed=time.monotonic(), complete=complete)

    async def _decide(
        self,
        role: str,
        request: web.BaseRequest,
        body: bytes,
        limits: Limits,
        counted: list[str],
    ) -> tuple[Answer, list[Fault]]:
        """What to answer, and which faults to apply to it; notes whose download it counts for."""
        path = unquote(request.raw_path)
        struck = self.faults.replacing(role, path)
        if struck is not None:
            answer = struck.answer(self.origins | {"path": request.raw_path})
            faults = [struck]
        else:
            answer = await self._services.answer(role, request, body)
            faults = []
            if answer.counted is not None:
                if self._sessions.enter(answer.counted, limits):
                    counted.append(answer.counted)
                else:
                    answer = too_many(limits.retry_after)
        if answer.status < 400:
            faults += self.faults.altering(role, path)
        return answer, faults

    async def _send(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        answer: Answer,
        faults: list[Fault],
        limits: Limits,
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer as faults and limits have it; whether it was sent completely."""
        framing: Framing = "length"
        alter: list[Alter] = []
        for fault in faults:
            if fault.stall is not None and fault.at is None:
                await asyncio.sleep(fault.stall)
            if fault.reset == "start":
                if request.transport is not None:
                    reset(request.transport)
                return web.StreamResponse(), False
            answer = await fault.recode(answer)
            alter += fault.alterations(answer)
            framing = fault.framing or framing
        if answer.counted is not None and limits.rate is not None:
            alter.append(partial(paced, rate=limits.rate))
        passed = 0

        def began() -> None:
            self.log.note(exchange, status=answer.status, first=time.monotonic())

        def sent(length: int) -> None:
            nonlocal passed
            passed += length
            self.log.note(exchange, sent=passed)

        return await deliver(request, answer, framing=framing, alter=alter, began=began, sent=sent)


def _item_path(name: str, generation: Generation) -> str:
    plain = name.removesuffix(".SAFE")
    return f"{NEW_PATH}/{plain}" if generation == "new" else f"{LEGACY_PATH}/{plain}.SAFE"
