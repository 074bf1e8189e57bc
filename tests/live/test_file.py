"""A gateway told by a TOML file, as `ipmasq run` is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ipmasq.config import check, read_host_state
from ipmasq.config.values import PROTOCOLS
from ipmasq.core.policy import Forward, PortRange
from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.setup import SetupError
from ipmasq.gateway.sockets import served
from ipmasq.wire.addresses import to_address, to_network
from tests.live.conftest import INSIDE_GATEWAY, INSIDE_HOST, PUBLIC, Network, trace

pytestmark = pytest.mark.live

TOML = """
[gateway]
inside = ["10.0.0.0/24"]
outside = "go"
"""

HELPER = '''
from ipmasq.core.helper import Helper, HelperContext

class Finger(Helper):
    name = "finger"
    ports = (79,)
    greeting = "{greeting}"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        """Only looks."""
'''


@pytest.fixture
def toml(network: Network, tmp_path: Path) -> Path:
    network.ip("gw", "route add default dev go")
    path = tmp_path / "gateway.toml"
    path.write_text(TOML)
    return path


def test_interfaces_and_addresses_are_found_on_the_host(network: Network, toml: Path) -> None:
    with network.at("gw"):
        setup = File(toml).read()
    assert (setup.outside, setup.inside) == ("go", ("gi",))
    assert setup.policy.inside == (to_network("10.0.0.0/24"),)
    assert setup.policy.public == (to_address(PUBLIC),)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(
    ("address", "device", "is_served"),
    [
        ("0.0.0.0", "", True),
        ("::", "", True),
        (PUBLIC, "", True),
        (INSIDE_GATEWAY, "", False),
        ("127.0.0.1", "", False),
        ("0.0.0.0", "go", True),
        ("0.0.0.0", "gi", False),
        (PUBLIC, "gi", False),
        ("0.0.0.0", "lo", False),
    ],
)
def test_a_forward_is_doubtful_if_the_host_serves_its_port_at_the_public_address(
    network: Network, toml: Path, kind: int, address: str, device: str, is_served: bool
) -> None:
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    forward = Forward(
        "dns", PROTOCOLS[protocol], None, PortRange(53, 53), to_address(INSIDE_HOST), 53
    )
    with network.at("gw"), server(kind, address, device):
        file = File(toml)
        file.read()
        added = file.review_forward(forward, ())
        toml.write_text(FORWARD.format(protocol))
        written = [each.message for each in check(toml, read_host_state(served)).warnings]
    told = "this host serves port 53 itself; from outside it can no longer be reached"
    assert added == ((told,) if is_served else ())
    assert written == list(added)


FORWARD = TOML + '[[forward]]\nname = "dns"\nprotocol = "{}"\nport = 53\nto = "10.0.0.2"\n'


def server(kind: int, address: str, device: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    if device:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    made.bind((address, 53))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def test_every_mistake_in_the_file_is_told(network: Network, toml: Path) -> None:
    toml.write_text('[gateway]\ninside = ["10.0.0.0/99"]\nports = "70000"\n')
    with network.at("gw"), pytest.raises(SetupError) as told:
        File(toml).read()
    assert len(told.value.mistakes) >= 2


def test_what_the_operator_does_takes_effect_and_lasts_until_a_reload(
    network: Network, toml: Path, tmp_path: Path
) -> None:
    before = trace(network)
    code = tmp_path / "finger.py"
    code.write_text(HELPER.format(greeting="old"))
    with network.at("gw"):
        gateway = Gateway(File(toml), Loop(), tmp_path)
        gateway.start()
        try:
            assert gateway.load_helper(None, str(code), [7979]) == "finger"
            code.write_text(HELPER.format(greeting="new"))
            gateway.reload_helper("finger")
            (finger,) = (each for each in gateway.engine.helpers() if each.name == "finger")
            assert finger.ports == (7979,)
            (use,) = (each for each in gateway._helpers.in_use if each.name == "finger")
            assert use.make().greeting == "new"  # type: ignore[attr-defined]
            with pytest.raises(KeyError):
                gateway.load_helper("nonesuch", None, None)
            code.write_text("nonsense(")
            with pytest.raises(ValueError, match=r"finger\.py, line 1"):
                gateway.reload_helper("finger")
            web = Forward("web", 6, None, PortRange(80, 80), to_address(INSIDE_HOST), 8080)
            gateway.add_forward(web)
            rules = network.ip("gw", "rule")
            assert "dport 81-1023" in rules
            assert "dport 32768-60999" in rules
            all_ = Forward("all", 6, None, PortRange(1024, 61000), to_address(INSIDE_HOST), 1024)
            with pytest.raises(ValueError, match="no port of 32768-60999 is left"):
                gateway.add_forward(all_)
            assert gateway.engine.forwards() == (web,)
            gateway.engine.events()
            gateway._adapt()
            assert gateway.engine.events() == [], "nothing changed, nobody is told of a change"
            assert gateway.engine.forwards() == (web,)
            assert "finger" in {each.name for each in gateway.engine.helpers()}
            ports = gateway.engine.policy.ports
            assert str(ports) == "1024-32767, 61000-65535"
            assert gateway.reload()[0] == 0
            assert gateway.engine.policy.ports == ports
            assert {each.name for each in gateway.engine.helpers()} == {"ftp"}
            assert gateway.engine.forwards() == ()
            assert gateway.status()["public"] == [PUBLIC]
        finally:
            gateway.stop()
    assert trace(network) == before


def test_a_reload_tells_and_logs_what_it_discards_and_what_needs_a_restart(
    network: Network, toml: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with network.at("gw"):
        gateway = Gateway(File(toml), Loop(), directory=toml.parent / "record", plane="tun")
        gateway.start()
        try:
            forward = Forward("web", 6, None, PortRange(80, 80), to_address(INSIDE_HOST), 80)
            assert gateway.add_forward(forward) == ()
            toml.write_text(TOML + '[control]\nmode = "0660"\n')
            with caplog.at_level("INFO", "ipmasq"):
                _, told = gateway.reload()
            news = [each.getMessage() for each in caplog.records if each.levelname == "INFO"]
            toml.write_text("[gateway\n")
            with caplog.at_level("ERROR", "ipmasq"), pytest.raises(SetupError):
                gateway.reload()
        finally:
            gateway.stop()
    assert told == [
        f"{toml}:5: control: has changed: it stays as it was until a restart",
        "forward web was added while the gateway ran, and is not in the file: removed",
    ]
    assert [each for each in caplog.messages if each in told] == told
    assert len([each for each in news if "reloaded" in each or "policy" in each]) == 1
    assert any(each.startswith(f"not reloaded: {toml}:1: ") for each in caplog.messages)


def test_a_gateway_is_not_started_at_an_interface_that_is_not_there(
    network: Network, toml: Path
) -> None:
    toml.write_text('[gateway]\ninside = ["gi"]\noutside = "gone0"\n')
    with network.at("gw"), pytest.raises(SetupError) as told:
        File(toml).read()
    (mistake,) = told.value.mistakes
    start = f"{toml}:3: gateway.outside: this machine has no interface gone0; "
    assert mistake.startswith(start)
    assert "go" in mistake.removeprefix(start)


def test_what_is_saved_survives_a_reload_and_a_restart(network: Network, toml: Path) -> None:
    code = toml.parent / "finger.py"
    code.write_text(HELPER.format(greeting="hello"))
    web = Forward("web", 6, None, PortRange(80, 80), to_address(INSIDE_HOST), 8080)

    def begun() -> Gateway:
        gateway = Gateway(File(toml), Loop(), toml.parent / "record", plane="tun")
        gateway.start()
        return gateway

    def there(gateway: Gateway) -> tuple[set[str], set[str]]:
        engine = gateway.engine
        return {each.name for each in engine.forwards()}, {each.name for each in engine.helpers()}

    with network.at("gw"):
        gateway = begun()
        try:
            gateway.add_forward(web)
            with pytest.raises(ValueError, match="there is a forward web already"):
                gateway.add_forward(web)
            gateway.add_forward(web, save=True)  # only now to be kept
            gateway.load_helper(None, str(code), None, save=True)
            assert gateway.reload() == (0, [])
            assert there(gateway) == ({"web"}, {"ftp", "finger"})
        finally:
            gateway.stop()
        gateway = begun()
        try:
            assert there(gateway) == ({"web"}, {"ftp", "finger"})
            gateway.remove_forward("web", save=True)
            gateway.unload_helper("finger", save=True)
            with pytest.raises(KeyError):
                gateway.remove_forward("web", save=True)
            assert gateway.reload() == (0, [])
            assert there(gateway) == (set(), {"ftp"})
            toml.with_name("gateway.saved.toml").write_text("[limits]\n")
            with pytest.raises(ValueError, match=r"gateway\.saved\.toml"):
                gateway.add_forward(web, save=True)
            assert there(gateway) == (set(), {"ftp"}), "what cannot be saved is not done"
        finally:
            gateway.stop()
