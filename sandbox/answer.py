"""Answers of the sandbox's services, and sending them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from sandbox.body import Body, Chunks, CutError, ResetError, Slice, chunks, size

Framing = Literal["length", "close", "chunked"]
Alter = Callable[[Chunks], Chunks]

# how far one call of sendfile goes before the record is brought up to date
STRIDE = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An answer that is yet to be sent.

    Attributes:
        status: HTTP status.
        headers: Headers, without those that frame the body.
        body: The body.
        counted: User whose download this is, for the limits; None if it counts for nobody.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = ()
    counted: str | None = None

    @classmethod
    def json(
        cls, content: Any, status: int = 200, kind: str = "application/json", **headers: str
    ) -> Answer:
        """An answer of JSON."""
        body = json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, {"Content-Type": kind} | named, (body,))


class _Response(web.StreamResponse):
    """A response whose framing is what the headers say, right or wrong."""

    # aiohttp would clip the body at Content-Length, and chunk one that has none
    _length_check = False


async def deliver(
    request: web.BaseRequest,
    answer: Answer,
    *,
    framing: Framing,
    alter: list[Alter],
    began: Callable[[], None],
    sent: Callable[[int], None],
) -> tuple[web.StreamResponse, bool]:
    """Send an answer.

    Args:
        request: What is answered.
        answer: The answer.
        framing: How the body's end is made known: Content-Length, closing, or chunks.
        alter: What happens to the body on its way, in this order; files go out by sendfile if
            nothing does.
        began: Called when the head has been sent.
        sent: Called with the number of bytes of each piece that has been handed to the network.

    Returns:
        The response, for aiohttp, and whether all of it was sent: not so if the client went away
        or the answer was cut or reset on purpose.
    """
    response = _Response(status=answer.status, headers=dict(answer.headers))
    if framing == "length":
        response.headers["Content-Length"] = str(size(answer.body))
    elif framing == "chunked":
        response.enable_chunked_encoding()
    else:
        response.force_close()
    transport = request.transport
    if transport is None:
        return response, False
    # draining then means that everything has been handed to the network
    transport.set_write_buffer_limits(high=0)
    try:
        writer = await response.prepare(request)
        began()
        if request.method == "HEAD" or writer is None:
            return response, True
        if alter or framing == "chunked":
            async with AsyncExitStack() as stack:
                stream = await stack.enter_async_context(aclosing(chunks(answer.body)))
                for step in alter:
                    stream = await stack.enter_async_context(aclosing(step(stream)))
                async for chunk in stream:
                    await response.write(chunk)
                    await writer.drain()
                    sent(len(chunk))
        else:
            for piece in answer.body:
                if isinstance(piece, Slice):
                    await _send_file(transport, piece, sent)
                else:
                    await response.write(piece)
                    sent(len(piece))
            await writer.drain()
    except CutError:
        transport.close()
    except ResetError:
        # what has been sent shall arrive: a reset discards what still waits in the kernel
        await asyncio.sleep(0.02)
        reset(transport)
    except ConnectionError:
        transport.abort()
    else:
        return response, True
    return response, False


async def _send_file(
    transport: asyncio.WriteTransport, piece: Slice, sent: Callable[[int], None]
) -> None:
    loop = asyncio.get_running_loop()
    with piece.path.open("rb", buffering=0) as file:
        start, end = piece.start, piece.start + piece.length
        while start < end:
            if transport.is_closing():
                raise ConnectionResetError("the client went away")
            file.seek(start)
            try:
                await loop.sendfile(transport, file, start, min(STRIDE, end - start))
            finally:
                # sendfile leaves the file where it stopped, also when it failed
                reached = file.tell()
                sent(reached - start)
            if reached == start:
                raise CutError(f"{piece.path} has become shorter")
            start = reached


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection with RST, discarding what waits to be sent."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
