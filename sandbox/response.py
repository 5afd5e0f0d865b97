"""Responses of the sandbox's services, and how they are sent."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiohttp import web

from sandbox.body import Body, Chunks, CloseConnection, ResetConnection, Slice, chunks, part, size

Framing = Literal["length", "close", "chunked"]
Transform = Callable[[Chunks], Chunks]

# The log is brought up to date after this many bytes of a file at the latest.
MAX_SENDFILE = 8 * 1024 * 1024


@dataclass(frozen=True)
class Response:
    """A response that has not been sent yet.

    Attributes:
        status: HTTP status.
        headers: Headers, without those that frame the body.
        body: The body.
        user: The user whose download limits apply; None if no limits apply.
        whole: The whole body, if this response has the part of it that Range selects.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = ()
    user: str | None = None
    whole: Body | None = None

    @classmethod
    def json(
        cls, content: Any, status: int = 200, kind: str = "application/json", **headers: str
    ) -> Response:
        """Make a response with a JSON body. Underscores in header names become hyphens."""
        body = json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, {"Content-Type": kind} | named, (body,))

    def select(self, selection: str | None) -> Response:
        """Return the part of the body that a Range header selects, or a 416 without a body.

        Without a Range, or with a malformed one, this is the whole response.
        """
        match = _RANGE.fullmatch(selection or "")
        if match is None:
            return self
        total = size(self.body)
        first, last = match[1], match[2]
        start = int(first) if first else max(0, total - int(last))
        end = min(total, int(last) + 1) if first and last else total
        if start >= end:
            return Response(416, {"Content-Range": f"bytes */{total}"})
        headers = {**self.headers, "Content-Range": f"bytes {start}-{end - 1}/{total}"}
        body = part(self.body, start, end - start)
        return replace(self, status=206, headers=headers, body=body, whole=self.body)


_RANGE = re.compile(r"bytes=(?=.*\d)(\d*)-(\d*)")


class _UncheckedResponse(web.StreamResponse):
    """A response whose headers frame the body, whether or not they match it."""

    # Otherwise aiohttp truncates the body at Content-Length and chunks a body without one.
    _length_check = False


async def send(
    request: web.BaseRequest,
    response: Response,
    *,
    framing: Framing,
    transforms: list[Transform],
    on_start: Callable[[], None],
    on_sent: Callable[[int], None],
) -> tuple[web.StreamResponse, bool]:
    """Send a response.

    Args:
        request: The request.
        response: The response to it.
        framing: What marks the end of the body: Content-Length, closing, or chunks.
        transforms: Changes to the body, applied in order. Without any, files are sent by sendfile.
        on_start: Called when the headers have been sent.
        on_sent: Called with the number of bytes of each piece that was handed to the network.

    Returns:
        The response for aiohttp, and whether it was sent completely. It was not if the client
        disconnected or a transform broke it off.
    """
    stream = _UncheckedResponse(status=response.status, headers=dict(response.headers))
    if framing == "length":
        stream.headers["Content-Length"] = str(size(response.body))
    elif framing == "chunked":
        stream.enable_chunked_encoding()
    else:
        stream.force_close()
    transport = request.transport
    if transport is None:
        return stream, False
    # With an empty write buffer, draining means that everything was handed to the network.
    transport.set_write_buffer_limits(high=0)
    try:
        writer = await stream.prepare(request)
        on_start()
        if request.method == "HEAD" or writer is None:
            return stream, True
        if transforms or framing == "chunked":
            async with AsyncExitStack() as stack:
                source = await stack.enter_async_context(aclosing(chunks(response.body)))
                for transform in transforms:
                    source = await stack.enter_async_context(aclosing(transform(source)))
                async for chunk in source:
                    await stream.write(chunk)
                    await writer.drain()
                    on_sent(len(chunk))
        else:
            for piece in response.body:
                if isinstance(piece, Slice):
                    await _send_file(transport, piece, on_sent)
                else:
                    await stream.write(piece)
                    on_sent(len(piece))
            await writer.drain()
    except CloseConnection:
        transport.close()
    except ResetConnection:
        # A reset discards what the kernel has not sent yet, so give it time to send the body.
        await asyncio.sleep(0.02)
        reset(transport)
    except ConnectionError:
        transport.abort()
    else:
        return stream, True
    return stream, False


async def _send_file(
    transport: asyncio.WriteTransport, piece: Slice, on_sent: Callable[[int], None]
) -> None:
    loop = asyncio.get_running_loop()
    with piece.path.open("rb", buffering=0) as file:
        start, end = piece.start, piece.start + piece.length
        while start < end:
            if transport.is_closing():
                raise ConnectionResetError("the client closed the connection")
            file.seek(start)
            try:
                await loop.sendfile(transport, file, start, min(MAX_SENDFILE, end - start))
            finally:
                # Even if sendfile failed, the position in the file shows how far it came.
                reached = file.tell()
                on_sent(reached - start)
            if reached == start:
                raise CloseConnection(f"{piece.path} was truncated while it was sent")
            start = reached


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection with RST and discard the data that waits to be sent."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
