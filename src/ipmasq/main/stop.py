"""`ipmasq stop`: ends the gateway of this network namespace."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import say

WAIT = 30.0
"""Seconds to wait by default. A gateway takes a second or two, and longer if a disk is slow."""

LONGEST = 86_400.0
"""Seconds to wait at most."""

PATIENCE = 3.0
"""Seconds that the gateway may take to say whether it keeps its state. One that does not is told to end all the same."""

MAY_NOT = "you may not stop the gateway: ask as root, or as its user"


def stop(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave connections and devices to a successor.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it has ended.")
    ] = WAIT,
) -> None:
    """End the gateway that runs here, and wait until it has.

    It undoes its changes to the host and forgets all connections, as after SIGTERM. With --keep it leaves them to the
    next ipmasq run, as after SIGUSR2; established flows are forwarded meanwhile, for as long as state.grace says. That
    is refused, and the gateway goes on, while it cannot write its state, as on a full disk.

    Of the systemd service, systemctl stop ipmasq is the usual way. This does the same: systemd does not restart a
    service that has ended in order. Exit code 4 if no gateway runs, 1 if it has not ended in time.

    \b
    Examples:
      ipmasq stop
      ipmasq stop --keep && ipmasq run gateway.toml
    """
    from ipmasq.planes.tun.record import record_in

    if not wait <= LONGEST:  # which "nan" is not, either
        raise give_up(f"--wait: at most {LONGEST:g} seconds", Code.USAGE)
    record = record_in()
    with _running(record) as (process, descriptor):
        if keep:
            _check_kept(process)
        signal.pidfd_send_signal(descriptor, signal.SIGUSR2 if keep else signal.SIGTERM)
        if not _has_ended(descriptor, wait):
            text = f"the gateway (process {process}) has not ended after {wait:g} s; it was told to, so ask again later"
            raise give_up(text)
    _say_what_is_left(record, keep)


@contextmanager
def _running(record: Path) -> Iterator[tuple[int, int]]:
    """Yield the process of the gateway and a descriptor of it, which stays that of this process whatever happens. Raises
    typer.Exit if none runs, or if it may not be looked at."""
    try:
        process = _process(record)
        descriptor = os.pidfd_open(process)
    except (PermissionError, ProcessLookupError) as error:
        raise _refused(error) from None
    try:
        if not _has_locked(process, record.with_suffix(".lock")):
            raise give_up(f"process {process} is not the gateway that runs here")
        yield process, descriptor
    except (PermissionError, ProcessLookupError) as error:
        raise _refused(error) from None
    finally:
        os.close(descriptor)


def _process(record: Path) -> int:
    """Return the process that a lock names."""
    from ipmasq.control.leftovers import hint
    from ipmasq.planes.tun.journal import holder

    found = holder(record)
    if found is None:
        raise give_up(f"no gateway runs here{hint()}", Code.UNREACHABLE)
    if not found.isdecimal():
        raise give_up("a gateway is just being started or ended here; ask again")
    return int(found)


def _check_kept(process: int) -> None:
    """Raise typer.Exit if the gateway's state is not written, so that a successor would know no connection."""
    from ipmasq.control.client import Client, UnreachableError, default_socket
    from ipmasq.control.protocol import RequestError
    from ipmasq.planes.tun.started import noted

    known, status = noted(), dict[str, Any]()
    is_trusted = known is not None and known.config and known.sockets
    path = known.sockets[0] if known and is_trusted else default_socket()
    with suppress(UnreachableError, RequestError), Client(path, PATIENCE) as gateway:
        status = next(gateway.rows("status"), status)
    state = status.get("state")
    if (
        state
        and isinstance(state, dict)
        and not state.get("kept")
        and status.get("process") == process
    ):
        if not (trouble := state.get("trouble")):
            raise give_up("the gateway has only just started and keeps no state yet; ask again")
        raise give_up(
            f"the gateway goes on, since a successor would know no connection: its state is not kept at present: {trouble};"
            " make it possible to write there and ask again, or end everything with ipmasq stop"
        )


def _refused(error: OSError) -> typer.Exit:
    if isinstance(error, PermissionError):
        return give_up(MAY_NOT)
    return give_up("the gateway has just ended, or runs in another PID namespace", Code.UNREACHABLE)


def _has_locked(process: int, lock: Path) -> bool:
    """Return whether it is this process that has the lock (flock(2)). What the file says proves nothing: it may belong to a user
    with fewer rights, who could name any process in it."""
    wanted = lock.stat()
    for each in Path(f"/proc/{process}/fd").iterdir():
        try:
            information = Path(f"/proc/{process}/fdinfo/{each.name}")
            if os.path.samestat(each.stat(), wanted) and "\nlock:" in information.read_text():
                return True
        except FileNotFoundError:
            continue  # closed meanwhile, or no file
    return False


def _has_ended(descriptor: int, wait: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait * 1000))


def _say_what_is_left(record: Path, keep: bool) -> None:
    """Say what it has left."""
    from ipmasq.planes.leftovers import find_leftovers
    from ipmasq.planes.tun.journal import holder

    if (process := holder(record)) is not None:
        say(f"the gateway has ended, and another one runs already (process {process})")
        return
    left = find_leftovers()
    if keep and not left:
        raise give_up("the gateway has ended and left nothing: its configuration keeps no state")
    if left and not keep:
        raise give_up(f"the gateway has ended and left: {left}; ipmasq undo undoes that")
    say(f"the gateway has ended{' and waits for a successor' * keep}")
