"""Typed questions of several people in a room: whom the agent answers, in which order, and who gets which."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession

from vision_agent.hearing import intake
from vision_agent.hearing.fair_queue import MAX_OF_ONE, FairQueue
from vision_agent.hearing.listening import Listening
from vision_agent.hearing.questions import Questions
from vision_agent.testing.scripted import Ears, SilentInput, SilentTTS
from vision_agent.testing.server import LocalServer

from .rooms import joined
from .talking import CAMERA, TEXT_ONLY, WITH_TEXT, EchoLLM, device, person, question_of, talking
from .visitor import Visitor
from .waiting import until


async def test_a_camera_that_came_first_makes_nobody_deaf_and_answers_name_who_asked(
    server: LocalServer,
) -> None:
    async with device(server, "door", grants=CAMERA), joined(server, "agent") as room:
        await until(lambda: "door" in room.remote_participants)
        async with talking(room) as talk, person(server, "alice") as alice, person(server, "bob") as bob:
            visitors = {"alice": alice, "bob": bob}
            for name, visitor in visitors.items():
                asked = await visitor.post(f"Who is {name}?")
                for each in visitors.values():  # everybody in the room gets every answer
                    heard = await each.answer_to(asked)
                    assert heard.text.strip() == f"You asked: Who is {name}?"
                    assert heard.attributes["vision.asked_by"] == name
                    assert heard.attributes["lk.transcription_final"] == "true"
                    assert heard.attributes["lk.segment_id"].startswith("SG_")
            questions = [message for message in talk.session.history.messages() if message.role == "user"]
            assert [message.extra["vision_agent"] for message in questions] == [
                {"asked_by": "alice"},
                {"asked_by": "bob"},
            ]
            assert (talk.questions.statistics.asked, talk.questions.statistics.answered) == (2, 2)


async def test_a_flood_delays_another_person_by_one_answer_and_what_has_no_room_is_refused(
    server: LocalServer,
) -> None:
    model = EchoLLM()
    model.goes_on.clear()
    async with (
        joined(server, "agent") as room,
        person(server, "alice") as alice,
        person(server, "bob") as bob,
    ):
        async with talking(room, model) as talk:
            asked = [await alice.post("0")]
            await until(lambda: model.asked == ["0"])  # its answer has begun
            asked += [await alice.post(str(n)) for n in range(1, 20)]
            await until(lambda: talk.questions.statistics.refused == 19 - MAX_OF_ONE)
            bobs = await bob.post("And me?")
            await until(lambda: talk.questions.statistics.asked == 1 + MAX_OF_ONE + 1)
            model.goes_on.set()
            heard = await bob.answer_to(bobs)
            assert heard.text.strip() == "You asked: And me?"
            await until(lambda: talk.questions.statistics.answered == 1 + MAX_OF_ONE + 1)
            assert model.asked[:2] == ["0", "And me?"]  # bob has to wait for the one that had begun
            alices = [int(each) for each in model.asked if each != "And me?"]
            assert alices == sorted(alices)  # in the order in which she asked
            heard_by_alice = [await alice.answer_to(each) for each in asked]
            refusals = [each for each in heard_by_alice if each.attributes.get("vision.error") == "busy"]
            assert len(refusals) == 19 - MAX_OF_ONE
            assert all("8 of your questions are waiting" in each.text for each in refusals)
            assert all(each.attributes["vision.asked_by"] == "alice" for each in refusals)
            assert not any("vision.error" in each.attributes for each in bob.heard)  # only hers to know


async def test_all_persons_together_have_a_limit_too(server: LocalServer) -> None:
    model = EchoLLM()
    model.goes_on.clear()
    queue = FairQueue(max_of_one=2, max_in_all=3)
    async with (
        joined(server, "agent") as room,
        person(server, "alice") as alice,
        person(server, "bob") as bob,
    ):
        async with talking(room, model, queue=queue) as talk:
            await alice.post("first")
            await until(lambda: len(model.requests) == 1)
            for visitor in (alice, bob, alice):
                await visitor.post("more")
            await until(lambda: talk.questions.statistics.asked == 4)
            refused = await bob.answer_to(await bob.post("one too many"))
            assert refused.text.startswith("I can't take this question now: 3 questions are waiting")


async def test_what_is_typed_before_there_is_a_session_is_answered(server: LocalServer) -> None:
    room = rtc.Room()
    async with person(server, "alice") as alice, Questions(room) as questions:
        await room.connect(server.url, server.token("agent", "test"))
        try:
            asked = await alice.post("Too early?")
            await until(lambda: questions.statistics.asked == 1)
            async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
                await session.start(Agent(instructions=""), room=room, room_options=TEXT_ONLY)
                questions.attach(session)
                questions.attach(session)  # changes nothing
                with pytest.raises(RuntimeError, match="already"):
                    questions.attach(AgentSession[Any]())
                assert (await alice.answer_to(asked)).text.strip() == "You asked: Too early?"
        finally:
            await room.disconnect()


async def test_only_named_people_are_heard_and_the_others_are_told(server: LocalServer) -> None:
    listening = Listening.parse(["bob"])
    async with (
        joined(server, "agent") as room,
        person(server, "alice") as alice,
        person(server, "bob") as bob,
    ):
        async with talking(room, listening=listening) as talk:
            await until(lambda: len(room.remote_participants) == 2)
            told = await alice.answer_to(await alice.post("Do you hear me?"))
            assert told.attributes["vision.error"] == "not_heard" and "only certain people" in told.text
            answer = await bob.answer_to(await bob.post("Do you hear me?"))
            assert answer.text.strip() == "You asked: Do you hear me?"
            assert talk.model.asked == ["Do you hear me?"] and talk.questions.statistics.refused == 1


async def test_an_agent_that_types_is_not_answered_nor_told(server: LocalServer) -> None:
    async with device(server, "other", kind="agent") as other, joined(server, "agent") as room:
        visitor = Visitor(other)
        async with talking(room) as talk:
            await visitor.post("Hello, colleague.")
            await until(lambda: talk.questions.statistics.refused == 1)
        assert visitor.heard == [] and talk.model.requests == []


async def test_who_leaves_takes_their_waiting_questions_along(server: LocalServer) -> None:
    model = EchoLLM()
    model.goes_on.clear()
    async with joined(server, "agent") as room, person(server, "bob") as bob:
        async with talking(room, model) as talk, person(server, "alice") as alice:
            for number in range(3):
                await alice.post(str(number))
            await until(lambda: model.asked == ["0"])
            bobs = await bob.post("Still there?")
            await until(lambda: talk.questions.statistics.asked == 4)
            await alice.room.disconnect()
            await until(lambda: talk.questions.statistics.dropped == 2)
            model.goes_on.set()
            await bob.answer_to(bobs)
            assert model.asked == ["0", "Still there?"]


async def test_empty_long_and_endless_questions(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ARRIVES_WITHIN_S", 1.0)
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room) as talk:
            endless = await alice.room.local_participant.stream_text(topic="lk.chat")
            await endless.write("What if I never")
            long = await alice.answer_to(await alice.post("x" * (intake.MAX_CHARS + 1)))
            assert long.attributes["vision.error"] == "long" and "10000 characters" in long.text
            await alice.post(" \n")
            behind = await alice.post("And behind them?")  # it waits until the timeout of the endless one
            given_up = await alice.answer_to(endless.info.stream_id)
            assert given_up.attributes["vision.error"] == "broken"
            assert "And behind them?" in (await alice.answer_to(behind)).text
            assert talk.model.asked == ["And behind them?"]
            now = talk.questions.statistics
            assert (now.asked, now.answered, now.refused, now.dropped) == (1, 1, 2, 0)
            await endless.aclose()


async def test_a_session_that_closes_drops_what_waits_and_the_next_one_is_asked(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    model = EchoLLM()
    model.goes_on.clear()
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room, model) as talk:
            for number in range(3):
                await alice.post(str(number))
            await until(lambda: talk.questions.statistics.asked == 3 and len(model.requests) == 1)
            await talk.session.aclose()
            assert (talk.questions.statistics.dropped, talk.questions.statistics.failed) == (2, 1)
            assert "questions were waiting" in caplog.text
            model.goes_on.set()
            async with AgentSession[Any](llm=model) as session:
                await session.start(Agent(instructions=""), room=room, room_options=TEXT_ONLY)
                talk.questions.attach(session)
                assert "again" in (await alice.answer_to(await alice.post("Once again?"))).text


class TakingAgent(Agent):
    """Takes the questions of its room while it is the session's agent."""

    def __init__(self, room: rtc.Room) -> None:
        super().__init__(instructions="")
        self.questions = Questions(room)

    async def on_enter(self) -> None:
        self.questions.attach(self.session)

    async def on_exit(self) -> None:
        await self.questions.aclose()


