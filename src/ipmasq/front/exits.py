"""Exit codes (as in docs/command-line.md), and the rule that turns every error into a code and a message."""

from __future__ import annotations

import os
import re
import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.front.output import complain

DEBUG_VARIABLE = "IPMASQ_DEBUG"
"""The environment variable that makes a fault of ipmasq itself show its traceback."""


class Code(IntEnum):
    OK = 0
    FAILED = 1
    """What was asked for is not so, does not exist, or could not be done."""
    USAGE = 2
    CONFIG = 3
    """The configuration has mistakes."""
    UNREACHABLE = 4
    """No gateway answers, access to it is denied, or it speaks another version."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141


CODES = {
    Kind.CONFIG: Code.CONFIG,
    Kind.BAD_ARGUMENT: Code.USAGE,
    Kind.VERSION: Code.UNREACHABLE,
    Kind.UNKNOWN_REQUEST: Code.UNREACHABLE,
    Kind.BUSY: Code.UNREACHABLE,
}

MISSING = "the Python package {}, which this command needs, is not installed: install ipmasq with all that it needs"

NO_NUMBER = re.compile(r"^'(.*)' is not a valid int(?: range)?\.$", re.DOTALL)
"""What typer says of a word that is not a number."""


def give_up(message: str, code: Code = Code.FAILED) -> typer.Exit:
    """Print a message and return the exception to raise: `raise give_up("...")`."""
    complain(message)
    return typer.Exit(code)


class Group(TyperGroup):
    """A command group that ends with a message and a code, whatever a command raised."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except typer.BadParameter as error:
            error.message = NO_NUMBER.sub(r'"\1" is not a whole number.', error.message)
            raise
        except RequestError as error:
            for detail in error.details:
                complain(detail)
            raise give_up(error.message, CODES.get(error.kind, Code.FAILED)) from None
        except UnreachableError as error:
            from ipmasq.control.leftovers import hint

            raise give_up(f"{error}{hint()}", Code.UNREACHABLE) from None
        except BrokenPipeError:
            _discard_output()
            raise typer.Exit(Code.BROKEN_PIPE) from None
        except KeyboardInterrupt:
            raise typer.Exit(Code.INTERRUPTED) from None
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise give_up(f"{name}{error.strerror or error}") from None
        except Exception as error:
            meant = isinstance(error, typer.Abort) or hasattr(error, "exit_code")
            if meant or os.environ.get(DEBUG_VARIABLE):
                raise
            raise give_up(f"{_fault(error)} ({DEBUG_VARIABLE}=1 shows where)") from None


def _fault(error: Exception) -> str:
    """Say what is wrong with this program, or with its installation."""
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if missing and not missing.startswith("ipmasq"):
        return MISSING.format(missing.partition(".")[0])
    return f"a fault of ipmasq itself: {type(error).__name__}: {error}"


def _discard_output() -> None:
    """The reader of our output has gone. Let the interpreter's last flush write to /dev/null."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
