"""What every driver of a device that is asked is held to, by its test cases and its simulator."""

import random
from collections import Counter
from typing import Any

import pytest

from gateway.driver import Outcome, Polled, Restarted
from tests.conformance.honesty import assert_honest, simulated
from tests.drivers.driver_cases import POLLED, faults, info_of, make, readings, restarts
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import (
    MAX_QUESTIONS,
    answer_length,
    play,
    play_damaged,
    simulate,
    whole_answer,
)

CASES = [case for name in POLLED for case in polled_cases(name)]
LONGEST_TIMEOUT_S = 30.0
LOWEST_BAUD = 300
SIMULATED_ROUNDS = 120
ROUNDS_TO_RECOVER = 3
GLITCHES = (b"\x00", b"\xff")
"""What a line shows when its direction is turned round."""
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_driver = pytest.mark.parametrize("name", POLLED)


def fresh(case: PolledCase) -> Any:
    return make(case.driver, case.options)


@each_case
def test_its_questions_and_answers(case: PolledCase) -> None:
    driver = fresh(case)
    assert isinstance(driver, Polled)
    outcomes = play(driver, case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert restarts(outcomes) == case.restarts
    assert_honest(info_of(case.driver, case.options), outcomes)
    assert play(fresh(case), case) == outcomes


@each_case
def test_an_answer_is_whole_by_its_last_byte_at_the_latest(case: PolledCase) -> None:
    """The part that a transport takes of an answer says the same as all of it."""
    driver, reference = fresh(case), fresh(case)
    talk = list(case.talk)
    while talk:
        for request, same in zip(driver.requests(), reference.requests(), strict=True):
            _, answer = talk.pop(0)
            taken = whole_answer(request, answer)
            for end in range(1, len(taken)):
                length = answer_length(request, taken[:end])
                assert length is None or length >= 0
            assert [*driver.on_reply(request, taken)] == [*reference.on_reply(same, answer)]


def assert_nothing_is_invented(case: PolledCase, step: int, answer: bytes) -> None:
    driver = fresh(case)
    outcomes = play_damaged(driver, case, step, answer)
    assert_honest(info_of(case.driver, case.options), outcomes)
    invented = Counter(readings(outcomes)) - Counter(case.readings)
    assert not invented, f"answer {step}: {answer.hex()}"


@each_case
def test_one_lost_byte_invents_nothing(case: PolledCase) -> None:
    for step, (_, answer) in enumerate(case.talk):
        for lost in range(len(answer)):
            assert_nothing_is_invented(case, step, answer[:lost] + answer[lost + 1 :])


@each_case
def test_one_wrong_bit_invents_nothing(case: PolledCase) -> None:
    source = random.Random(str(case))
    for step, (_, answer) in enumerate(case.talk):
        if "checksum" in faults(play_damaged(fresh(case), case, step, answer)):
            continue  # it is damaged as it is, and the bit may be the one
        for place in range(len(answer)):
            damaged = bytearray(answer)
            damaged[place] ^= 1 << source.randrange(8)
            assert_nothing_is_invented(case, step, bytes(damaged))


@each_case
def test_an_answer_that_is_cut_off_invents_nothing(case: PolledCase) -> None:
    for step, (_, answer) in enumerate(case.talk):
        for end in range(len(answer)):
            assert_nothing_is_invented(case, step, answer[:end])


@each_case
def test_noise_an_echo_and_a_late_answer_invent_nothing(case: PolledCase) -> None:
    source = random.Random(str(case))
    answers = [answer for _, answer in case.talk]
    for step, (wanted, _) in enumerate(case.talk):
        for answer in (source.randbytes(40), source.randbytes(300), wanted, wanted + wanted):
            assert_nothing_is_invented(case, step, answer)
        assert_nothing_is_invented(case, step, source.choice(answers)[:-1] + answers[step])


@each_case
def test_a_glitch_before_an_answer_costs_nothing(case: PolledCase) -> None:
    for step, (_, answer) in enumerate(case.talk):
        undisturbed = readings(play_damaged(fresh(case), case, step, answer))
        for glitch in GLITCHES:
            got = readings(play_damaged(fresh(case), case, step, glitch + answer))
            assert not Counter(undisturbed) - Counter(got)


@each_case
def test_its_rounds_end_whatever_comes(case: PolledCase) -> None:
    source = random.Random(str(case))
    driver = fresh(case)
    for _ in range(50):
        for asked, request in enumerate(driver.requests()):
            assert asked < MAX_QUESTIONS
            assert 0 < request.timeout_s <= LONGEST_TIMEOUT_S
            assert request.quiet_s >= 0
            assert request.reply_baud is None or request.reply_baud >= LOWEST_BAUD
            if request.length == 0:
                continue
            answer = source.choice([b"", source.randbytes(20), source.choice(case.talk)[1]])
            list(driver.on_reply(request, answer))


@each_driver
def test_silence_is_reported_in_each_round_and_the_device_is_not_asked_for_long(name: str) -> None:
    driver = make(name)
    for _ in range(3):
        waited_s = 0.0
        outcomes: list[Outcome] = []
        for request in driver.requests():
            if request.length != 0:
                waited_s += request.timeout_s
                outcomes += driver.on_reply(request, b"")
        assert "timeout" in faults(outcomes)
        assert readings(outcomes) == []
        assert waited_s <= LONGEST_TIMEOUT_S


# -- simulators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
@each_driver
def test_simulated_answers_decode_without_fault(name: str, seed: int) -> None:
    driver = make(name)
    outcomes = simulate(driver, simulated(name, seed), SIMULATED_ROUNDS)
    assert faults(outcomes) == []
    assert not any(isinstance(each, Restarted) for each in outcomes)
    assert len(readings(outcomes)) >= SIMULATED_ROUNDS - ROUNDS_TO_RECOVER
    assert len({value for _, value, _ in readings(outcomes)}) > 10
    assert_honest(info_of(name), outcomes)


@each_driver
def test_the_same_seed_gives_the_same_answers(name: str) -> None:
    first = simulate(make(name), simulated(name, 7), SIMULATED_ROUNDS)
    assert first == simulate(make(name), simulated(name, 7), SIMULATED_ROUNDS)
    assert first != simulate(make(name), simulated(name, 8), SIMULATED_ROUNDS)


@each_driver
def test_a_simulated_device_takes_a_question_in_pieces(name: str) -> None:
    driver, whole, bytewise = make(name), simulated(name, 7), simulated(name, 7)
    for _ in range(10):
        for request in driver.requests():
            pieces = [request.data[n : n + 1] for n in range(len(request.data))]
            answer = whole.emit() + whole.receive(request.data)
            assert bytewise.emit() + b"".join(map(bytewise.receive, pieces)) == answer
            if request.length != 0:
                list(driver.on_reply(request, answer))


@pytest.mark.parametrize("seed", [1, 2, 3])
@each_driver
def test_after_damage_it_reads_again(name: str, seed: int) -> None:
    """Whatever came before, a few rounds later a device that is well is read without fault."""
    source = random.Random(seed)
    driver, device = make(name), simulated(name, seed)
    simulate(driver, device, ROUNDS_TO_RECOVER)
    for _ in range(20):
        for request in driver.requests():
            answer = device.emit() + device.receive(request.data)
            cut = source.randrange(len(answer) + 1)
            damaged = source.choice([b"", answer[:cut], answer[cut:], source.randbytes(30)])
            if request.length != 0:
                list(driver.on_reply(request, damaged))
    simulate(driver, device, ROUNDS_TO_RECOVER)
    outcomes = simulate(driver, device, 5)
    assert faults(outcomes) == []
    assert readings(outcomes)
