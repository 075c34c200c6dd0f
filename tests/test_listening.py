"""Who counts as a person, and the setting that says whom the agent listens to."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from livekit import api

from vision_agent import ConfigError
from vision_agent.config import parse_config
from vision_agent.hearing.listening import EVERYBODY, Listening, is_person
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .talking import CAMERA, device
from .waiting import until


async def test_agents_ingress_and_what_only_publishes_are_no_persons(server: LocalServer) -> None:
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(joined(server, "agent"))
        await stack.enter_async_context(joined(server, "alice"))
        await stack.enter_async_context(device(server, "caller", kind="sip"))
        await stack.enter_async_context(device(server, "other", kind="agent"))
        await stack.enter_async_context(device(server, "door", kind="ingress"))
        await stack.enter_async_context(device(server, "yard", grants=CAMERA))
        own = api.VideoGrants(can_update_own_metadata=True)
        told = await stack.enter_async_context(device(server, "attic", grants=own))
        await told.local_participant.set_attributes({"vision.kind": "camera"})
        present = room.remote_participants
        await until(lambda: len(present) == 6 and bool(present["attic"].attributes))
        assert {name for name, each in present.items() if is_person(each)} == {"alice", "caller"}

        def heard(listening: Listening, linked: str | None = None) -> set[str]:
            return {name for name, each in present.items() if listening.hears(each, linked=linked)}

        assert heard(EVERYBODY) == {"alice", "caller"} == heard(EVERYBODY, "alice")
        assert heard(Listening.parse(["door", "alice"])) == {"door", "alice"}  # named: whatever it is
        assert heard(Listening("linked"), "alice") == {"alice"}
        assert heard(Listening("linked")) == {"alice", "caller"}


@pytest.mark.parametrize(
    ("value", "listening"),
    [
        ('"everybody"', EVERYBODY),
        ('"linked"', Listening("linked")),
        ('["alice", "bob", "alice"]', Listening("named", ("alice", "bob"))),
    ],
)
def test_the_setting(value: str, listening: Listening) -> None:
    assert parse_config(f"[agent]\nlisten_to = {value}").agent.listen_to == listening


@pytest.mark.parametrize("value", ['"alice"', "[]", '[""]', "[1]", "true", "3"])
def test_a_setting_that_names_nobody_is_told(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[agent]\nlisten_to = {value}")
    assert str(caught.value).startswith("agent.listen_to = ")
    assert 'must be "everybody", "linked" or a list of identities' in str(caught.value)


def test_identities_belong_to_named() -> None:
    for mode, identities in (("named", ()), ("everybody", ("alice",)), ("named", ("",))):
        with pytest.raises(ConfigError, match="listen_to"):
            Listening(mode, identities)  # type: ignore[arg-type]  # of a tuple mypy widens
