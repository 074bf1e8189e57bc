"""Programs come to interfaces and leave them, on new kernels and on old ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import attach_tc
from ipmasq.planes.ebpf.devices import look_up
from ipmasq.planes.ebpf.fastpath import EbpfFastPath
from ipmasq.planes.ebpf.layout import Hook, Reason
from ipmasq.planes.ebpf.loading import needed
from ipmasq.planes.ebpf.programs import Programs
from ipmasq.planes.ebpf.table import sizes
from ipmasq.planes.fastpath import NoFastPath
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_network
from tests.planes.ebpf.kernel import OBJECT, network
from tests.planes.ebpf.old_kernel import link as link_of_old_kernel
from tests.planes.ebpf.test_layout import ROOT

pytestmark = pytest.mark.live


@pytest.fixture
def devices() -> Iterator[dict[str, int]]:
    with network() as found:
        yield found


def plane(directory: Path, **options: bool) -> TunPlane:
    inside = [to_network("10.0.0.0/24")]
    return TunPlane("out0", ["in0"], inside, directory, Programs(10, **options))


def hooks(plane: TunPlane) -> dict[str, str]:
    assert isinstance(plane.fast, EbpfFastPath)
    return plane.fast.hooks


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "link", link_of_old_kernel)


def filters(name: str) -> str:
    command = ("tc", "filter", "show", "dev", name, "ingress")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def link(name: str) -> str:
    command = ("ip", "-d", "link", "show", name)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def slot(name: str) -> bool:
    command = ("tc", "qdisc", "show", "dev", name)
    return "clsact" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def xdp(name: str) -> bool:
    return "prog/xdp" in link(name)


def test_a_kernel_without_tcx_gets_filters_which_leave_with_the_plane(
    devices: dict[str, int], old_kernel: None, tmp_path: Path
) -> None:
    made = plane(tmp_path, xdp=False)
    made.open()
    assert hooks(made) == {"out0": "tc", "in0": "tc"}
    assert "ipmasq" in filters("in0")
    assert "ipmasq" in filters("out0")
    made.close()
    assert filters("in0") == filters("out0") == ""
    assert not slot("in0")


def test_interfaces_that_programs_could_not_tell_apart_get_none(
    devices: dict[str, int], tmp_path: Path
) -> None:
    index = devices["in0"] + (1 << 16)
    with IPRoute() as kernel:
        kernel.link("add", ifname="in1", index=index, kind="veth", peer={"ifname": "in1-far"})
    inside = [to_network("10.0.0.0/24")]
    made = TunPlane("out0", ["in0", "in1"], inside, tmp_path, Programs(10, xdp=False))
    with pytest.raises(PlaneError, match="in0 and in1"):
        made.open()
    assert made.fast == NoFastPath()


def test_a_place_for_filters_that_is_not_ours_stays(
    devices: dict[str, int], old_kernel: None, tmp_path: Path
) -> None:
    subprocess.run(("tc", "qdisc", "add", "dev", "in0", "clsact"), check=True)
    subprocess.run(("tc", "qdisc", "add", "dev", "out0", "clsact"), check=True)
    made = plane(tmp_path, xdp=False)
    made.open()
    made.close()
    assert slot("in0")


def test_a_filter_that_a_crash_has_left_is_removed(
    devices: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = libbpf.Object(OBJECT.read_bytes(), sizes(4))
    with IPRoute() as kernel:
        device = look_up(kernel, "in0")
        assert device
        with monkeypatch.context() as old:
            old.setattr(libbpf, "link", link_of_old_kernel)
            attach_tc(kernel, loaded, device, Side.INSIDE)
    loaded.close()
    assert "ipmasq" in filters("in0")
    made = plane(tmp_path, xdp=False)
    made.open()
    assert filters("in0") == ""
    made.close()


def test_xdp_stands_before_tc_and_leaves_with_the_plane(
    devices: dict[str, int], tmp_path: Path
) -> None:
    made = plane(tmp_path, xdp=True)
    made.open()
    assert hooks(made) == {"out0": "tc+xdp", "in0": "tc+xdp"}
    assert xdp("in0")
    assert xdp("out0")
    made.close()
    assert not xdp("in0")


def test_xdp_behind_the_driver_stands_where_no_driver_has_it(
    devices: dict[str, int], tmp_path: Path
) -> None:
    with IPRoute() as kernel:
        kernel.link("add", ifname="br0", kind="bridge")
    native = TunPlane("br0", ["in0"], [], tmp_path, Programs(10, xdp=True))
    with pytest.raises(PlaneError, match=r"^no program on br0: XDP: .* ebpf-xdp-generic"):
        native.open()
    assert not xdp("in0")
    generic = TunPlane("br0", ["in0"], [], tmp_path, Programs(10, xdp=True, generic=True))
    generic.open()
    assert generic.fast.describe() == "ebpf (tc+xdp-generic on br0, tc+xdp-generic on in0)"
    assert "xdpgeneric" in link("br0")
    generic.close()
    assert "xdp" not in link("br0")


def test_the_verifier_accepts_every_program() -> None:
    source = (ROOT / "bpf" / "ipmasq.bpf.c").read_text()
    programs = re.findall(r'^SEC\("(?:tc|xdp)"\) int (\w+)', source, re.MULTILINE)
    assert len(programs) == 18
    with closing(libbpf.Object(OBJECT.read_bytes(), sizes(4), programs)) as loaded:
        assert len({loaded.program(name) for name in programs}) == len(programs)


def test_a_program_that_is_loaded_later_has_the_maps_of_the_others() -> None:
    with closing(libbpf.Object(OBJECT.read_bytes(), sizes(4), ["tc_inside"])) as loaded:
        counters = len(Hook) * len(Reason)
        for number, name in enumerate(("tc_inside", "tc_outside_bare"), 1):
            libbpf.run_once(loaded.program(name), bytes(64))
            assert sum(libbpf.counts(loaded.map("reasons"), counters)) == number


def test_only_programs_that_the_interfaces_need_are_loaded(
    devices: dict[str, int], tmp_path: Path
) -> None:
    with IPRoute() as kernel:
        found = look_up(kernel, "in0"), look_up(kernel, "out0")
    assert found[0]
    assert found[1]
    programs = set(needed([(found[0], Side.INSIDE), (found[1], Side.OUTSIDE)], xdp=False))
    assert "tc_inside" in programs
    assert not any(name.endswith("_bare") or name.startswith("xdp") for name in programs)
    with closing(libbpf.Object(OBJECT.read_bytes(), sizes(4), programs)) as loaded:
        alone = TunPlane("out0", ["in0"], [to_network("10.0.0.0/24")], tmp_path)
        alone.open()
        try:
            alone.change(Programs(2, xdp=False, ahead=[loaded]))
            assert hooks(alone) == {"out0": "tc", "in0": "tc"}
            # A second image would be here if one had been missing.
            assert loaded.images == 1
        finally:
            alone.close()


def test_counters_say_which_of_them_count_drops(devices: dict[str, int], tmp_path: Path) -> None:
    opened = plane(tmp_path)
    opened.open()
    try:
        drops = {each.name.split(".")[0]: each.is_drop for each in opened.fast.counters()}
    finally:
        opened.close()
    assert drops == {"tc": False, "xdp": False, "dropped": True}


def test_auto_puts_no_xdp_on_a_veth(devices: dict[str, int], tmp_path: Path) -> None:
    made = plane(tmp_path)
    made.open()
    assert hooks(made) == {"out0": "tc", "in0": "tc"}
    made.close()


def test_without_the_library_auto_goes_on_and_says_why(
    devices: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libbpf, "LIBRARY", "libbpf.so.none")
    libbpf.library.cache_clear()
    made = plane(tmp_path, required=False)
    made.open()
    assert isinstance(made.fast, NoFastPath)
    assert "there is no libbpf" in made.fast.trouble
    made.close()
    with pytest.raises(PlaneError, match="there is no libbpf"):
        plane(tmp_path).open()
    libbpf.library.cache_clear()


def test_what_a_kernel_says_of_xdp_is_understood(devices: dict[str, int]) -> None:
    """A veth takes redirected packets only when its other end is ready for them."""
    with IPRoute() as kernel:
        before = look_up(kernel, "out0")
        subprocess.run(("ethtool", "-K", "out0-far", "gro", "on"), check=True)
        after = look_up(kernel, "out0")
    assert before
    assert after
    assert (before.features, after.features) != (None, None)
    assert not before.takes_redirected
    assert after.takes_redirected
