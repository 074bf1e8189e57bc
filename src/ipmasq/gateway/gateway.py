"""The gateway: configuration, engine and plane, and the operator's changes to them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Forward, Policy, Timeouts
from ipmasq.core.views import Passage
from ipmasq.gateway import garbage
from ipmasq.gateway.changes import changed_times, discarded
from ipmasq.gateway.drive import Drive, Listener, chance
from ipmasq.gateway.firewall.related import Related
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.health import Health, Reloads
from ipmasq.gateway.helpers import Helpers
from ipmasq.gateway.host import Changes, notify_systemd
from ipmasq.gateway.latency import Latency
from ipmasq.gateway.logs import limiter
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.planes import fast_path, make_plane
from ipmasq.gateway.settings import Settings
from ipmasq.gateway.setup import Configuration, Setup, SetupError
from ipmasq.gateway.sockets import Sockets, index_of
from ipmasq.gateway.usage import usage
from ipmasq.gateway.watchdog import Watchdog
from ipmasq.planes.fastpath import Counter
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.journal import DIRECTORY
from ipmasq.wire.addresses import Address, to_text
from ipmasq.wire.lines import with_commands

log = logging.getLogger("ipmasq")

PORTS_EVERY = 2.0
"""Seconds between two checks of the ports that the host uses."""

SETTINGS_EVERY = 2.0
"""Seconds between two checks of the kernel settings on which the gateway depends."""

SETTLING = 0.2
"""Seconds to wait after a change of interfaces, since such changes come in bursts."""

RETRY = 1.0

OFFLOAD_EVERY = 1.0
"""Seconds between two rounds of reading the fast path's counters, unless one takes longer."""

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
    ) -> None:
        """Read the configuration, once, and log what is doubtful in it. `directory` is for the record of changes
        to the host, `plane` the name of a plane that overrides the configuration's.

        Raises SetupError.
        """
        self._configuration = configuration
        self._loop = loop
        # Before the first look at the host, so that no later change is missed.
        self._changes = Changes()
        self._settling: Timer | None = None
        self._setup = setup = configuration.read()
        for warning in setup.warnings:
            log.warning("%s", warning)
        self._chosen = plane
        self._plane = make_plane(setup, directory)
        policy = replace(setup.policy, ttl_delta=self._plane.ttl_delta)
        self.engine = engine = Engine(policy, chance, loop.clock())
        self._helpers = Helpers(engine, configuration, loop.clock)
        self._sockets = Sockets()
        engine.set_socket_lookup(self._sockets.find_socket)
        self._drive = Drive(engine, self._plane, loop)
        self._related = Related()
        self._drive.executors.append(self._related)
        self.offloading = Offloading(self._drive, self._plane)
        self._settings = Settings(self._plane, engine, loop.clock)
        self._firewall = FirewallWatch(
            loop, self._interfaces, self._drive.say, self._pass_twice, engine.forwards
        )
        self.latency = Latency(self._drive)
        self._drive.listeners.append(self.latency.listen)
        self.reloads = Reloads()
        self._started = loop.clock()

    @property
    def listeners(self) -> list[Listener]:
        """Called with every event from the gateway's loop: they must not block."""
        return self._drive.listeners

    def start(self) -> None:
        """Start the gateway. Raises PlaneError; then nothing is left behind."""
        self._sockets.device = index_of(self._setup.outside)
        self._drive.leave(self._sockets.used(self._drive.ranges))
        self._drive.start()
        try:
            self._begin()
        except BaseException:
            self._drive.stop()
            raise
        log.info("the gateway runs: %s", self._summary())
        notify_systemd("READY=1")
        Watchdog(self._drive.handled, self._plane.descriptors).begin(self._loop)

    def _begin(self) -> None:
        """Begin everything else. Packets are forwarded meanwhile, by the engine alone until programs are loaded. Raises
        PlaneError."""
        self.offloading.begin()
        self._loop.watch(self._changes.fileno(), self._changed)
        self._loop.every(PORTS_EVERY, self._look_at_ports)
        self._loop.every(SETTINGS_EVERY, self._settings.look)
        self._loop.every(OFFLOAD_EVERY, self.offloading.look)
        self._loop.every(LOG_EVERY, limiter.look)
        wanted = fast_path(self._chosen or self._setup.plane, self._setup.policy.limits)
        self.offloading.change(self._loop.meanwhile(wanted.prepare(self._plane)))
        self._firewall.begin()
        self._settings.begin()
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        self._loop.on_signal(signal.SIGHUP, self._reload_on_signal)

    def stop(self) -> None:
        """Stop the gateway. Raises PlaneError if something could not be undone."""
        notify_systemd("STOPPING=1")
        self._settings.look()  # a value that was written in the last moment must be restored, too
        self._loop.unwatch(self._changes.fileno())
        self._changes.close()
        self._firewall.end()
        self._related.close()
        self.offloading.end()
        self._drive.stop()
        self._sockets.close()
        log.info("the gateway has stopped")

    # -- what an operator does

    @garbage.collect_all()
    def reload(self) -> tuple[int, Sequence[str]]:
        """Apply the changed file. Return how many flows it closed, and warnings.

        Raises SetupError with every mistake, which are logged too; then the running policy stays.
        """
        try:
            with self.reloads.counted():
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
        log.info("reloaded: %d flows closed; %s", closed, self._summary())
        return closed, [*told, *map(str, self._firewall.found)]

    @property
    def saved_path(self) -> str:
        return self._configuration.saved_path

    def add_forward(self, forward: Forward, save: bool = False) -> Sequence[str]:
        """Add a forward, or save one that was added before. Return what `check` would warn of. Raises ValueError for a mistake in the sense of
        `check`, if the name is taken, another forward overlaps, the host needs these ports, or it cannot be
        saved."""
        if save and forward in self.engine.forwards():
            self._configuration.save_forward(forward)
            return ()
        warnings = self._configuration.review_forward(forward, self._helpers.in_use)
        self.engine.add_forward(forward, self._loop.clock())
        try:
            self._drive.claim()
        except PlaneError as error:
            self.engine.remove_forward(forward.name, self._loop.clock())
            raise ValueError(str(error)) from error
        if save:
            try:
                self._configuration.save_forward(forward)
            except ValueError:
                self.remove_forward(forward.name)
                raise
        told = *warnings, *map(str, self._firewall.about(forward))
        for warning in told:
            text = f"forward {forward.name}: {warning}"
            log.warning("%s", text, extra={"lines": with_commands(text)})
        return told

    def obstructions(self, passage: Passage) -> Sequence[str]:
        """See `ipmasq.control.gateway.RunningGateway`."""
        return [str(each) for each in self._firewall.obstructions(passage)]

    def remove_forward(self, name: str, save: bool = False) -> None:
        """Remove a forward. Its live flows continue. Raises KeyError, or ValueError if the operator's own
        file has it."""
        forgotten = self._configuration.forget_forward(name) if save else False
        try:
            self.engine.remove_forward(name, self._loop.clock())
        except KeyError:
            if not forgotten:
                raise
        try:
            self._drive.claim()
        except PlaneError as error:
            log.error("%s", error)

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
        log.info("idle times were set: %s", told)

    def host_of(self, flow: int) -> Address | None:
        """Return the inside host of a live flow."""
        known = self.engine.table.flows.get(flow)
        return known.host if known is not None else None

    def status(self) -> Mapping[str, Any]:
        policy = self.engine.policy
        return {
            "version": version("ipmasq"),
            "process": os.getpid(),
            "uptime": round(self._loop.clock() - self._started, 3),
            "config": self._configuration.path,
            "plane": self._plane.fast.describe(),
            "outside": self._setup.outside,
            "inside": list(self._setup.inside),
            "networks": [str(network) for network in policy.inside],
            "public": [to_text(address) for address in policy.public],
            "ports": str(policy.ports),
            "firewall": [str(each) for each in self._firewall.found],
            **usage(self.engine.table),
            "unsent": self._plane.unsent,
            "failures": self._loop.failures.count,
            "log_lines_left_out": limiter.left_out,
            "settings_restored": self._settings.restored,
            "settings_wrong": self._settings.wrong(),
        }

    def health(self) -> Health:
        return Health(
            plane=self._plane.fast.describe(),
            uptime=self._loop.clock() - self._started,
            unsent=self._plane.unsent,
            failures=self._loop.failures.count,
            lines_left_out=limiter.left_out,
            settings_restored=self._settings.restored,
            settings_wrong=len(self._settings.wrong()),
            obstructions=len(self._firewall.found),
        )

    def fast_path(self) -> Iterable[Counter]:
        """Return its counters: see `ipmasq.control.gateway.RunningGateway`."""
        return self.offloading.counters()

    # -- following

    def _change_fast_path(self, setup: Setup) -> None:
        """Raises PlaneError; then the previous fast path stays."""
        self.offloading.change(fast_path(self._chosen or setup.plane, setup.policy.limits))

    def _fit(self, policy: Policy) -> Policy:
        """Return the policy for this plane, with the helpers that are in use."""
        return replace(policy, ttl_delta=self._plane.ttl_delta, helpers=self._helpers.in_use)

    def _go_on(self, setup: Setup, policy: Policy) -> int:
        closed = self.engine.apply(policy, self._loop.clock())
        self._arrange(setup, policy)
        return closed

    def _arrange(self, setup: Setup, policy: Policy) -> None:
        self._setup = setup
        self._sockets.device = index_of(setup.outside)
        self._plane.rearrange(setup.outside, setup.inside, policy.inside)
        self._firewall.judge()
        self.offloading.set_rates()
        self._drive.claim()
        self._settings.look()

    def _interfaces(self) -> Where:
        policy = self.engine.policy
        return Where(
            self._setup.outside,
            tuple(self._setup.inside),
            tuple(map(str, policy.inside)),
            self._plane.fast.passes_once,
            self._plane.fast.could_pass_once,
            bool(policy.forwards or policy.triggers),
            not self._plane.where.own.isdisjoint(policy.public),
            self._plane.renames and not self._plane.fast.passes_once,
        )

    def _pass_twice(self, value: bool) -> None:
        self._plane.fast.pass_twice(value)

    def _look_at_ports(self) -> None:
        try:
            self._drive.leave(self._sockets.used(self._drive.ranges))
        except PlaneError as error:
            log.error("%s", error)

    def _changed(self) -> None:
        self._changes.drain()
        if self._settling is None:
            self._settling = self._loop.later(SETTLING, self._adapt)

    @garbage.collect_new()
    def _adapt(self) -> None:
        """Follow a change of interfaces or addresses. The operator's other changes stay."""
        self._settling = self._loop.later(RETRY, self._adapt)  # unless this attempt succeeds
        try:
            setup = self._configuration.adapt()
            new, running = setup.policy, self.engine.policy
            policy = replace(running, inside=new.inside, public=new.public, own=new.own)
            if policy.public != running.public:
                # The first addresses are good news; other addresses, or none, end connections.
                level = logging.WARNING if running.public else logging.INFO
                log.log(level, "the public addresses are now: %s", _texts(policy.public))
            if policy == running:
                # Interfaces have changed, and nothing that the engine knows: our own devices coming up, for
                # example.
                self._arrange(setup, policy)
            else:
                self._go_on(setup, self._fit(policy))
        except (PlaneError, SetupError) as error:
            log.error("%s (trying again)", error)
            return
        self._settling.cancel()
        self._settling = None

    def _reload_on_signal(self) -> None:
        with suppress(SetupError):  # it is in the log
            self.reload()

    def _summary(self) -> str:
        networks = ", ".join(map(str, self.engine.policy.inside))
        where = f"{self._setup.outside} ({_texts(self.engine.policy.public)})"
        return f"{networks} behind {where}, ports {self.engine.policy.ports}"


def _texts(addresses: Sequence[bytes]) -> str:
    return ", ".join(map(to_text, addresses)) or "none"
