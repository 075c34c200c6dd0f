"""The order in which questions are taken."""

from __future__ import annotations

from vision_agent.hearing.fair_queue import FairQueue, Question


def question(name: str, text: str | None = "?") -> Question:
    return Question(id=name, asked_by=name[0], text=text)


def taken(queue: FairQueue) -> list[str]:
    found = []
    while (each := queue.take()) is not None:
        found.append(each.id)
    return found


def test_persons_take_turns_and_each_keeps_the_own_order() -> None:
    queue = FairQueue()
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        assert queue.put(question(name)) is None
    assert len(queue) == 6
    assert taken(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"] and len(queue) == 0


def test_a_newcomer_comes_before_those_who_were_served() -> None:
    queue = FairQueue()
    for name in ("a1", "a2", "a3"):
        queue.put(question(name))
    assert (first := queue.take()) is not None and first.id == "a1"
    queue.put(question("b1"))
    assert taken(queue) == ["b1", "a2", "a3"]


def test_a_question_that_arrives_holds_up_only_its_sender() -> None:
    queue = FairQueue()
    slow = question("a1", text=None)
    for each in (slow, question("a2"), question("b1")):
        queue.put(each)
    assert taken(queue) == ["b1"]
    slow.text = "Here!"
    assert taken(queue) == ["a1", "a2"]


def test_the_limits_name_themselves() -> None:
    queue = FairQueue(max_of_one=2, max_in_all=3)
    refusals = [queue.put(question(name)) for name in ("a1", "a2", "a3", "b1", "b2")]
    assert refusals == [
        None,
        None,
        "2 of your questions are waiting",
        None,
        "3 questions are waiting",
    ]


def test_one_question_one_person_or_all_can_be_taken_out() -> None:
    queue, second = FairQueue(), question("a2")
    for each in (question("a1"), second, question("b1"), question("b2"), question("c1")):
        queue.put(each)
    assert queue.remove(second) and not queue.remove(second)
    assert queue.drop("b") == 2 and queue.drop("b") == 0
    assert queue.clear() == 2 and taken(queue) == []
