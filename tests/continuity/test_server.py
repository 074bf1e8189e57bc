"""Where a store is, and what its errors mean."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ipmasq.continuity.lease import Lease
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.server import (
    FILES,
    OPTIONS,
    TLS,
    Address,
    DeniedError,
    SilentError,
    UselessError,
    told,
)
from tests.continuity.stores import SERVER, Store


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://store", "begins with none of"),
        ("redis://", "names no host"),
        ("redis://store:x", "Port"),
        ("unix://", "names no socket"),
        ("redis+sentinel://one,two", "names no primary"),
        ("rediss://store?ssl_ca_cert=/x", "an option that is none of .*, ssl_ca_certs,"),
        ("redis://store?ssl_ca_certs=/x", "TLS, which needs rediss://"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, message: str):
    with pytest.raises(ValueError, match=message):
        Address.parse(url)


@pytest.mark.parametrize("scheme", ["redis+sentinel", "rediss+sentinel"])
def test_the_urls_of_a_primary_and_of_a_sentinel_have_what_concerns_them(scheme: str):
    login = "sentinel_username=s&sentinel_password=b%26c"
    tls = "&ssl_check_hostname=no" if scheme.startswith("rediss") else ""
    found = Address.parse(f"{scheme}://u:a%2Fb@one,two/main/3?client_name=x&{login}{tls}")
    own = scheme.partition("+")[0]
    assert found.at("::1", 1) == f"{own}://u:a%2Fb@[::1]:1/3?client_name=x{tls}"
    options = "username=s&password=b%26c"
    rest = f"{tls[1:]}&{options}" if tls else options
    assert found.of_sentinel("one", 26379) == f"{own}://one:26379?{rest}"


def test_a_password_of_sentinels_needs_sentinels():
    with pytest.raises(ValueError, match="an option that is none of"):
        Address.parse("redis://store?sentinel_password=x")


def test_a_url_is_shown_without_its_password():
    assert Address.parse("rediss://user:secret@store:6380/1?db=1").shown == "rediss://store:6380/1"


@pytest.mark.parametrize("option", OPTIONS)
def test_the_library_knows_every_option_that_is_accepted(option: str):
    scheme = "rediss" if option in TLS else "redis"
    value = __file__ if option in FILES else "none" if option == "ssl_cert_reqs" else "1"
    client = Connector(Address.parse(f"{scheme}://store?{option}={value}"))(1.0)
    assert client.connection_pool.make_connection() is not None


def test_sentinels_and_the_primary_are_found_in_the_url():
    found = Address.parse("redis+sentinel://:pw@one:1,two/main")
    assert found.sentinels == (("one", 1), ("two", 26379))
    assert found.service == "main"
    assert found.shown == "redis+sentinel://one:1,two/main"


def error_of(url: str, patience: float = 0.2) -> Exception:
    with pytest.raises(Exception, match=r".*") as caught:
        Connector(Address.parse(url))(patience).ping()
    return told(caught.value)


def test_a_machine_that_says_there_is_no_store_is_not_silent(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        assert isinstance(error_of(f"redis://127.0.0.1:{taken.getsockname()[1]}"), UselessError)


def test_a_server_that_does_not_answer_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert isinstance(error_of(f"redis://127.0.0.1:{server.getsockname()[1]}"), SilentError)


def test_a_store_that_refuses_a_command_is_useless(store: Store):
    client = store.client()
    client.set("text", "x")
    with pytest.raises(Exception, match="WRONGTYPE") as caught:
        client.xlen("text")
    assert isinstance(told(caught.value), UselessError)


def test_what_was_to_be_written_is_not_told(store: Store):
    client = store.client()
    client.set("text", "x")
    pipeline = client.pipeline(transaction=False)
    pipeline.xadd("text", {"e": b"PASS\nsecret"})
    with pytest.raises(Exception, match="secret") as caught:
        pipeline.execute()
    assert str(told(caught.value)).startswith("the store: WRONGTYPE ")


def test_a_wrong_password_is_told(store: Store):
    store.client().config_set("requirepass", "secret")
    error = error_of(store.url)
    assert isinstance(error, DeniedError)
    assert "uthentication" in str(error)


# -- as operators protect a store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


DOC = Path(__file__).parents[2] / "docs" / "two-gateways.md"


def block(begins: str) -> str:
    """Return commands of docs/two-gateways.md, or lines of a file, as they are there."""
    blocks: list[str] = re.findall(r"```\w*\n(.*?)```", DOC.read_text(), re.DOTALL)
    return next(each for each in blocks if each.startswith(begins))


def make_certificates(directory: Path, made: str) -> None:
    """What the page makes, for this machine."""
    made = made.replace(
        "DNS:store.example,IP:192.168.9.1", "DNS:localhost,IP:127.0.0.1,IP:192.168.9.1"
    )
    commands = made.replace("chown redis", "chown root")
    subprocess.run(["bash", "-ec", commands], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the certificates of the page, and some that have ended: `old.pem` is signed, `store.pem` is valid."""
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory, block("openssl req -x509"))
    signing = (
        "openssl ca -batch -notext -config ca.conf -startdate 200101000000Z -enddate 200102000000Z"
    )
    (directory / "ca.conf").write_text(
        "[ca]\ndefault_ca=x\n[x]\ndatabase=db\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n"
        "certificate=ca.pem\nprivate_key=ca.key\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n"
    )
    commands = f"touch db; echo 77 > serial; {signing} -in store.csr -out old.pem"
    subprocess.run(["bash", "-ec", commands], cwd=directory, check=True, capture_output=True)
    return directory


