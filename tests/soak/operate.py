"""An operator with restless hands: reloads, reloads the helper, publishes and withdraws servers, looks
around, and takes interfaces down for a moment."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter

from ipmasq.control.client import Client, UnreachableError
from ipmasq.control.protocol import RequestError
from tests.soak.stage import Stage, configuration

DOWN = 0.3
"""Seconds that an interface is away."""

ROUTER = "203.0.113.254"


class Operator(threading.Thread):
    """Acts about every `pause` seconds until `end`. `flaps`: whether interfaces are taken down."""

    def __init__(self, stage: Stage, pause: float, flaps: bool) -> None:
        super().__init__(daemon=True)
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._stage, self._pause = stage, pause
        self._chance = random.Random(stage.seed)
        self._over = threading.Event()
        self._published = False
        self._acts = [self.reload, self.reload_helper, self.reload_helper, self.publish, self.look]
        if flaps:
            self._acts.append(self.flap)

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0, 2 * self._pause)):
            act = self._chance.choice(self._acts)
            try:
                act()
                self.done[act.__name__] += 1
            except (RequestError, UnreachableError, OSError, subprocess.SubprocessError) as error:
                self.failed[f"{act.__name__}: {error}"[:100]] += 1

    def end(self) -> None:
        self._over.set()
        self.join()

    def reload(self) -> None:
        """Forwards that were added are gone after it."""
        blocked = f"203.0.113.{self._chance.randrange(128, 250)}"
        rule = f'\n[[rule]]\naction = "drop"\nto = "{blocked}"\n'
        text = configuration(self._stage.socket, rule)
        self._stage.config.write_text(text)
        self._ask("reload")
        self._published = False

    def reload_helper(self) -> None:
        self._ask("helper_reload", name="ftp")

    def publish(self) -> None:
        if self._published:
            self._ask("forward_remove", name="extra")
        else:
            more = {"protocol": "tcp", "ports": "3000", "inside": "10.0.0.2"}
            self._ask("forward_add", name="extra", **more)
        self._published = not self._published

    def look(self) -> None:
        with Client(str(self._stage.socket)) as gateway:
            for request in ("flows", "mappings", "helpers", "stats", "status"):
                for _ in gateway.rows(request):
                    pass

    def flap(self) -> None:
        interface = self._chance.choice(("inside", "outside"))
        self._stage.ip("gw", f"link set {interface} down")
        time.sleep(DOWN)
        self._stage.ip("gw", f"link set {interface} up")
        if interface == "outside":  # the kernel forgot it
            self._stage.ip("gw", f"route replace default via {ROUTER} proto static")

    def _ask(self, request: str, **arguments: object) -> None:
        with Client(str(self._stage.socket)) as gateway:
            gateway.ask(request, **arguments)
