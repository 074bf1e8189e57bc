"""The gateway: configuration, engine and plane, and the operator's changes to them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ipmasq.core.policy import Forward, Policy, Timeouts
from ipmasq.core.views import Passage
from ipmasq.gateway import garbage
from ipmasq.gateway.availability import Availability
from ipmasq.gateway.changes import changed_times, discarded
from ipmasq.gateway.drive import Drive, Listener
from ipmasq.gateway.firewall.related import Related
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.following import Following
from ipmasq.gateway.forwards import Forwards
from ipmasq.gateway.health import Health, Reloads
from ipmasq.gateway.heir import Heir
from ipmasq.gateway.helpers import Helpers
from ipmasq.gateway.host import notify_systemd
from ipmasq.gateway.interfaces import interfaces
from ipmasq.gateway.keeping import Keeping, begun_engine
from ipmasq.gateway.latency import Latency
from ipmasq.gateway.lending import Lending, facts_of
from ipmasq.gateway.logs import limiter
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.operated import Operated
from ipmasq.gateway.operator import Operator
from ipmasq.gateway.planes import fast_path, make_plane
from ipmasq.gateway.settings import Settings
from ipmasq.gateway.setup import Configuration, Setup, SetupError
from ipmasq.gateway.sockets import Sockets, index_of
from ipmasq.gateway.usage import usage
from ipmasq.gateway.watchdog import Watchdog
from ipmasq.planes.fastpath import Counter
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.record import DIRECTORY
from ipmasq.wire.addresses import to_text, to_texts

log = logging.getLogger("ipmasq")

PORTS_EVERY = 2.0
"""Seconds between two checks of the ports that the host uses."""

LOG_EVERY = 1.0
"""Seconds between two checks for lines that the log left out and must sum up."""


class Gateway:
    """Create it, `start` it, run the loop, then `stop` it.

    The operator's changes last until the next `reload`, which returns to the file.
    """

    def __init__(
        self,
        configuration: Configuration,
        loop: Loop,
        directory: Path = DIRECTORY,
        plane: str | None = None,
        heir: Heir | None = None,
    ) -> None:
        """Read the configuration, once, and log what is doubtful in it. `directory` is for the record of changes
        to the host, `plane` the name of a plane that overrides the configuration's. `heir` is what was prepared for
        taking over from a gateway that runs. Raises SetupError."""
        self._configuration = configuration
        self._file = os.path.abspath(configuration.path)
        self._loop = loop
        # Before the first look at the host, so that no later change is missed.
        self._following = Following(loop, self._adapt, heir.changes if heir else None)
        self._setup = setup = heir.setup if heir else configuration.read()
        for warning in setup.warnings:
            log.warning("%s", warning)
        self._chosen, kept = plane, setup.kept
        self.keeping = Keeping(kept, directory, loop.clock(), heir and heir.ahead) if kept else None
        is_heir = bool(self.keeping and self.keeping.found.kept)
        self._plane = (
            heir.plane if heir else make_plane(plane or setup.plane, setup, directory, is_heir)
        )
        policy = replace(setup.policy.serving(()), ttl_delta=self._plane.ttl_delta)
        self.engine = engine = begun_engine(
            self.keeping, policy, configuration, loop.clock(), setup.ha is not None
        )
        self._operated = self.keeping.operated if self.keeping else Operated()
        self._helpers = Helpers(engine, configuration, loop.clock, self._operated)
        self._sockets = Sockets()
        engine.set_socket_lookup(self._sockets.find_socket)
        self._drive = Drive(engine, self._plane, loop)
        self._related = Related()
        self._drive.executors.append(self._related)
        self.offloading = Offloading(self._drive, self._plane)
        self._settings = Settings(self._plane, engine, loop.clock)
        self.firewall = FirewallWatch(
            loop,
            lambda: interfaces(self._setup, engine.policy, self._plane),
            self._drive.say,
            lambda value: self._plane.fast.pass_twice(value),
            engine.forwards,
        )
        self._forwards = Forwards(configuration, self._drive, self.firewall, self._operated)
        self.latency = Latency(self._drive)
        self._drive.listeners.append(self.latency.listen)
        self.availability = self._group(setup)
        """Its role in a group of gateways, unless it is alone."""
        self.reloads = Reloads()
        self._started = loop.clock()
        self._is_kept, self._is_heir = False, heir is not None
        facts = facts_of(setup, self.keeping.path if self.keeping else None, directory)
        self.lending = Lending(self._drive, self._plane, self.offloading, self.keeping, facts)

    def _group(self, setup: Setup) -> Availability | None:
        if setup.ha is None:
            return None
        operator = Operator(
            self.engine, self._operated, self._helpers, self._configuration, self._of_file
        )
        self.offloading.takes_over = True
        return Availability(setup.ha, self._drive, self.offloading, operator, self.latency.renew)

    def _of_file(self) -> Policy:
        return replace(self._setup.policy, ttl_delta=self._plane.ttl_delta)

    @property
    def listeners(self) -> list[Listener]:
        """Called with every event from the gateway's loop: they must not block."""
        return self._drive.listeners

    def start(self) -> None:
        """Start the gateway. Raises PlaneError; then nothing is left behind."""
        self.open()
        self.begin()

    def open(self) -> None:
        """Let packets come here. None is handled before `begin`. Raises PlaneError; then nothing is left behind."""
        self._sockets.device = index_of(self._setup.outside)
        self._drive.leave(self._sockets.used(self._drive.ranges))
        self._drive.start()
        try:
            self.offloading.begin()
            if self.keeping is not None:
                self.keeping.begin(self._drive)
        except BaseException:
            self._drive.stop()
            raise

    def begin(self) -> None:
        """Begin everything else. Raises PlaneError; then nothing is left behind."""
        try:
            self._begin()
        except BaseException:
            self._drive.stop()
            raise
        log.info("the gateway runs: %s", self._summary())
        notify_systemd("READY=1")
        Watchdog(self._drive.handled, self._plane.descriptors).begin(self._loop)

    def _begin(self) -> None:
        """Packets are forwarded meanwhile, by the engine alone until programs are loaded. Raises PlaneError."""
        self._following.begin()
        self._loop.every(PORTS_EVERY, self._look_at_ports)
        self._loop.every(self._settings.EVERY, self._settings.look)
        self._loop.every(self.offloading.EVERY, self.offloading.look)
        self._loop.every(LOG_EVERY, limiter.look)
        wanted = fast_path(self._chosen or self._setup.plane, self._setup.policy.limits)
        if self._plane.lacks(wanted) and not self._is_heir:
            self.offloading.change(self._loop.meanwhile(wanted.prepare(self._plane)))
        self.firewall.begin()
        self._settings.begin()
        if self.availability is not None:
            self.availability.start()
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        self._loop.on_signal(signal.SIGUSR2, self.keep)
        self._loop.on_signal(signal.SIGHUP, self._reload_on_signal)

    def stop(self) -> None:
        """Stop the gateway, and undo its changes to the host, or leave them if `keep` was called. Raises PlaneError if
        something could not be undone."""
        notify_systemd("STOPPING=1")
        if self.availability is not None:
            self.availability.stop()
        self._settings.look()  # a value that was written in the last moment must be restored, too
        self._following.end()
        self.firewall.end()
        self._forwards.end()
        self._related.close()
        self.offloading.end(self._is_kept)
        if self.keeping is not None:
            self.keeping.end(self._is_kept)
        self._drive.stop(self._plane.leave if self._is_kept else None)
        self._sockets.close()
        log.info("the gateway has stopped%s", " and waits for a successor" * self._is_kept)

    def keep(self) -> None:
        """End the loop; everything is left to a successor, if the operator has allowed that."""
        self._is_kept = bool(self._plane.grace)
        if self._is_kept and (hindrance := self.lending.hindrance):
            log.warning("told to leave everything to a successor, but %s", hindrance)
        self._loop.stop()

    # -- what an operator does

    @garbage.collect_all()
    def reload(self) -> tuple[int, Sequence[str]]:
        """Apply the changed file. Return how many flows it closed, and warnings.

        Raises SetupError with every mistake, which are logged too; then the running policy stays.
        """
        try:
            with self.reloads.counted():
                if self.reloads.barred:
                    raise SetupError([self.reloads.barred])
                return self._reload()
        except SetupError as error:
            for mistake in error.mistakes:
                log.error("not reloaded: %s", mistake)
            raise

    def _reload(self) -> tuple[int, Sequence[str]]:
        setup = self._configuration.read()
        before, running = self._setup, self.engine.policy
        made = replace(running, helpers=self._helpers.in_use)
        told = [*setup.warnings, *discarded(before.policy, made, setup.policy)]
        helpers = self._helpers.in_use
        self._helpers.reset(setup.policy.helpers)
        try:
            self._change_fast_path(setup)
            closed = self._go_on(setup, self._fit(setup.policy))
        except PlaneError as error:
            self._helpers.reset(helpers)
            try:
                self._change_fast_path(before)
                self._go_on(before, running)
            except PlaneError as worse:
                log.error("going back: %s", worse)
            raise SetupError([str(error)]) from error
        for warning in told:
            log.warning("%s", warning)
        self._operated.clear()
        log.info("reloaded: %d flows closed; %s", closed, self._summary())
        return closed, [*told, *map(str, self.firewall.found)]

    @property
    def saved_path(self) -> str:
        return self._configuration.saved_path

    def add_forward(
        self, forward: Forward, save: bool = False, warnings: Sequence[str] | None = None
    ) -> Sequence[str]:
        """See `Forwards.add`."""
        return self._forwards.add(forward, save, warnings)

    def review_forward(self, forward: Forward) -> Generator[None, None, Sequence[str]]:
        """See `Forwards.review`."""
        return self._forwards.review(forward)

    def obstructions(self, of: Passage | Forward) -> Generator[None, None, Sequence[str]]:
        """See `ipmasq.control.gateway.RunningGateway`."""
        return self._forwards.obstructions(of)

    def remove_forward(self, name: str, save: bool = False) -> None:
        """See `Forwards.remove`."""
        self._forwards.remove(name, save)

    def close(self, flow: int) -> bool:
        return self.engine.close(flow, self._loop.clock())

    def load_helper(
        self, name: str | None, file: str | None, ports: Sequence[int] | None, save: bool = False
    ) -> str:
        """Load a helper by its registered name, or from a file. Return its name. Raises KeyError, ValueError."""
        return self._helpers.load(name, file, ports, save)

    def reload_helper(self, name: str) -> None:
        """Load a helper's code again. Raises KeyError, ValueError; then the running code stays."""
        self._helpers.reload(name)

    def unload_helper(self, name: str, save: bool = False) -> None:
        """Unload a helper. Its connections continue. Raises KeyError, or ValueError if it cannot be saved."""
        self._helpers.unload(name, save)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        policy = replace(self.engine.policy, timeouts=timeouts)
        told = ", ".join(changed_times(self.engine.policy.timeouts, timeouts)) or "as they were"
        self.engine.apply(self._fit(policy), self._loop.clock())
        self._operated.timeouts_set(timeouts)
        log.info("idle times were set: %s", told)

    def status(self) -> Mapping[str, Any]:
        policy = self.engine.policy
        return {
            "version": version("ipmasq"),
            "process": os.getpid(),
            "uptime": round(self._loop.clock() - self._started, 3),
            "config": self._file,
            "plane": self._plane.fast.describe(),
            "outside": self._setup.outside,
            "inside": list(self._setup.inside),
            "networks": [str(network) for network in policy.inside],
            "public": [to_text(address) for address in policy.public],
            "ports": str(policy.ports),
            **self.firewall.status(),
            **usage(self.engine.table),
            "unsent": self._plane.unsent,
            "failures": self._loop.failures.count,
            "log_lines_left_out": limiter.left_out,
            "settings_restored": self._settings.restored,
            "settings_wrong": self._settings.wrong(),
            "state": self.keeping.status() if self.keeping else {},
            "group": self.availability.summary() if self.availability else {},
        }

    def policy_text(self) -> str:
        return self._configuration.policy_text(self.engine.policy)

    def health(self) -> Health:
        return Health(
            plane=self._plane.fast.describe(),
            uptime=self._loop.clock() - self._started,
            unsent=self._plane.unsent,
            failures=self._loop.failures.count,
            lines_left_out=limiter.left_out,
            settings_restored=self._settings.restored,
            settings_wrong=len(self._settings.wrong()),
            obstructions=len(self.firewall.found),
        )

    def fast_path(self) -> Iterable[Counter]:
        """Return its counters: see `ipmasq.control.gateway.RunningGateway`."""
        return self.offloading.counters()

    def _change_fast_path(self, setup: Setup) -> None:
        """Raises PlaneError; then the previous fast path stays."""
        self.offloading.change(fast_path(self._chosen or setup.plane, setup.policy.limits))

    def _fit(self, policy: Policy) -> Policy:
        """Return the policy for this plane, with the helpers that are in use."""
        fit = replace(policy, ttl_delta=self._plane.ttl_delta, helpers=self._helpers.in_use)
        return self.availability.fit(fit) if self.availability is not None else fit

    def _go_on(self, setup: Setup, policy: Policy) -> int:
        closed = self.engine.apply(policy, self._loop.clock())
        self._arrange(setup, policy)
        return closed

    def _arrange(self, setup: Setup, policy: Policy) -> None:
        self._setup = setup
        self._sockets.device = index_of(setup.outside)
        self._plane.rearrange(setup.outside, setup.inside, policy.inside)
        self.firewall.judge()
        self.offloading.set_rates()
        self._drive.claim()
        self._settings.look()

    def _look_at_ports(self) -> None:
        try:
            self._drive.leave(self._sockets.used(self._drive.ranges))
        except PlaneError as error:
            log.error("%s", error)

    @garbage.collect_new()
    def _adapt(self) -> None:
        """Follow a change of interfaces or addresses. The operator's other changes stay. Raises SetupError and
        PlaneError."""
        setup = self._configuration.adapt()
        new, running = setup.policy, self.engine.policy
        if self.availability is not None:
            new = self.availability.fit(new)
        policy = replace(running, inside=new.inside, public=new.public, own=new.own)
        if policy.public != running.public:
            # The first addresses are good news; other addresses, or none, end connections.
            level = logging.WARNING if running.public else logging.INFO
            log.log(level, "the public addresses are now: %s", to_texts(policy.public))
        if policy == running:
            # Interfaces have changed, and nothing that the engine knows: our own devices coming up, for example.
            self._arrange(setup, policy)
        else:
            self._go_on(setup, self._fit(policy))

    def _reload_on_signal(self) -> None:
        if self.reloads.barred:
            self.reloads.is_due = True  # whichever process then is the gateway reloads
            return
        with suppress(SetupError):  # it is in the log
            self.reload()

    def _summary(self) -> str:
        group = self.availability.note if self.availability else ""
        return f"{self._setup.extent(self.engine.policy)}{group}"
