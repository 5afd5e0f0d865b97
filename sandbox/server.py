"""The platform at one address of this machine: seven services, each on its own port.

On the platform, the services are different hosts. HTTP clients treat different ports as different
hosts, too: ``requests`` strips Authorization at a redirect.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote

from aiohttp import web

from sandbox.faults import Faults, Rule
from sandbox.items import LEGACY_PATH, NEW_PATH, legacy_item, new_item
from sandbox.key_manager import KEYS_PATH, KeyManager
from sandbox.limits import Limits, Sessions
from sandbox.log import Exchange, Log
from sandbox.response import Framing, Response, Transform, reset, send
from sandbox.s3 import ObjectStore
from sandbox.services import ROLES, Page, Services, token, too_many_sessions
from sandbox.sigv4 import Key
from sandbox.store import ServedProduct, Store
from sandbox.streams import pause, throttle
from sandbox.tokens import REALM, TOKEN_PATH, Account, Issuer

HOST = "127.0.0.1"

Generation = Literal["new", "legacy"]


class Sandbox:
    """The platform. It runs in a separate thread while the context is active.

    Any thread may change its attributes while it runs.

    Attributes:
        limits: Limits of the download service.
        faults: The active faults: ``faults.add(Fault(...))`` or
            ``faults.add("status=503 times=2")``.
        log: The requests and the responses to them.
        origins: Origins of the services by role, such as ``http://127.0.0.1:40123``.
        s3: The object store: its keys and objects, and whether it forwards to another one.
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
        keys: Iterable[Key] = (Key(),),
        host: str = HOST,
        port: int = 0,
        seed: int = 0,
    ) -> None:
        """Prepare a sandbox. It listens once it is started or its context is entered.

        Args:
            products: SAFE folders to serve.
            limits: Limits of the download service.
            token_life: Seconds for which access tokens are valid.
            refresh_life: Seconds for which refresh tokens are valid.
            ranges: Whether the download service honours Range, which CDSE's mostly does not.
            accounts: Users who can log in.
            keys: Keys that S3 requests may be signed with.
            host: Address of this machine to listen on.
            port: First of seven consecutive ports; 0 for any free ports.
            seed: Seed of the faults' chances.
        """
        self.limits = limits
        self.faults = Faults(seed)
        self.log = Log()
        self.origins: dict[str, str] = {}
        self._host = host
        self._port = port
        self._store = Store()
        self._issuer = Issuer("", accounts, token_life, refresh_life)
        self.s3 = ObjectStore(self._store, keys)
        self._services = Services(self._store, self._issuer, self.s3, self.origins)
        self._services.ranges = ranges
        self._sessions = Sessions()
        self._sites: dict[str, web.BaseSite] = {}
        self._reserved: dict[str, socket.socket] = {}
        self._runners: dict[str, web.ServerRunner] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        for folder in products:
            self.add_product(folder)

    # -- products and items

    def add_product(self, folder: Path) -> ServedProduct:
        """Serve the product of a SAFE folder."""
        return self._store.add(folder)

    def delete(
        self,
        name: str,
        cause: str = "Obsolete product",
        date: str = "2025-03-01T00:00:00.000000Z",
    ) -> None:
        """Delete a product. Only ``DeletedProducts`` of the OData service still has it."""
        product = self._store.by_name(name)
        if product is None:
            raise KeyError(f"expected one of {[x.name for x in self._store]}, found {name}")
        product.deletion = (cause, date)

    @property
    def products(self) -> list[ServedProduct]:
        """The products, in the order in which they were added."""
        return list(self._store)

    @property
    def pages(self) -> dict[str, Page]:
        """Content to serve at a path, on every service, in place of the usual response.

        It is bytes, text, a Path to a file, or a dict or list that is served as JSON. No token is
        required.
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
        """Maximum number of downloads that one user had open at once, without refused ones."""
        return self._sessions.max_open

    def restart_periods(self) -> None:
        """Let the periods of the limits begin now: those of `tick` and of the other job."""
        self._sessions.restart_periods()

    def item(self, name: str, generation: Generation = "new") -> dict[str, Any]:
        """Return a copy of a product's item."""
        product = self._store.by_name(name)
        if product is None:
            raise KeyError(f"expected one of {[x.name for x in self._store]}, found {name}")
        make = new_item if generation == "new" else legacy_item
        return make(product, self.origins)

    def item_url(self, name: str, generation: Generation = "new") -> str:
        """Return the URL of a product's item. The name may end in ``.SAFE``."""
        return (
            f"{self.stac if generation == 'new' else self.catalogue}{_item_path(name, generation)}"
        )

    def override_item(self, name: str, generation: Generation, item: dict[str, Any]) -> str:
        """Serve another item in place of a product's own, and return its URL."""
        self.pages[_item_path(name, generation)] = item
        return self.item_url(name, generation)

    # -- origins

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
        """Origin of a host that no client should trust; it serves the same page at every path."""
        return self.origins["stranger"]

    @property
    def token_url(self) -> str:
        """URL of the token endpoint."""
        return f"{self.identity}{TOKEN_PATH}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct the stage-in tool to the sandbox.

        ``CDSE_TRUSTED_HOSTS`` contains the origins of catalogue, stac, download and the key
        manager, separated by commas; ``CDSE_IDENTITY_URL`` is the URL of the token endpoint, and
        ``CDSE_S3_KEYS_URL`` that of the key manager.
        """
        trusted = ",".join(self.origins[role] for role in ("catalogue", "stac", "download", "keys"))
        return {
            "CDSE_TRUSTED_HOSTS": trusted,
            "CDSE_IDENTITY_URL": self.token_url,
            "CDSE_S3_KEYS_URL": f"{self.origins['keys']}{KEYS_PATH}",
        }

    def s3_environment(self, key: Key | None = None) -> dict[str, str]:
        """Return the environment variables that direct the stage-in tool to the object store.

        Args:
            key: The keys; by default, the first ones of this sandbox. With a session token, the
                variables have the names of AWS, otherwise those of the platform's users.
        """
        key = key or next(iter(self.s3.keys.values()))
        return {"AWS_ENDPOINT_URL_S3": self.origins["s3"]} | key.environment

    @property
    def key_manager(self) -> KeyManager:
        """The key manager of the object store."""
        return self._services.key_manager

    # -- tokens

    def mint(self, life: float | None = None, *, user: str = "user", **claims: Any) -> str:
        """Issue an access token.

        Args:
            life: Seconds until it expires, negative if it has expired; None for ``token_life``.
            user: The user's name.
            claims: Claims that replace the usual ones or are added to them, such as ``aud=[]``.
        """
        return self._issuer.mint(user, life, **claims)

    def mint_refresh(self, life: float | None = None, *, user: str = "user", **claims: Any) -> str:
        """Issue a refresh token, with the arguments of :meth:`mint`."""
        return self._issuer.mint_refresh(user, life, **claims)

    @property
    def token_life(self) -> float:
        """Seconds for which access tokens are valid that are issued from now on."""
        return self._issuer.token_life

    @token_life.setter
    def token_life(self, seconds: float) -> None:
        self._issuer.token_life = seconds

    # -- running

    def start(self) -> Self:
        """Listen on all ports.

        Raises:
            OSError: A port is in use.
        """
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop listening, abort all responses, and end the thread."""
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
        """Make a service close its connections and refuse new ones while the context is active."""
        self._await(self._close(role))
        try:
            yield
        finally:
            self._await(self._listen(role))

    def _await(self, coroutine: Any) -> None:
        if self._loop is None:
            raise RuntimeError("the sandbox is not running: start it first")
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
                # Handlers have been cancelled by then, so only connections need this time.
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

    async def _listen(self, role: str, port: int = 0) -> None:
        """Listen on a port; after `_close`, on the same one again."""
        runner, reserved = self._runners[role], self._reserved.pop(role, None)
        self._sites[role] = (
            web.TCPSite(runner, self._host, port, backlog=256)
            if reserved is None
            else web.SockSite(runner, reserved, backlog=256)
        )
        await self._sites[role].start()
        if role not in self.origins:
            address = self._runners[role].addresses[0]
            self.origins[role] = f"http://{self._host}:{address[1]}"

    async def _close(self, role: str) -> None:
        await self._sites[role].stop()
        # A socket that does not listen refuses connections, and no other process gets its port.
        self._reserved[role] = socket.socket()
        self._reserved[role].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved[role].bind((self._host, int(self.origins[role].rpartition(":")[2])))
        server = self._runners[role].server
        if server is not None:
            await server.shutdown(0.01)

    async def _handle(self, role: str, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request, from its arrival to the end of the response."""
        body = await request.read()
        peer = request.transport and request.transport.get_extra_info("peername")
        text = token(request)
        claims = self._issuer.read(text) if text else None
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
        limits = self.limits.without_lag() if role == "s3" else self.limits
        counted: list[str] = []
        complete = False
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            response, rules = await self._choose(role, request, body, limits, counted)
            await asyncio.sleep(limits.latency)
            stream, complete = await self._send(request, exchange, response, rules, limits)
            return stream
        finally:
            for user in counted:
                self._sessions.leave(user, limits)
            self.log.update(exchange, closed=time.monotonic(), complete=complete)

    async def _choose(
        self,
        role: str,
        request: web.BaseRequest,
        body: bytes,
        limits: Limits,
        counted: list[str],
    ) -> tuple[Response, list[Rule]]:
        """Choose the response and the rules that apply to it.

        The user whose session count this increased is added to ``counted``.
        """
        path = unquote(request.raw_path)
        rule = self.faults.replacing(role, path)
        if rule is not None:
            response = rule.fault.response(role, self.origins | {"path": request.raw_path})
            rules = [rule]
        else:
            response = await self._services.respond(role, request, body)
            rules = []
            if response.user is not None:
                response = self._limit(role, request, response, response.user, limits, counted)
        if response.status < 400:
            rules += self.faults.altering(role, path)
        return response, rules

    def _limit(
        self,
        role: str,
        request: web.BaseRequest,
        response: Response,
        user: str,
        limits: Limits,
        counted: list[str],
    ) -> Response:
        """Return the response, or a 429 if a limit is reached."""
        announced: dict[str, str] = {}
        is_allowed = True
        if role == "s3":
            is_allowed, announced = self._sessions.count_request(user, limits)
        if is_allowed and self._sessions.enter(user, limits, request.transport):
            counted.append(user)
        else:
            response = too_many_sessions(role, limits.retry_after)
        return replace(response, headers={**response.headers, **announced})

    async def _send(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        response: Response,
        rules: list[Rule],
        limits: Limits,
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response with faults and limits applied; tell whether it was sent completely."""
        framing: Framing = "length"
        transforms: list[Transform] = []
        for rule in rules:
            fault, is_over = rule.fault, rule.removed.is_set
            if fault.stall is not None and fault.at is None:
                await pause(fault.stall, is_over)
            if fault.reset == "start":
                if request.transport is not None:
                    reset(request.transport)
                return web.StreamResponse(), False
            response = await fault.encode(response)
            transforms += fault.transforms(response, is_over)
            framing = fault.framing or framing
        if (user := response.user) is not None and self._sessions.rate(user, limits) is not None:
            transforms.append(partial(throttle, rate=lambda: self._sessions.rate(user, limits)))
        total = 0

        def on_start() -> None:
            self.log.update(exchange, status=response.status, first=time.monotonic())

        def on_sent(length: int) -> None:
            nonlocal total
            total += length
            self.log.update(exchange, sent=total)

        return await send(
            request,
            response,
            framing=framing,
            transforms=transforms,
            on_start=on_start,
            on_sent=on_sent,
        )


def _item_path(name: str, generation: Generation) -> str:
    plain = name.removesuffix(".SAFE")
    return f"{NEW_PATH}/{plain}" if generation == "new" else f"{LEGACY_PATH}/{plain}.SAFE"
