"""A store as docs/two-gateways.md protects it: TLS only, a certificate demanded, a user with the least rights."""

from __future__ import annotations

import pytest

from tests.continuity.test_server import block, make_certificates, url_of
from tests.live.conftest import run
from tests.live.continuity.pair import REMOTE, STORE, Pair, eventually
from tests.live.continuity.traffic import Fetches, ftp_server
from tests.namespaces import within

pytestmark = pytest.mark.live


class Protected(Pair):
    def start_protected_store(self) -> None:
        """As the page says, but for a directory and the name of the group."""
        make_certificates(self.directory, block("openssl req -x509"))
        lines = block("port 0").replace("/etc/redis", str(self.directory)) + block("bind 192")
        (self.directory / "redis.conf").write_text(lines)
        self.start("st", "store", "redis-server", str(self.directory / "redis.conf"))
        self.url = url_of(6379, self.directory, host=STORE)
        eventually(lambda: "Ready to accept" in self.log("store"))
        self.admin(*block("cli=").partition("\n")[2].replace("{office}", "{pair}").splitlines())

    def admin(self, *commands: str) -> str:
        """Run commands of the page's `$cli`."""
        first = block("cli=").partition("\n")[0]
        script = "\n".join((f"cd {self.directory}", first, *commands))
        return run(*within(self.name("st"), "bash", "-ec", script))


def test_a_gateway_needs_no_right_that_the_documentation_does_not_give(bare: Pair) -> None:
    made = Protected(bare.directory)
    made.prefix, made.processes = bare.prefix, bare.processes
    made.start_protected_store()
    made.start_gateway("gw1", "tun")
    made.activate("gw1")
    check_that_a_missing_right_is_told(made)
    made.admin("$cli ACL LOG RESET")
    with ftp_server(made, "out") as out:
        fetches = Fetches(made, "in", REMOTE, out)
        fetches.go_on()
        fetches.end()
    made.retire("gw1")
    eventually(lambda: made.follows("gw1"))
    assert made.admin("$cli ACL LOG").strip() == ""


def check_that_a_missing_right_is_told(made: Protected) -> None:
    """By all that an operator asks, in one sentence, and once."""
    said = "the store: this user has no permissions to run the 'eval' command"
    made.admin("$cli ACL SETUSER gateway -eval")
    eventually(lambda: f"cannot be used: {said}" in made.log("gw1"))
    found = made.status("gw1")
    assert (found["trouble"], found["role"]) == (said, "fenced"), "the store may serve others"
    assert said in " ".join(made.ask("gw1", "doctor").stdout.split())
    made.admin("$cli ACL SETUSER gateway +eval")
    eventually(lambda: "the store can be used again" in made.log("gw1"))
    assert made.status("gw1")["role"] == "active"
    assert made.log("gw1").count("cannot be used:") == 1
    assert "Traceback" not in made.log("gw1")
