"""Plays the cells: all with the helper, all without it, then the link with idle times of seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

from demo import cells, clients
from demo.cells import Announce, Cell, Direction, Linked
from demo.clients import Client
from demo.gateways import SETTINGS, FastPath, Gateway, MakeGateway
from demo.session import Outcome, Samples, Testbed, play

AT_ONCE = 6
"""Sessions that run at the same time where a cell does not say otherwise."""

WAITING_AT_ONCE = 16
"""The same without the helper, where nearly all only wait."""

PATIENCE = 10
HOPELESS = 3
"""Seconds that a client waits for what must not happen."""

Tell = Callable[[str], None]
T = TypeVar("T")


@dataclass
class Result:
    cell: Cell
    helped: list[Outcome] = field(default_factory=list)
    unhelped: list[Outcome] = field(default_factory=list)

    @property
    def wrong(self) -> list[Outcome]:
        return [o for o in self.helped if not o.works] + self.wrong_unhelped

    @property
    def wrong_unhelped(self) -> list[Outcome]:
        if self.cell.needs_helper:
            return [o for o in self.unhelped if not o.fails_as_it_must]
        return [o for o in self.unhelped if not o.works]


@dataclass
class LinkResult:
    """`unhelped` is None where there would be no data connection to keep anything alive."""

    linked: Linked
    helped: Outcome
    unhelped: Outcome | None

    @property
    def wrong(self) -> list[Outcome]:
        """Without the link the file arrives, but the end of it is never heard of."""
        outcomes = [] if self.helped.works else [self.helped]
        without = self.unhelped
        if without and (without.works or "download" not in without.through):
            outcomes.append(without)
        return outcomes


@dataclass
class KilledResult:
    """A transfer during which the gateways were killed."""

    what: tuple[Direction, Announce]
    outcome: Outcome

    @property
    def wrong(self) -> list[Outcome]:
        return [] if self.outcome.works else [self.outcome]


class Runner:
    def __init__(self, testbed: Testbed, make_gateway: MakeGateway, say: Tell) -> None:
        self._testbed = testbed
        self._make_gateway = make_gateway
        self._say = say
        self._numbers = count(1)
        self._samples: dict[int, tuple[Samples, Samples]] = {}
        self.accounts = ""
        """What the gateways said of themselves when last asked."""
        self.fast_paths: dict[str, FastPath] = {}
        """What those that have one did, by host."""

    def cells(self, wanted: Sequence[Cell], strict: bool = False) -> list[Result]:
        """First with the helper, then without it, with the same gateways."""
        results = [Result(cell) for cell in wanted]
        with self._gateways(strict=strict) as gateways:
            for result in results:
                self._prepare(result.cell.size)
            self._say(f"{counted(len(results), 'cell')} with the helper ...")
            self._play_all(results, lambda result: result.helped, PATIENCE, AT_ONCE)
            self.accounts = "\n".join(gateway.account() for gateway in gateways)
            for gateway in gateways:
                gateway.unload_helper()
            self._say("  ... and without it, unloaded while the gateways run ...")
            self._play_all(results, lambda result: result.unhelped, HOPELESS, WAITING_AT_ONCE)
        return results

    def links(self, wanted: Sequence[Linked]) -> list[LinkResult]:
        """All at once: gw1 has the helper, gw2 has lost it."""
        self._say(
            f"the link: {cells.SLOW_SECONDS} s of transfer, control silent, "
            f"idle time {cells.IDLE} s ..."
        )
        self._prepare_slow()
        with self._gateways(idle=cells.IDLE) as (_, second):
            second.unload_helper()
            jobs: list[tuple[Linked, Direction]] = []
            for linked in wanted:
                jobs.append((linked, linked.helped))
                if linked.unhelped:
                    jobs.append((linked, linked.unhelped))
            outcomes = self._at_once(len(jobs), self._play_link, jobs)
        by_job = dict(zip(jobs, outcomes, strict=True))
        return [
            LinkResult(
                linked,
                by_job[linked, linked.helped],
                by_job[linked, linked.unhelped] if linked.unhelped else None,
            )
            for linked in wanted
        ]

    def killed(self, wanted: Sequence[tuple[Direction, Announce]]) -> list[KilledResult]:
        """All at once. In the middle of the transfers both gateways are killed and started again."""
        self._say(
            f"{cells.SLOW_SECONDS} s of transfer; after {cells.KILL_AFTER} s "
            "the gateways are killed (kill -9) and started again ..."
        )
        self._prepare_slow()
        with self._gateways() as gateways, ThreadPoolExecutor(len(wanted)) as pool:
            playing = [pool.submit(self._play_slow, *each) for each in wanted]
            time.sleep(cells.KILL_AFTER)
            for gateway in gateways:
                gateway.kill()
                gateway.start()
            outcomes = [each.result() for each in playing]
        return list(map(KilledResult, wanted, outcomes))

    @contextmanager
    def transfers(self, wanted: Sequence[tuple[Direction, Announce]]) -> Iterator[list[Gateway]]:
        """Yield the gateways while each of these transfers takes place, and another one when it has ended."""
        self._prepare_slow()
        over = threading.Event()

        def again(direction: Direction, announce: Announce) -> None:
            while not over.is_set():
                self._play_slow(direction, announce)

        # Clients notice within seconds that their gateway has ended. No session is left when the pool has.
        with ThreadPoolExecutor(len(wanted)) as pool, self._gateways() as gateways:
            for each in wanted:
                pool.submit(again, *each)
            try:
                yield gateways
            finally:
                over.set()

    def _play_link(self, job: tuple[Linked, Direction]) -> Outcome:
        linked, direction = job
        return self._play_slow(direction, linked.announce)

    def _play_slow(self, direction: Direction, announce: Announce) -> Outcome:
        """A session whose download takes SLOW_SECONDS, with a command two seconds after its end."""
        client = Client(
            "ftplib",
            (announce,),
            lambda errand: clients.ftplib(errand, True, "--then-wait", "2"),
        )
        number = next(self._numbers)
        samples = self._samples[0]
        return play(
            *(self._testbed, direction, announce, cells.SLOW_PORT, client, samples, number),
            patience=HOPELESS + 2,
        )

    def _prepare_slow(self) -> None:
        directory = self._testbed.directory
        if 0 not in self._samples:
            self._samples[0] = (
                Samples.write(directory / "note.bin", cells.KIB),
                Samples.write(directory / "slow.bin", cells.SLOW_RATE * cells.SLOW_SECONDS),
            )

    def _play_all(
        self,
        results: Sequence[Result],
        kept: Callable[[Result], list[Outcome]],
        patience: int,
        at_once: int,
    ) -> None:
        """Cells with hosts of their own are a crowd each; all others share the workers."""
        together = [result for result in results if not result.cell.hosts]
        for crowd in ([together] if together else []) + [[r] for r in results if r.cell.hosts]:
            jobs = [
                (result, client, host, patience)
                for result in crowd
                for client in clients.able(result.cell.announce, result.cell.clients)
                for host in result.cell.hosts or (result.cell.direction.client,)
            ]
            workers = at_once if crowd is together else len(jobs)
            for job, outcome in zip(jobs, self._at_once(workers, self._play, jobs), strict=True):
                kept(job[0]).append(outcome)

    def _play(self, job: tuple[Result, Client, str, int]) -> Outcome:
        result, client, host, patience = job
        cell = result.cell
        return play(
            *(self._testbed, cell.direction, cell.announce, cell.port, client),
            *(self._samples[cell.size], next(self._numbers)),
            host=host,
            server_port=cells.STANDARD_PORT if cell.port == cells.MOVED_PORT else None,
            patience=patience if cell.needs_helper else PATIENCE,
        )

    def _prepare(self, size: int) -> None:
        if size not in self._samples:
            directory = self._testbed.directory
            up, down = (directory / f"{way}-{size}.bin" for way in ("up", "down"))
            self._samples[size] = (Samples.write(up, size), Samples.write(down, size))

    def _at_once(
        self, workers: int, work: Callable[[T], Outcome], jobs: Iterable[T]
    ) -> list[Outcome]:
        pool = ThreadPoolExecutor(workers)
        try:
            return list(pool.map(work, jobs))
        finally:
            # If interrupted: what runs ends with the lab, what waits must not begin.
            pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _gateways(self, idle: int | None = None, strict: bool = False) -> Iterator[list[Gateway]]:
        gateways: list[Gateway] = []
        try:
            for setting in SETTINGS:
                gateway = self._make_gateway(
                    self._testbed, replace(setting, idle=idle, strict=strict)
                )
                gateways.append(gateway)
                gateway.start()
            yield gateways
            for gateway in gateways:
                done = gateway.fast_path()
                if done:
                    before = self.fast_paths.get(gateway.host, FastPath())
                    self.fast_paths[gateway.host] = before + done
        finally:
            for gateway in gateways:
                with suppress(Exception):  # the lab's end undoes what is left of it
                    gateway.stop()


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
