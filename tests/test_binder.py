"""Which sightings a request gets, case by case."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from livekit.agents import llm

from vision_agent import ImageError, Sighting, Vision
from vision_agent.imaging.jpeg import EncodedImage
from vision_agent.turns import messages
from vision_agent.turns.binder import TurnBinder
from vision_agent.turns.lines import NO_CAMERA
from vision_agent.turns.messages import carrier

from .seeing import CARD, Talk, nothing, parts, sighting, users

LINE = '[picture: "desk", seen 80 ms before this question]'


def question(text: str = "What is that?") -> llm.ChatMessage:
    return llm.ChatMessage(role="user", content=[text])


def test_the_line_beside_a_picture_is_in_the_request_only() -> None:
    talk = Talk(sighting(), nothing("door"))
    (shown,) = talk.ask().messages()
    assert parts(shown) == ["What is that?", LINE, "<picture>", '[no picture from "door": it is muted]']
    (message,) = talk.chat_ctx.messages()
    assert parts(message) == ["What is that?", "<picture>"] and message.text_content == "What is that?"


def test_without_a_camera_the_model_reads_so() -> None:
    assert users(Talk().ask()) == [["What is that?", NO_CAMERA]]


def test_a_message_refers_to_its_sightings_by_id_and_the_ledger_holds_them() -> None:
    seen = sighting()
    talk = Talk(seen)
    talk.ask()
    (message,) = talk.chat_ctx.messages()
    assert [each["id"] for each in messages.about(message)["sightings"]] == [seen.id]
    assert [part.id for part in message.content if isinstance(part, llm.ImageContent)] == [seen.id]
    assert talk.vision.ledger.get(seen.id) is seen
    assert talk.last.current == (seen.id,) and talk.last.answers == message.id


def test_several_pictures_of_one_message_are_numbered() -> None:
    talk = Talk(sighting("camera of ann"), sighting("screen of ann"))
    talk.send(caption="a leaf", owner="bob")
    (parts_of,) = users(talk.ask())
    lines = [part for part in parts_of if part.startswith("[")]
    assert [line[:16] for line in lines] == [f"[picture {n} of 3:" for n in (1, 2, 3)]
    assert 'sent by "bob" with the caption "a leaf"' in lines[0] and "screen of ann" in lines[2]


def test_in_openais_format_each_line_tells_which_picture_it_is_about() -> None:
    talk = Talk(sighting("camera of ann"), sighting("screen of ann"))
    made, _ = talk.ask().to_provider_format("openai")
    content = made[-1]["content"]
    kinds = [part["type"] for part in content]
    assert kinds == ["image_url", "image_url", "text"]  # torn apart: only the numbers tell which is which
    text = content[-1]["text"]
    assert text.index('picture 1 of 2: "camera of ann"') < text.index('picture 2 of 2: "screen of ann"')


def test_what_belongs_to_one_turn_is_one_message() -> None:
    talk = Talk(sighting())
    talk.chat_ctx.insert(carrier([Sighting(view="plan.png", purpose="initial", image=CARD)], kind="given"))
    talk.send(caption="a leaf")
    talk.send(caption="a stone")
    first = talk.ask("What is on the plan?")
    assert [message.role for message in first.messages()] == ["user"]
    talk.answer()
    talk.send()
    second = talk.ask("And this?")
    assert [message.role for message in second.messages()] == ["user", "assistant", "user"]


def test_pictures_sent_since_the_last_answer_all_go_out_with_the_next_question() -> None:
    talk = Talk(sighting("a"), sighting("b"), sighting("c"), max_images=3)
    for number in range(3):
        talk.send(caption=f"photo {number}")
    (first,) = users(talk.ask())
    assert first.count("<picture>") == 6
    talk.answer()
    talk.show(sighting())
    second = users(talk.ask())
    assert [message.count("<picture>") for message in second] == [2, 1]  # three in all


def test_an_upload_that_comes_while_an_answer_is_spoken_waits_for_the_next_question() -> None:
    talk = Talk(sighting(), max_images=1)
    talk.ask()
    sent = talk.send(caption="a leaf")  # before the answer is in the history, and after the request
    talk.answer()
    talk.ask("And this?")
    (current,) = (key for key in talk.last.current if talk.vision.ledger.get(key).image)  # type: ignore[union-attr]  # it is there
    assert current == messages.about(sent)["sightings"][0]["id"]


def test_with_one_picture_a_request_the_upload_goes_and_the_view_says_why_not() -> None:
    talk = Talk(sighting(), max_images=1)
    talk.send(caption="a leaf")
    (asked,) = users(talk.ask())
    assert asked.count("<picture>") == 1 and "sent by the user" in asked[0]
    assert talk.vision.looks[-1]["limit"] == 0
    talk.answer()
    talk.send()
    with pytest.raises(ImageError, match="1 picture waits for the next question already: ask it first"):
        talk.send()


def test_too_many_waiting_pictures_are_refused_not_dropped() -> None:
    talk = Talk()
    with pytest.raises(ImageError, match="8 pictures wait for the next question already"):
        for _ in range(9):
            talk.send()
    (asked,) = users(talk.ask())
    assert asked.count("<picture>") == 8


def test_old_pictures_become_a_line_and_the_request_stays_flat() -> None:
    talk = Talk(sighting(), max_images=3)
    talk.chat_ctx.insert(carrier([Sighting(view="plan.png", purpose="initial", image=CARD)], kind="given"))
    for turn in range(1, 8):
        talk.show(sighting())
        asked = users(talk.ask())
        talk.answer()
        assert sum(message.count("<picture>") for message in asked) == min(turn, 3) + 1
        assert talk.last.turn == turn
    assert '[an earlier picture, no longer shown: "desk"]' in asked[1]
    assert "<picture>" in asked[0]  # given at the start
    held = [part for m in talk.chat_ctx.messages() for part in m.content if not isinstance(part, str)]
    assert len(held) == 4  # the history holds no more than the request


def test_a_question_reads_the_same_in_later_requests_so_that_providers_can_cache_it() -> None:
    talk = Talk(sighting())
    (asked,) = users(talk.ask())
    talk.answer()
    talk.show(sighting(age_s=0.02))
    first, second = users(talk.ask())
    assert first == asked and "seen 20 ms before this question]" in second[1]


def test_a_picture_the_ledger_let_go_is_taken_out_of_the_messages_too() -> None:
    heavy = EncodedImage(data=bytes(600_000), mime_type="image/jpeg", width=4, height=3)
    talk = Talk(sighting(image=heavy), max_images=3, max_held_bytes=1_000_000)
    talk.ask()
    talk.answer()
    talk.show(sighting(image=heavy))
    first, second = users(talk.ask())
    assert "<picture>" not in first and "<picture>" in second
    assert talk.vision.ledger.statistics().held_bytes <= 1_000_000


# who asks, and who does not


def test_a_request_the_agent_begins_by_itself_has_the_view_of_its_moment() -> None:
    talk = Talk(sighting())
    first = talk.request()
    assert users(first) == [['[picture: "desk", seen 80 ms before this request]', "<picture>"]]
    assert talk.chat_ctx.items == []  # in the request only
    talk.ask()
    talk.answer()
    talk.show(sighting(age_s=0.02))
    talk.chat_ctx.add_message(role="system", content="Say what you see.")
    again = talk.request()
    asked, answered, shown, wanted = again.messages()
    assert [asked.role, answered.role, shown.role, wanted.role] == ["user", "assistant", "user", "system"]
    assert parts(shown)[0] == '[picture: "desk", seen 20 ms before this request]'
    assert talk.last.answers == "" and len(talk.last.current) == 1 and len(talk.last.earlier) == 1


def test_the_follow_up_of_what_the_agent_began_keeps_its_picture() -> None:
    talk = Talk(sighting())
    talk.request()
    (first,) = talk.last.current
    talk.call()
    talk.show(sighting())
    talk.request()
    assert talk.last.current == (first,) and len(talk.vision.looks) == 1
    assert talk.last.turn == 1


def test_a_follow_up_has_its_questions_picture_and_after_a_slow_tool_that_of_now() -> None:
    talk = Talk(sighting())
    talk.ask()
    (asked,) = talk.last.current
    talk.call()
    talk.request()
    assert talk.last.current == (asked,) and len(talk.vision.looks) == 1
    slow = Talk(sighting(age_s=3.0))
    slow.ask()
    (asked,) = slow.last.current
    slow.call()
    slow.show(sighting())
    shown = users(slow.request())
    assert slow.last.current != (asked,) and slow.last.earlier == (asked,)
    assert shown[-1][0] == '[picture: "desk", seen 80 ms before this request]'
    slow.call()
    slow.request()
    assert len(slow.vision.looks) == 2  # the second follow-up is quick


def test_what_the_assistant_says_before_a_call_is_no_answer() -> None:
    talk = Talk(sighting())
    talk.ask()
    (asked,) = talk.last.current
    talk.answer("Let me look that up.")
    talk.call()
    talk.request()
    assert talk.last.current == (asked,) and talk.last.answers


def test_a_question_that_was_never_answered_does_not_lend_its_picture_to_what_follows() -> None:
    talk = Talk(sighting(age_s=1.0))
    talk.ask()
    (old,) = talk.last.current
    talk.show(sighting())
    talk.request()  # the agent tries again by itself: the question is in the history
    assert old not in talk.last.current and len(talk.last.current) == 1


def test_a_note_behind_a_question_is_no_answer() -> None:
    talk = Talk(sighting())
    asked = talk.chat_ctx.add_message(role="user", content="What is that?")
    talk.answer("Found out: cups hold 0.2 l.")
    talk.request(said=[asked.id])
    assert talk.last.answers == asked.id


def test_a_picture_behind_a_question_does_not_take_its_place() -> None:
    talk = Talk(sighting())
    asked = talk.chat_ctx.add_message(role="user", content="What is that?")
    talk.send(caption="a leaf")
    talk.request(said=[])
    assert talk.last.answers == asked.id and len(talk.last.current) == 2


def test_a_picture_that_a_tool_adds_by_itself_is_no_question() -> None:
    talk = Talk(sighting())
    talk.ask()
    talk.call("zoom")
    own = llm.ImageContent(image=CARD.data_url())
    talk.chat_ctx.add_message(role="user", content=["The zoomed picture:", own])
    talk.request()
    assert talk.last.turn == 1 and len(talk.vision.looks) == 1
    assert not messages.is_bound(talk.chat_ctx.messages()[-1])


def test_a_question_that_begins_with_a_bracket_is_a_question() -> None:
    talk = Talk(sighting())
    (asked,) = users(talk.ask("[no picture from the moon] is what it says, why?"))
    assert asked[0].startswith("[no picture from the moon]") and "<picture>" in asked


# preemptive replies


def completed(talk: Talk, message: llm.ChatMessage) -> None:
    asyncio.run(talk.binder.completed(message, talk.chat_ctx.items))


def preemptive(talk: Talk, text: str = "What is that?") -> llm.ChatMessage:
    message = question(text)
    request = llm.ChatContext([*talk.chat_ctx.items, message])
    asyncio.run(talk.binder.request(request, said=[item.id for item in talk.chat_ctx.items]))
    return message


def test_the_same_turn_heard_twice_holds_the_same_picture() -> None:
    talk = Talk(sighting())
    early, late = preemptive(talk), question("what is that")
    completed(talk, late)
    assert late.content[1] is early.content[1] and len(talk.vision.looks) == 1


def test_turns_are_counted_not_requests() -> None:
    talk = Talk(sighting(age_s=5.0))
    for turn in (1, 2, 3):
        preemptive(talk)
        final = question()
        completed(talk, final)
        said = [item.id for item in talk.chat_ctx.items]
        talk.chat_ctx.items.append(final)
        talk.request(said=said)  # the preemptive reply was thrown away
        assert talk.last.turn == turn
        talk.answer()


def test_a_preemptive_reply_that_is_thrown_away_takes_its_old_picture_with_it() -> None:
    talk = Talk(sighting(age_s=5.0))
    preemptive(talk)
    final = question()
    completed(talk, final)
    fresh = sighting()
    talk.show(fresh)
    talk.chat_ctx.items.append(final)
    talk.request(said=[])
    assert talk.last.current == (fresh.id,)


def test_freshness_does_not_ask_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(sighting(age_s=5.0, captured_unix_s=4e9))  # a clock that was set back since
    preemptive(talk)
    final = question()
    completed(talk, final)
    fresh = sighting()
    talk.show(fresh)
    talk.chat_ctx.items.append(final)
    monkeypatch.setattr("time.time", lambda: 0.0)
    talk.request(said=[])
    assert talk.last.current == (fresh.id,)


def test_a_picture_that_was_lost_when_the_final_words_were_copied_is_put_back() -> None:
    talk = Talk(sighting())
    talk.ask()
    (message,) = talk.chat_ctx.messages()
    message.content = ["What is that?"]  # as livekit-agents does with a preemptive reply's message
    talk.call()
    assert users(talk.request())[0].count("<picture>") == 1


# the record


def test_a_history_longer_than_the_ledger_pushes_nothing_of_now_out_of_it() -> None:
    talk = Talk()
    for _ in range(300):
        talk.show(sighting("a"), sighting("b"))
        talk.ask()
        talk.answer()
    assert talk.last.turn == 300
    asked = [talk.vision.ledger.get(key) for key in talk.last.current]
    assert all(seen is not None and seen.captured_s is not None for seen in asked) and len(asked) == 2
    looks = len(talk.vision.looks)
    talk.chat_ctx.items.pop()
    talk.call()
    talk.request()
    assert len(talk.vision.looks) == looks  # the follow-up knows how old its pictures are


def test_what_somebody_edits_in_a_request_is_not_in_the_next_one() -> None:
    talk = Talk(sighting())
    talk.ask()
    for _ in range(3):
        talk.answer()
        talk.show(sighting())
        request = talk.ask()
        first = request.messages()[0]
        assert parts(first)[0] == "What is that?" and len(parts(first)) <= 3
        first.content[0] = "REDACTED"
        first.content.append("and more")


def test_a_request_is_made_once() -> None:
    talk = Talk(sighting())
    request = talk.ask()
    assert asyncio.run(talk.binder.request(request, said=[])) is request
    edited = request.copy()
    edited.add_message(role="system", content="Be brief.")
    assert talk.binder.is_request(edited) and len(talk.vision.looks) == 1


def test_a_history_of_another_agent_is_taken_over() -> None:
    before = Talk(sighting())
    before.ask()
    before.answer()
    after = Talk(sighting())
    after.chat_ctx.items = list(before.chat_ctx.items)
    first, second = users(after.ask("And now?"))
    assert "<picture>" in first and "<picture>" in second and after.last.turn == 2
    (earlier,) = after.last.earlier
    known = after.vision.ledger.get(earlier)
    assert known is not None and known.image == CARD and known.captured_s is None


def test_who_asked_is_kept_and_the_views_are_chosen_for_them() -> None:
    talk = Talk(sighting())
    asked = llm.ChatMessage(
        role="user", content=["What is that?"], extra={"vision_agent": {"asked_by": "ann"}}
    )
    talk.chat_ctx.items.append(asked)
    talk.request(said=[], asked_by="bob")
    assert talk.last.asked_by == "ann" and talk.vision.looks[-1]["asked_by"] == "ann"
    talk.answer()
    talk.ask("And that?", asked_by="bob")
    assert talk.last.asked_by == "bob"


def test_detail_reaches_every_picture() -> None:
    talk = Talk(sighting(), inference_detail="low")
    talk.send()
    request = talk.ask()
    pictures = [p for m in request.messages() for p in m.content if isinstance(p, llm.ImageContent)]
    assert [picture.inference_detail for picture in pictures] == ["low", "low"]
    assert talk.last.detail == "low"


def test_two_requests_at_once_bind_a_question_once() -> None:
    talk = Talk(sighting())
    asked = question()

    async def both() -> None:
        binder = TurnBinder(cast("Vision", talk.vision))
        chat_ctx = llm.ChatContext([asked])
        await asyncio.gather(binder.request(chat_ctx, said=[]), binder.request(chat_ctx, said=[]))

    asyncio.run(both())
    assert parts(asked).count("<picture>") == 1
