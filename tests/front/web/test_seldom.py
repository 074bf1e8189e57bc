"""Lines of the log that strangers can cause."""

from __future__ import annotations

import io
import logging

import pytest

from ipmasq.front.web.seldom import PAUSE, Seldom
from tests.front.web.test_sessions import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logger(clock: Clock) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addFilter(Seldom(clock))
    return logger


@pytest.fixture
def written(logger: logging.Logger) -> io.StringIO:
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    return stream


def test_a_kind_of_line_is_written_once_in_a_while_with_the_number_of_those_left_out(
    logger: logging.Logger, written: io.StringIO, clock: Clock
):
    for number in range(1000):
        logger.warning("came from %d", number)
    logger.warning("another one")
    clock.now += PAUSE
    logger.warning("came from %d", 5000)
    assert written.getvalue().splitlines() == [
        "came from 0",
        "another one",
        "came from 5000 (and 999 more since the last such line)",
    ]


def test_what_the_system_refuses_is_one_line(logger: logging.Logger, written: io.StringIO):
    for number in range(3):
        try:
            raise OSError(24, "Too many open files")
        except OSError as error:
            text = f"socket.accept() out of system resource\nsocket: {number}"
            logger.error(text, exc_info=error)
    assert written.getvalue() == "socket.accept() out of system resource: Too many open files\n"


def test_a_fault_of_ours_has_its_traceback(logger: logging.Logger, written: io.StringIO):
    for _ in range(3):
        try:
            raise RuntimeError("no such luck")
        except RuntimeError as error:
            logger.error("Exception in the application", exc_info=error)
    assert written.getvalue().count("Traceback") == 1
