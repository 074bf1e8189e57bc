"""The arguments of requests, which are checked here. Every mistake is reported with its location."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ipmasq.config import messages, values
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.core.policy import PortRange
from ipmasq.core.tcp_states import NAMES
from ipmasq.wire.addresses import Address, Endpoint, Network


def _protocol(value: object) -> object:
    number = values.PROTOCOLS.get(value.lower(), value) if isinstance(value, str) else value
    text = str(number)
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 255):
        raise ValueError(f"{values.shown(value)} is not tcp, udp, icmp or the number of a protocol")
    return int(text)


def _number(text: str) -> int:
    """Return a port. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"{values.shown(text)} is not a port, a number to 65535")
    return int(text)


def _port(value: object) -> int:
    return _number(str(value))


def _endpoint(value: object) -> Endpoint:
    """Parse `10.0.0.2:40000`, or an address alone, whose port is 0."""
    address, colon, port = str(value).rpartition(":")
    if not colon or (":" in address and not address.endswith("]")):
        address, port = str(value), "0"
    return Endpoint(values.address(address.strip("[]")), _number(port))


def _state(value: object) -> str:
    state = str(value).upper()
    if state not in NAMES:
        raise ValueError(f"{value} is none of {', '.join(NAMES)}")
    return state


AddressText: TypeAlias = Annotated[Address, BeforeValidator(values.address)]
NetworkText: TypeAlias = Annotated[Network, BeforeValidator(values.network)]
"""A network, or one address."""
ProtocolText: TypeAlias = Annotated[int, BeforeValidator(_protocol)]
Port: TypeAlias = Annotated[int, BeforeValidator(_port)]
RealPort: TypeAlias = Annotated[int, BeforeValidator(_port), Field(ge=1)]
EndpointText: TypeAlias = Annotated[Endpoint, BeforeValidator(_endpoint)]
StateText: TypeAlias = Annotated[str, BeforeValidator(_state)]
PortsText: TypeAlias = Annotated[PortRange, BeforeValidator(values.port_range)]
"""`2121`, `"2121"` or `"6000-6010"`."""
NameText: TypeAlias = Annotated[str, BeforeValidator(values.name)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
"""An idle time: more than 0, at most a year."""


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Arguments):
    pass


class Share(Arguments):
    """Which share of a group; all if none is named."""

    share: NameText | None = None


class Which(Arguments):
    """Filters flows or mappings: all that is given must match."""

    host: AddressText | None = None
    port: Port | None = None
    protocol: ProtocolText | None = None
    helper: str | None = None
    state: StateText | None = None
    source: NetworkText | None = None
    """The end that opened the flow, as it was then."""
    source_port: Port | None = None
    destination: NetworkText | None = None
    """What was addressed then: of a connection to a published server, the public address."""
    destination_port: Port | None = None
    reply_source: NetworkText | None = None
    """The end that answers: of a connection to a published server, the server itself."""
    reply_destination: NetworkText | None = None
    """Where answers are sent: of a flow from inside, the public address."""


class WhichMapping(Arguments):
    host: AddressText | None = None
    port: Port | None = None
    protocol: ProtocolText | None = None


class WhichFlow(Arguments):
    flow: int


class Named(Arguments):
    name: NameText


class Saved(Named):
    save: bool = False


class NewForward(Arguments):
    protocol: ProtocolText = 6
    ports: PortsText
    inside: AddressText
    inside_port: PortsText | None = None
    public: AddressText | None = None
    name: NameText | None = None
    save: bool = False


class WouldBe(Arguments):
    flow: int | None = None
    protocol: ProtocolText | None = None
    source: EndpointText | None = None
    destination: EndpointText | None = None
    side: Literal["inside", "outside"] | None = None


class WhichEvents(Arguments):
    events: tuple[str, ...] = ()
    flow: int | None = None
    host: AddressText | None = None
    helper: str | None = None
    last: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """How many past events, of those that are kept."""
    follow: bool = True
    """Whether to wait for events that come."""


class Top(Arguments):
    """Which flows come first, and how many."""

    by: Literal["rate", "bytes"] = "rate"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Hosts(Arguments):
    by: Literal["rate", "bytes", "flows", "ports"] = "rate"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Summary(Arguments):
    every: Annotated[float, Field(ge=0.1, le=30, allow_inf_nan=False)] | None = None
    """Seconds between two rows; None for one row only."""


class NewHelper(Arguments):
    name: NameText | None = None
    file: str | None = None
    ports: tuple[RealPort, ...] | None = None
    save: bool = False


class NewTimeouts(Arguments):
    tcp_established: Seconds | None = None
    tcp_opening: Seconds | None = None
    tcp_closing: Seconds | None = None
    udp: Seconds | None = None
    icmp: Seconds | None = None
    fragment: Seconds | None = None
    udp_ports: dict[RealPort, Seconds] | None = None
    """Other ports stay as they are."""


def check(model: type[Arguments], given: dict[str, object]) -> Any:
    """Return the checked arguments. Raises RequestError with every mistake."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        known = list(model.model_fields)
        mistakes = [_mistake(each, known) for each in error.errors(include_url=False)]
    raise RequestError(Kind.BAD_ARGUMENT, "; ".join(dict.fromkeys(mistakes)))


def _mistake(error: Any, known: list[str]) -> str:
    name = ".".join(str(step) for step in error["loc"] if step != "[key]")
    if error["type"] != "extra_forbidden":
        return f"{name}: {messages.sentence(error)}"
    close = get_close_matches(name.lower(), known, n=1)
    advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
    return f"{name}: there is no such argument; {advice}"