@pytest.fixture
def protected(request: pytest.FixtureRequest, tmp_path: Path, certificates: Path) -> Iterator[int]:
    """The port of a store that speaks TLS, demands a certificate, and has the user of the page."""
    if SERVER is None:
        pytest.skip("there is no redis-server")
    port, made = free_port(), getattr(request, "param", "store.pem")
    files = (
        *("--tls-cert-file", str(certificates / made)),
        *("--tls-key-file", str(certificates / "store.key")),
        *("--tls-ca-cert-file", str(certificates / "ca.pem")),
    )
    store = Store(tmp_path, "--tls-port", str(port), "--bind", "127.0.0.1", "127.0.0.2", *files)
    store.start()
    _, _, line = block("cli=").partition("$cli ")
    store.client().execute_command(*shlex.split(line.splitlines()[0]))
    yield port
    store.stop()


def url_of(port: int, certificates: Path, user: str = "gateway", host: str = "127.0.0.1") -> str:
    """The URL of the page."""
    found = re.search(r'store = "(rediss://gateway:.*)"', DOC.read_text())
    assert found is not None
    there = (
        found[1].replace("192.168.9.1:6379", f"{host}:{port}").replace("gateway:", f"{user}:", 1)
    )
    return there.replace("/etc/ipmasq", str(certificates))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_store_is_used_by_tls_with_a_user_and_a_password(
    protected: int, certificates: Path, host: str
) -> None:
    client = Connector(Address.parse(url_of(protected, certificates, host=host)))(2.0)
    assert Lease(client, "office", "one").acquire(0).held
    assert isinstance(told(_raised(lambda: client.lpush("ipmasq:{office}:x", "1"))), DeniedError)
    assert isinstance(told(_raised(lambda: client.get("else"))), DeniedError)


def _raised(do: Callable[[], object]) -> Exception:
    with pytest.raises(redis.RedisError) as caught:
        do()
    return caught.value


@pytest.mark.parametrize(
    ("protected", "change", "error", "message"),
    [
        ("store.pem", ("ca.pem", "store.pem"), SilentError, "certificate verify failed"),
        (
            "store.pem",
            ("127.0.0.1", "127.0.0.2"),
            SilentError,
            "IP address mismatch",
        ),
        ("store.pem", ("&ssl_certfile", "#"), SilentError, "demand a certificate of its clients"),
        ("old.pem", ("", ""), SilentError, "certificate has expired"),
        ("store.pem", ("//gateway:", "//someone:"), DeniedError, "invalid username-password pair"),
        ("store.pem", ("ca.pem", "none.pem"), SilentError, "No such file.*none.pem"),
    ],
    indirect=["protected"],
)
def test_what_is_wrong_with_a_protected_store_is_told(
    protected: int,
    certificates: Path,
    change: tuple[str, str],
    error: type[Exception],
    message: str,
) -> None:
    found = error_of(url_of(protected, certificates).replace(*change, 1), 2.0)
    assert (type(found), "\n" in str(found)) == (error, False)
    assert re.search(message, str(found)), found


def test_a_right_that_a_script_lacks_is_told(store: Store) -> None:
    admin = store.client()
    admin.acl_setuser(
        "poor", enabled=True, nopass=True, keys=["*"], commands=["+eval", "+get", "+info"]
    )
    client = Connector(Address.parse(f"{store.url}?username=poor&password=x"))(2.0)
    error = told(_raised(lambda: Lease(client, "office", "one").acquire(0)))
    assert isinstance(error, DeniedError)
    assert str(error) == "the store: this user has no permissions to run a command of a script"
