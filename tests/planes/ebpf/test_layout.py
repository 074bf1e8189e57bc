"""bpf/layout.h and its counterpart in Python say the same."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ipmasq.core.compact import FLOW, HAS_MARKS, IS_OFFLOADABLE
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Account, Fields, Hook, Reason, Use

ROOT = Path(__file__).parents[3]


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_bpf", ROOT / "tools/build_bpf.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiles(assertions: list[str]) -> str:
    """What the compiler objects to."""
    command = builder().compiler()
    source = '#include "layout.h"\n#include <stddef.h>\n' + "\n".join(
        f'_Static_assert({each}, "{each}");' for each in assertions
    )
    done = subprocess.run(
        [*command, "-target", "bpfel", "-fsyntax-only", f"-I{ROOT / 'bpf'}", "-x", "c", "-"],
        input=source.replace("#include <stddef.h>", "#define offsetof __builtin_offsetof"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


@pytest.mark.parametrize(
    ("name", "fields", "size"),
    [
        ("key", layout.KEY, layout.Key.size),
        ("half", layout.HALF, layout.Half.size),
        ("device", layout.DEVICE, layout.Device.size),
        ("state", layout.STATE, layout.State.size),
        ("payer", layout.PAYER, layout.Payer.size),
        ("filled", layout.FILLED, layout.Filled.size),
        ("filling", layout.FILLING, layout.Filling.size),
        ("account_state", layout.ACCOUNT_STATE, layout.AccountState.size),
    ],
)
def test_structures_have_the_same_fields_at_the_same_places(
    name: str, fields: Fields, size: int
) -> None:
    said = [f"sizeof(struct {name}) == {size}"]
    said += [f"offsetof(struct {name}, {f}) == {at}" for f, at in layout.offsets(fields).items()]
    assert compiles(said) == ""


def test_the_rows_of_flows_have_the_same_fields() -> None:
    names = [
        "protocol",
        "client",
        "back",
        "same_protocol",
        "server",
        "out",
        "reach",
        "bits",
        "kind",
        "name_length",
        "name",
        "ages",
        "out_packets",
        "out_bytes",
        "out_position",
        "back_packets",
        "back_bytes",
        "back_position",
        "out_mark",
        "back_mark",
    ]
    forms = [
        "B",
        "B",
        "12s",
        "B",
        "B",
        "12s",
        "B",
        "B",
        "B",
        "B",
        "24s",
        "24s",
        "Q",
        "Q",
        "Q",
        "Q",
        "Q",
        "Q",
        "Q",
        "Q",
    ]
    assert FLOW.format == "<BB12sBB12sBBBB24s3d6Q2Q", "then this must be another one"
    fields = tuple(zip(names, forms, strict=True))
    said = [f"sizeof(struct row) == {FLOW.size}"]
    said += [f"offsetof(struct row, {f}) == {at}" for f, at in layout.offsets(fields).items()]
    assert compiles(said) == ""


def test_reasons_hooks_and_constants_have_the_same_numbers() -> None:
    numbers = (*Reason, *Hook, *Account, *Side, *Use)
    said = [f"{each.name} == {each.value}" for each in numbers]
    said += [
        f"REASONS == {len(Reason)}",
        f"HOOKS == {len(Hook)}",
        f"ACCOUNTS == {len(Account)}",
    ]
    said += [f"TIME_SHIFT == {layout.TIME_SHIFT}", f"TRAFFIC_SHIFT == {layout.TRAFFIC_SHIFT}"]
    said += [f"WINDOW == {layout.WINDOW}", f"DEVICES == {layout.DEVICES}"]
    said += [f"ROWS == {layout.ROWS}", f"LANES == {layout.LANES}"]
    said += [f"AT_ONCE == {layout.AT_ONCE}"]
    said += [f"NOWHERE == {layout.NOWHERE}"]
    said += [f"ANYWHERE == {layout.ANYWHERE}", f"ADOPTED == {layout.ADOPTED}"]
    said += [f"IS_OFFLOADABLE == {IS_OFFLOADABLE}", f"HAS_MARKS == {HAS_MARKS}"]
    said += [f"ADMITTED == {layout.ADMITTED}"]
    said += ["sizeof(struct slot) == sizeof(struct key) + sizeof(struct half)"]
    assert compiles(said) == ""


def test_a_difference_would_be_noticed() -> None:
    assert "static" in compiles(["sizeof(struct half) == 57"]).lower()


def test_the_report_stands_at_the_end_of_a_half() -> None:
    assert layout.REPORT_AT + layout.REPORT.size == layout.Half.size