async def test_the_topic_is_taken_over_from_livekit_and_given_back(server: LocalServer) -> None:
    async with (
        joined(server, "agent") as room,
        person(server, "alice") as alice,
        person(server, "bob") as bob,
    ):
        visitors = {"alice": alice, "bob": bob}
        await until(lambda: len(room.remote_participants) == 2)
        async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
            agent = TakingAgent(room)
            await session.start(agent, room=room, room_options=WITH_TEXT)
            for visitor in visitors.values():  # LiveKit by itself hears one of them only
                asked = await visitor.post("Heard?")
                assert "Heard?" in (await visitor.answer_to(asked)).text
            linked = session.room_io.linked_participant
            assert linked is not None
            session.update_agent(Agent(instructions=""))
            await until(lambda: room._text_stream_handlers["lk.chat"] == session.room_io._on_chat_text_stream)
            visitor = visitors[linked.identity]
            await visitor.post("And by LiveKit?")
            await until(lambda: "You asked: And by LiveKit? " in [each.text for each in visitor.heard])
            assert "vision.question" not in visitor.heard[-1].attributes  # which LiveKit knows nothing of
            assert agent.questions.statistics.asked == 2
        assert "lk.chat" not in room._text_stream_handlers  # the session has taken its own handler off


class LingeringAgent(Agent):
    """Takes its time to leave."""

    def __init__(self) -> None:
        super().__init__(instructions="")
        self.leaving, self.may_go = asyncio.Event(), asyncio.Event()

    async def on_exit(self) -> None:
        self.leaving.set()
        await self.may_go.wait()


