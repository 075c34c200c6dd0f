"""Keys, passwords and tokens: where they must not appear, and what a device's token allows."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest
from aiohttp import web
from livekit import api, rtc
from livekit.agents import AgentSession
from livekit.agents.voice.room_io import RoomOptions

from vision_agent import ConfigError, Vision, VisionAgent
from vision_agent.config import ServerKeys, check_url
from vision_agent.doctor import server_of
from vision_agent.errors import ServerError
from vision_agent.models.offline import OfflineLLM
from vision_agent.publish.access import Access
from vision_agent.redaction import without_secrets
from vision_agent.testing.server import LocalServer
from vision_agent.worker import check_server

from .publishing import access_to, publisher_of
from .rooms import codes, joined
from .servers import web_server
from .visitor import Visitor
from .waiting import until

CAMERA = rtc.TrackSource.SOURCE_CAMERA


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@host:81/a.png?sig=secret#secret", "https://***@host:81/a.png"),
        ("https://me:secret@[x?secret", "https://***@[x"),
        ("https://host?secret", "https://host"),
        ("https://host:81/a.png", "https://host:81/a.png"),
        ("https://[::1]:81/a.png", "https://[::1]:81/a.png"),
        ("https://secret@host/a.png", "https://***@host/a.png"),
        ("https://host/a\nb\x9b\u2028", "https://host/ab"),
        # the signs that end a host, in a password
        ("http://me:sec/ret@host/x.jpg", "http://***@host/x.jpg"),
        ("http://me:sec?ret@host/x.jpg", "http://***@host/x.jpg"),
        ("http://me:sec#ret@host/x.jpg", "http://***@host/x.jpg"),
        ("http://se/cret:secret@host/x.jpg", "http://***@host/x.jpg"),
        ("ws://me:12/secret@host", "ws://***@host"),
        # an @ in the query, or in the password?
        ("http://host/x.jpg?at=12:30&mail=secret@secret", "http://host/x.jpg"),
        ("http://host:81/x.jpg?token=a@secret", "http://***"),
        ("http://me:secret@host/x.jpg?token=a@secret", "http://***"),
        ("http://me:sec?ret@host/x.jpg?token=a@secret", "http://***"),
        ("http://secret?secret@host/x.jpg", "http://***"),
        ("http://[::1]:81/x.jpg?token=a@secret", "http://***"),
        # no address, but meant as one
        ("://me:secret@host/x", "://***@host/x"),
        ("ht tp://me:secret@host/x", "ht tp://***@host/x"),
        ("rtsp//me:secret@cam/live", "***@cam/live"),
        ("ws:me:secret@host", "ws:***@host"),
        ("clip\x1b[2J.mp4", "clip[2J.mp4"),
    ],
)
def test_secrets_are_left_out_of_an_address_however_they_are_written(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ws://me:hidden@127.0.0.1:1",
        "ws://127.0.0.1:1?token=hidden",
    ],
)
async def test_the_servers_address_is_told_without_its_secrets(url: str) -> None:
    keys = ServerKeys(url=url, api_key="key", api_secret="hidden" * 8)
    with pytest.raises(ServerError, match="check LIVEKIT_URL") as caught:
        await check_server(keys)
    named = {"LIVEKIT_URL": url, "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "hidden" * 8}
    access = Access.choose(room="test", environment=named)
    reasons = ["timed out", "token expired", "permissions denied", "401", "something"]
    told = [str(access.explain(rtc.ConnectError(reason))) for reason in reasons]
    for text in (str(caught.value), (await server_of(named)).detail, repr(keys), repr(access), *told):
        assert "hid" not in text and "\n" not in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("me:hidden@host:7880", "must begin with ws://"),
        ("http//me:hid/den@host", "must begin with ws://"),
        ("host?token=hidden", "must begin with ws://"),
        ("ws://me:hid/den@host:1", "not an address"),
        ("ws://me:hidden@host:99999", "not an address"),
        ("ws://me:hidden@host:0", "not an address"),
        ("ws://me:hidden@\u2100.host", "not an address"),
        ("ws://[host?hidden", "not an address"),
    ],
)
def test_an_address_that_is_none_of_a_server_is_told_without_its_secrets(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"LIVEKIT_URL = '.*host.*': {said}") as caught:
        check_url(url)
    assert "hid" not in str(caught.value)


async def test_what_answers_but_is_no_livekit_server_is_one_line() -> None:
    async def greet(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with web_server(web.post("/{path:.*}", greet)) as port:
        keys = ServerKeys(url=f"ws://127.0.0.1:{port}/?hidden", api_key="key", api_secret="hidden" * 8)
        with pytest.raises(ServerError, match="answers, but not as LiveKit; check LIVEKIT_URL") as caught:
            await check_server(keys)
    assert "hidden" not in str(caught.value)


@pytest.mark.server
async def test_the_servers_secret_is_on_no_command_line() -> None:
    async with LocalServer() as server:
        await check_server(server.keys)  # the server knows the key
        started = psutil.Process().children(recursive=True)
        assert any("livekit-server" in process.name() for process in started)
        for process in started:
            assert server.api_secret not in " ".join(process.cmdline())


async def test_a_device_may_send_its_camera_and_nothing_else(server: LocalServer) -> None:
    device = rtc.Room()
    async with joined(server, "alice") as alice:
        heard: list[str] = []
        alice.register_text_stream_handler("lk.chat", lambda reader, identity: heard.append(identity))
        alice.on("data_received", lambda packet: heard.append(packet.topic))
        await device.connect(server.url, access_to(server, "door").ticket())
        try:
            me = device.local_participant
            await until(lambda: "door" in alice.remote_participants)
            seen = alice.remote_participants["door"]
            assert seen.kind == rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS
            assert me.permissions.can_publish and list(me.permissions.can_publish_sources) == [CAMERA]
            assert not me.permissions.can_publish_data and not me.permissions.can_subscribe
            screen = rtc.LocalVideoTrack.create_video_track("screen", rtc.VideoSource(320, 180))
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_SCREENSHARE)
            with pytest.raises((rtc.participant.PublishTrackError, asyncio.TimeoutError)):
                await asyncio.wait_for(me.publish_track(screen, options), 3)
            for send in (
                me.send_text("Who is there?", topic="lk.chat"),
                me.publish_data(b"hello", topic="greeting"),
            ):
                await asyncio.gather(send, return_exceptions=True)
            async with joined(server, "bob") as bob:  # what he sends arrives, and after what the device sent
                await bob.local_participant.publish_data(b"hello", topic="from bob")
                await until(lambda: "from bob" in heard)
            assert heard == ["from bob"]
        finally:
            await device.disconnect()


async def test_an_agent_does_not_take_a_device_that_was_there_first_for_the_person(
    server: LocalServer,
) -> None:
    text_only = RoomOptions(audio_input=False, audio_output=False, close_on_disconnect=False)
    async with (
        joined(server, "agent") as room,
        Vision.for_room(room) as vision,
        OfflineLLM() as model,
        publisher_of("testcard://?size=320x180", server, identity="door") as publisher,
        AgentSession[Any](llm=model) as session,
    ):
        await until(lambda: publisher.state.published and "door" in room.remote_participants)
        await session.start(VisionAgent(vision=vision), room=room, room_options=text_only)
        async with joined(server, "alice") as alice:
            visitor = Visitor(alice)
            assert await visitor.ask_until(lambda answer: bool(codes(answer)))
            linked = session.room_io.linked_participant
            assert linked is not None and linked.identity == "alice"


def test_a_ticket_is_for_the_camera_of_one_room() -> None:
    secret = "s" * 40
    keys = ServerKeys(url="ws://host", api_key="key", api_secret=secret)
    ticket = Access(url="ws://host", keys=keys, room="home", identity="door").ticket()
    claims = api.TokenVerifier("key", secret).verify(ticket)
    assert claims.video == api.VideoGrants(
        room_join=True,
        room="home",
        can_publish=True,
        can_publish_sources=["camera"],
        can_publish_data=False,
        can_subscribe=False,
    )
    assert (claims.identity, claims.kind) == ("door", "ingress")
