"""Plays the test cases of polled drivers round after round, and damages their answers."""

import random
from typing import Any

from gateway.driver import Outcome, Polled, Request
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.polled_cases import PolledCase

__all__ = [
    "MAX_QUESTIONS",
    "answer_length",
    "assert_survives_anything",
    "play",
    "play_damaged",
    "simulate",
    "whole_answer",
]

MAX_OUTCOMES = 50
MAX_QUESTIONS = 100
"""More are not asked in one round."""


def play(driver: Any, case: PolledCase) -> list[Outcome]:
    """Ask until the case is over; the questions must be exactly those of the case."""
    outcomes: list[Outcome] = []
    talk = iter(case.talk)
    left = len(case.talk)
    while left:
        for request in driver.requests():
            wanted, answer = next(talk)
            left -= 1
            assert request.data.hex() == wanted.hex()
            outcomes += driver.on_reply(request, answer)
    return outcomes


def whole_answer(request: Request, data: bytes) -> bytes:
    """Return what a transport would take of the bytes that come, byte by byte."""
    for end in range(1, len(data) + 1):
        length = answer_length(request, data[:end])
        if length is not None and 0 < length <= end:
            return data[:length]
    return data


def answer_length(request: Request, data: bytes) -> int | None:
    """Return what the question says about the length of its answer, as a transport asks it."""
    if callable(request.length):
        return request.length(data)
    if request.length is None and request.end is not None:
        found = data.find(request.end)
        return found + len(request.end) if found >= 0 else None
    return request.length


def play_damaged(driver: Any, case: PolledCase, step: int, answer: bytes) -> list[Outcome]:
    """Play a case up to one answer, give another one in its place, and nothing more after it.

    Return what came of it and of the silence that follows, to the end of that round.
    """
    outcomes: list[Outcome] = []
    at = 0
    while at <= step:
        for request in driver.requests():
            assert at <= step + MAX_QUESTIONS, "a round without an end"
            given = answer if at == step else b""
            if at <= step:
                wanted, good = case.talk[at]
                assert request.data.hex() == wanted.hex()
                given = given if at == step else good
            got = driver.on_reply(request, given)
            if at >= step:
                outcomes += got
            at += 1
    return outcomes


def simulate(driver: Any, device: Any, rounds: int) -> list[Outcome]:
    """Let a driver ask a simulated device, whose own reports come before its answers."""
    assert isinstance(driver, Polled)
    outcomes: list[Outcome] = []
    for _ in range(rounds):
        for request in driver.requests():
            data = device.emit() + device.receive(request.data)
            if request.length != 0:
                outcomes += driver.on_reply(request, whole_answer(request, data))
    return outcomes


def assert_survives_anything(
    make: Any, cases: list[PolledCase], highest: dict[str, float], seed: int
) -> None:
    """Feed random and mutated answers: no exception, no invented or impossible reading."""
    source = random.Random(seed)
    driver = make()
    for _ in range(300):
        case = source.choice(cases)
        for request in driver.requests():
            data = bytearray(source.choice([answer for _, answer in case.talk]))
            for _ in range(source.randrange(4)):
                place = source.randrange(len(data) + 1)
                data[place : place + source.randrange(3)] = source.randbytes(source.randrange(3))
            answer = source.choice([bytes(data), source.randbytes(source.randrange(60))])
            if callable(request.length):
                length = request.length(answer)
                assert length is None or length > 0
            check(list(driver.on_reply(request, answer)), highest)


def check(outcomes: list[Outcome], highest: dict[str, float]) -> None:
    assert len(outcomes) <= MAX_OUTCOMES
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert 0 <= outcome.value <= highest[outcome.quantity]
        elif isinstance(outcome, Fault):
            assert outcome.kind in FAULT_KINDS
            assert len(outcome.sample) <= 24