async def test_a_question_amid_a_handover_is_answered_by_the_next_agent(server: LocalServer) -> None:
    async with joined(server, "agent") as room, person(server, "alice") as alice, talking(room) as talk:
        agent = LingeringAgent()
        talk.session.update_agent(agent)
        await until(lambda: talk.session.current_agent is agent)
        await alice.answer_to(await alice.post("Who are you?"))
        talk.session.update_agent(Agent(instructions=""))
        await until(agent.leaving.is_set)
        asked = await alice.post("And now?")
        await until(lambda: talk.questions.statistics.asked == 2)
        agent.may_go.set()
        assert (await alice.answer_to(asked)).text.strip() == "You asked: And now?"
        assert talk.questions.statistics.failed == 0


async def test_in_a_spoken_session_typed_answers_are_addressed_and_spoken_ones_are_not(
    server: LocalServer,
) -> None:
    ears = Ears()
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        model = EchoLLM()
        async with model, Questions(room) as questions:
            session = AgentSession[Any](llm=model, stt=ears.stt, vad=ears.vad, tts=SilentTTS())
            session.input.audio = SilentInput()
            async with session:
                aloud = replace(TEXT_ONLY, audio_output=True)
                await session.start(Agent(instructions=""), room=room, room_options=aloud)
                questions.attach(session)
                typed = await alice.answer_to(await alice.post("What do I type?"))
                assert "What do I type?" in typed.text and typed.attributes["vision.asked_by"] == "alice"
                await ears.say("What do I say?")
                answer = "You asked: What do I say?"
                await until(lambda: any(answer in each.text for each in alice.heard))
                spoken = next(each for each in alice.heard if answer in each.text)
                assert "vision.asked_by" not in spoken.attributes
                assert question_of(model.requests[-1]) == "What do I say?"


async def test_linked_leaves_the_topic_alone(server: LocalServer) -> None:
    async with joined(server, "agent") as room, Questions(room, listening=Listening("linked")) as questions:
        async with EchoLLM() as model, AgentSession[Any](llm=model) as session:
            await session.start(Agent(instructions=""), room=room, room_options=WITH_TEXT)
            handler = room._text_stream_handlers["lk.chat"]
            questions.attach(session)
            assert room._text_stream_handlers["lk.chat"] == handler


async def test_no_log_line_holds_what_was_asked(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="vision_agent")
    async with joined(server, "agent") as room, person(server, "alice") as alice:
        async with talking(room):
            await alice.answer_to(await alice.post("my secret"))
            await alice.answer_to(await alice.post("my secret" * 10_000))
    ours = [record for record in caplog.records if record.name.startswith("vision_agent")]
    assert ours and not any("my secret" in str(vars(record)) for record in ours)
