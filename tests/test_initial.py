"""Pictures the model has from the start, and the fetching of them."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from livekit.agents import AgentSession, llm

from vision_agent import (
    ConfigError,
    ContextOptions,
    ImageError,
    SourceError,
    Vision,
    VisionAgent,
    VisionAgentError,
    VisionOptions,
    initial_context,
)
from vision_agent.fetch import fetch, is_public
from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes

from .cards import CardSource, ListeningLLM, images_in
from .files import FORMATS, bomb, file_of
from .rooms import ask

PRIVATE = ContextOptions(fetch=True, allow_private=True)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _card(request: web.Request) -> web.Response:
    return web.Response(body=file_of("PNG"), content_type="application/octet-stream")


async def _text(request: web.Request) -> web.Response:
    return web.Response(text="I am no picture", content_type="image/png")


async def _slow(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while request.transport is not None:  # a drop now and then: each read is quick, the whole is not
        await response.write(b"x")
        await asyncio.sleep(0.05)
    return response


async def _declared(request: web.Request) -> web.Response:
    return web.Response(body=bytes(2_000_000))


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()  # chunked: no Content-Length
    await response.prepare(request)
    while request.transport is not None:
        await response.write(bytes(65536))
    return response


async def _gone(request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def _broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.close()
    return response


async def _hop(request: web.Request) -> web.Response:
    left = int(request.match_info["left"])
    raise web.HTTPFound(f"/hop/{left - 1}" if left else "/card.png")


async def _to(request: web.Request) -> web.Response:
    raise web.HTTPFound(request.query["where"])


@asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/hop/{left}", _hop)
    app.router.add_get("/card.png", _card)
    for name, handler in handlers.items():
        app.router.add_get(f"/{name}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def content_of(message: llm.ChatMessage) -> llm.ImageContent:
    (content,) = [part for part in message.content if isinstance(part, llm.ImageContent)]
    return content


def code_in(message: llm.ChatMessage) -> str:
    header, _, packet = str(content_of(message).image).partition(",")
    assert header == "data:image/jpeg;base64" and content_of(message).mime_type == "image/jpeg"
    return read_codes(decode_jpeg(base64.b64decode(packet)))[0].text


@pytest.mark.parametrize("format", FORMATS)
async def test_a_local_file_is_inlined(tmp_path: Path, format: str) -> None:
    path = tmp_path / "picture.bin"  # the type comes from the bytes
    path.write_bytes(file_of(format))
    for given in (path, str(path), path.as_uri()):
        (message,) = (await initial_context([given])).messages()
        assert code_in(message) == "VA-1700000000"


async def test_files_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("I am text")
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "large.png").write_bytes(bytes(2000))
    os.mkfifo(tmp_path / "pipe.png")
    small = ContextOptions(max_bytes=1000)
    rows: list[tuple[str, type[VisionAgentError], str, ContextOptions | None]] = [
        ("nowhere.png", ConfigError, r"nowhere\.png: No such file", None),
        ("", ConfigError, "not a file", None),
        ("pipe.png", ConfigError, "not a file", None),
        ("large.png", ConfigError, "2000 bytes, at most 1000", small),
        ("text.png", ImageError, r"text\.png: not a picture", None),
        ("bomb.png", ImageError, r"bomb\.png: .*pixels", None),
        ("nul\0.png", ConfigError, r"nul\\x00\.png': not a path", None),
    ]
    for name, kind, said, options in rows:
        with pytest.raises(kind, match=said):
            await initial_context([tmp_path / name], options)


@pytest.mark.parametrize(
    "url", ["ftp://host/x.png", "https:///x.png", "javascript://x", "file://host/x.png", ""]
)
async def test_other_kinds_of_address_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be a file or an http"):
        await initial_context([url])


@pytest.mark.parametrize("fetch", [False, True])
@pytest.mark.parametrize(
    "url",
    [
        "http://[x",
        "http://[x/a.png?key=hidden",
        "http://me:hidden@host]/a.png",
        "http://me:hid/den@host/hidden.png?key=hidden",
        "http://host:65536/a.png",
        "http://host:one/a.png",
        "http://me:hidden@\u2100.example/a.png",  # a sign that Unicode takes for letters and a slash
    ],
)
async def test_an_address_that_is_none_is_told_without_its_secrets(url: str, fetch: bool) -> None:
    with pytest.raises(ConfigError, match=r"picture 'http://.*': not a valid address") as caught:
        await initial_context([url], ContextOptions(fetch=fetch))
    assert "hid" not in str(caught.value).replace("/hidden.png", "") and "\n" not in str(caught.value)


async def test_a_home_that_nobody_has_is_told() -> None:
    with pytest.raises(ConfigError, match=r"~nobody-at-all/a\.png': not a path"):
        await initial_context(["~nobody-at-all/a.png"])


@pytest.mark.parametrize(
    "where",
    [
        "http://[x",
        "http://host:99999/",
        "//[x",
        "http://\u2100.example/",
        "http://me:hidden@\u2100.example/",
        "http://me:hid/den@host/",
        "ftp://me:hidden@host/x?hidden",
    ],
)
async def test_a_redirect_to_no_address_is_one_line_without_secrets(where: str) -> None:
    async def lead_away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": where})

    async with serving(away=lead_away) as base:
        with pytest.raises(SourceError) as caught:
            await fetch(f"{base}/away", allow_private=True)
    assert "\n" not in str(caught.value) and "hid" not in str(caught.value)


async def test_what_is_no_web_server_is_told_without_the_query_of_the_address() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://me:hidden@127.0.0.1:{port}/a.png?sig=hidden"
        with pytest.raises(SourceError, match="it answers, but not as a web server") as caught:
            await fetch(url, allow_private=True)
    assert "hidden" not in str(caught.value) and caught.value.__cause__ is None


async def test_an_address_is_handed_on_unless_it_is_to_be_fetched() -> None:
    async with serving() as base:
        url = f"{base}/card.png?token=hidden"
        (message,) = (await initial_context([url])).messages()
        assert content_of(message).image == url and content_of(message).mime_type == "image/png"
        (message,) = (await initial_context([url], PRIVATE)).messages()
        assert code_in(message) == "VA-1700000000"
        assert "hidden" not in str(message.extra)


async def test_redirects_are_followed_so_far() -> None:
    async with serving() as base:
        assert await fetch(f"{base}/hop/2", allow_private=True) == file_of("PNG")
        with pytest.raises(SourceError, match="more than 3 redirects"):
            await fetch(f"{base}/hop/3", allow_private=True)


@pytest.mark.parametrize(
    ("name", "handler", "said"),
    [
        ("text", _text, "not a picture"),
        ("slow", _slow, "not there within 0.5 s"),
        ("declared", _declared, "2000000 bytes, at most 1000000"),
        ("endless", _endless, "more than 1000000 bytes"),
        ("gone", _gone, "the server answered 404"),
        ("broken", _broken, "broken: "),
        ("to?where=file:///etc/hostname", _to, "only http:// and https://"),
    ],
)
async def test_what_can_not_be_fetched_is_told_in_one_line(name: str, handler: Handler, said: str) -> None:
    options = ContextOptions(fetch=True, allow_private=True, timeout_s=0.5, max_bytes=1_000_000)
    async with serving(**{name.partition("?")[0]: handler}) as base:
        with pytest.raises((SourceError, ImageError), match=said) as caught:
            await initial_context([f"{base}/{name}"], options)
    assert "\n" not in str(caught.value)


async def test_private_addresses_are_refused_however_they_are_written() -> None:
    asked: list[str] = []

    async def count(request: web.Request) -> web.Response:
        asked.append(request.path)
        return await _card(request)

    async with serving(count=count) as base:
        port = base.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"):
            with pytest.raises(SourceError):
                await fetch(f"http://{host}:{port}/count")
        with pytest.raises(SourceError, match=r"127\.0\.0\.1 is not a public address; set allow_private"):
            await fetch(f"{base}/count")
    assert asked == []


async def test_the_address_connected_to_is_judged_not_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is asked about and private when it is connected to."""
    real, answers = socket.getaddrinfo, ["1.1.1.1"]

    def rebinding(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return real(answers.pop() if answers else "127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert rebinding("rebind.example", 80)[0][4][0] == "1.1.1.1"  # what a check beforehand would see
    async with serving() as base:
        with pytest.raises(SourceError, match=r"127\.0\.0\.1 is not a public address"):
            await fetch(base.replace("127.0.0.1", "rebind.example") + "/card.png")


async def test_a_redirect_from_a_public_to_a_private_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop is declared public for the test; the second is judged as it is."""
    monkeypatch.setattr("vision_agent.fetch.is_public", lambda address: address == "127.0.0.1")
    async with serving(to=_to) as base:
        port = base.rpartition(":")[2]
        with pytest.raises(SourceError, match=r"127\.0\.0\.2 is not a public address"):
            await fetch(f"{base}/to?where=http://127.0.0.2:{port}/card.png")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # cloud metadata
        ("100.64.0.1", False),  # carrier-grade NAT
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("::127.0.0.1", False),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("64:ff9b::a9fe:a9fe", False),  # NAT64 of 169.254.169.254
        ("64:ff9b::101:101", True),
    ],
)
def test_public_and_other_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match=r"Connect call failed|refused"):
        await fetch(f"http://127.0.0.1:{port}/x.png", allow_private=True)


async def test_the_first_question_is_answered_from_the_initial_picture(tmp_path: Path) -> None:
    path = tmp_path / "manual page.png"
    path.write_bytes(file_of("PNG"))
    model, chat_ctx = ListeningLLM(), await initial_context([path])
    async with Vision(source=None) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision, chat_ctx=chat_ctx))
        assert "VA-1700000000" in await ask(session, "What does the QR code say?")
    (first, *_) = [m for m in model.requests[-1].messages() if m.role == "user"]
    assert first.content[0] == '[picture: given at the start, "manual page.png"]'


async def test_the_initial_picture_stays_beside_the_turn_pictures(tmp_path: Path) -> None:
    path, source, model = tmp_path / "a.png", CardSource(), ListeningLLM()
    path.write_bytes(file_of("PNG"))
    source.moment_s = 1_700_000_500.0
    chat_ctx = await initial_context([path])
    options = VisionOptions(max_images=2)
    async with Vision(source=source, options=options) as vision, AgentSession[Any](llm=model) as session:
        await session.start(VisionAgent(vision=vision, chat_ctx=chat_ctx))
        first = await ask(session, "What do the QR codes say?")
        assert "VA-1700000000" in first and "VA-1700000500" in first
        for _ in range(4):
            answer = await ask(session, "What does the QR code say?")
            assert "VA-1700000500" in answer and "VA-1700000000" not in answer
        assert len(images_in(model.requests[-1])) == 1 + 2
        answer = await ask(session, "What was the code in the picture given at the start?")
        assert "VA-1700000000" in answer and "VA-1700000500" not in answer


async def test_the_built_in_model_says_that_it_opens_no_address() -> None:
    chat_ctx = await initial_context(["https://pictures.example/a.png"])
    source = CardSource()
    async with Vision(source=source) as vision, AgentSession[Any](llm=ListeningLLM()) as session:
        await session.start(VisionAgent(vision=vision, chat_ctx=chat_ctx))
        answer = await ask(session, "What does the QR code say?")
        assert "VA-1700000000" in answer and "I can't open addresses" in answer


async def test_size_quality_and_detail_of_the_views_are_those_of_initial_pictures_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of("PNG"))
    sizes = []
    for quality in (20, 95):
        options = VisionOptions(max_side_px=200, quality=quality, inference_detail="low")
        (message,) = (await initial_context([path], vision=options)).messages()
        (content,) = (part for part in message.content if isinstance(part, llm.ImageContent))
        assert content.inference_detail == "low" and isinstance(content.image, str)
        data = base64.b64decode(content.image.partition(",")[2])
        assert max(decode_jpeg(data).shape[:2]) == 200
        sizes.append(len(data))
    assert sizes[1] > 2 * sizes[0]
