"""A binding by ctypes to the few functions of libbpf (1.0 or later, the distribution's `libbpf.so.1`) that
are used."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = "libbpf.so.1"

# <linux/bpf.h>
BPF_XDP = 37
BPF_TCX_INGRESS = 46
BPF_TCX_EGRESS = 47
BPF_F_TEST_XDP_LIVE_FRAMES = 2
XDP_FLAGS_SKB_MODE = 2
XDP_FLAGS_DRV_MODE = 4

NO_OBJECT = 4000
"""The library's own errors, about files, are numbered from here (<bpf/libbpf_legacy.h>)."""

_Print = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class LinkOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("flags", c_uint32),
        ("iter_info", c_void_p),
        ("iter_info_len", c_uint32),
        ("target_btf_id", c_uint32),
        ("rest", c_uint64 * 4),
    )


class TestRunOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


@cache
def library() -> Any:
    """Return the library. Raises OSError if there is none."""
    lib = ctypes.CDLL(LIBRARY, use_errno=True)
    for name, answer, arguments in (
        ("bpf_object__open_mem", c_void_p, (c_char_p, c_size_t, c_void_p)),
        ("bpf_object__load", c_int, (c_void_p,)),
        ("bpf_object__close", None, (c_void_p,)),
        ("bpf_object__find_map_by_name", c_void_p, (c_void_p, c_char_p)),
        ("bpf_object__find_program_by_name", c_void_p, (c_void_p, c_char_p)),
        ("bpf_map__fd", c_int, (c_void_p,)),
        ("bpf_map__set_max_entries", c_int, (c_void_p, c_uint32)),
        ("bpf_map__reuse_fd", c_int, (c_void_p, c_int)),
        ("bpf_program__fd", c_int, (c_void_p,)),
        ("bpf_obj_pin", c_int, (c_int, c_char_p)),
        ("bpf_obj_get", c_int, (c_char_p,)),
        ("bpf_link_update", c_int, (c_int, c_int, c_void_p)),
        ("bpf_link_create", c_int, (c_int, c_int, c_int, POINTER(LinkOptions))),
        ("bpf_map_lookup_elem", c_int, (c_int, c_void_p, c_void_p)),
        ("bpf_map_update_elem", c_int, (c_int, c_void_p, c_void_p, c_uint64)),
        ("bpf_map_delete_elem", c_int, (c_int, c_void_p)),
        ("bpf_map_get_next_key", c_int, (c_int, c_void_p, c_void_p)),
        ("bpf_prog_test_run_opts", c_int, (c_int, POINTER(TestRunOptions))),
        ("libbpf_set_print", c_void_p, (_Print,)),
        ("libbpf_num_possible_cpus", c_int, ()),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = answer, arguments
    lib.libbpf_set_print(_say_nothing)
    return lib


@_Print  # type: ignore[untyped-decorator]
def _say_nothing(_level: int, _format: bytes, _arguments: int) -> int:
    return 0


def error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


class Object:
    """A compiled object in the kernel. Its maps and programs live until `close`, and end with this process."""

    def __init__(
        self, image: bytes, sizes: dict[str, int], reused: Mapping[str, int] | None = None
    ) -> None:
        """Load the object. `sizes` are the entries of maps, by name; `reused` are descriptors of maps that exist
        already, which keep their content. Raises OSError."""
        self._lib = lib = library()
        self._handle: int | None = lib.bpf_object__open_mem(image, len(image), None)
        if not self._handle:
            raise error("the object is not one")
        for name, entries in sizes.items():
            lib.bpf_map__set_max_entries(self._map(name), entries)
        for name, descriptor in (reused or {}).items():
            lib.bpf_map__reuse_fd(self._map(name), descriptor)
        if lib.bpf_object__load(self._handle) < 0:
            trouble = error("the kernel does not take the programs")
            self.close()
            raise trouble

    def _map(self, name: str) -> int:
        found: int = self._lib.bpf_object__find_map_by_name(self._handle, name.encode())
        assert found, name
        return found

    def map(self, name: str) -> int:
        """Return the descriptor of a map."""
        return int(self._lib.bpf_map__fd(self._map(name)))

    def program(self, name: str) -> int:
        """Return the descriptor of a program."""
        found = self._lib.bpf_object__find_program_by_name(self._handle, name.encode())
        assert found, name
        return int(self._lib.bpf_program__fd(found))

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle:
            self._lib.bpf_object__close(handle)


def counts(counters: int, entries: int) -> list[int]:
    """Return the sums of a per-CPU array of 64-bit counters, given its descriptor."""
    lib = library()
    values = (c_uint64 * lib.libbpf_num_possible_cpus())()
    sums = []
    for at in range(entries):
        lib.bpf_map_lookup_elem(counters, byref(c_uint32(at)), values)
        sums.append(sum(values))
    return sums


def link(program: int, device: int, kind: int, flags: int = 0) -> int:
    """Attach a program; it stays attached while the returned descriptor is open. Raises OSError."""
    options = LinkOptions(size=ctypes.sizeof(LinkOptions), flags=flags)
    descriptor = int(
        library().bpf_link_create(program, device, kind, byref(options) if flags else None)
    )
    if descriptor < 0:
        raise error("attaching")
    return descriptor


def exchange(descriptor: int, program: int) -> None:
    """Exchange the program of a link, which no packet notices. Raises OSError, also if its device is gone."""
    if library().bpf_link_update(descriptor, program, None) < 0:
        raise error("exchanging a program")


def pin(descriptor: int, path: Path) -> None:
    """Give a map or a link a name in a bpffs, so that it lives as long as that. Raises OSError."""
    if library().bpf_obj_pin(descriptor, bytes(path)) < 0:
        raise error("pinning")


def pinned(path: Path) -> int | None:
    """Return the descriptor of a map or a link by its name in a bpffs; None if it is not there. Raises OSError."""
    descriptor = int(library().bpf_obj_get(bytes(path)))
    if descriptor >= 0:
        return descriptor
    if ctypes.get_errno() == errno.ENOENT:
        return None
    raise error("opening a pin")


def run_once(
    program: int, data: bytes, context: bytes = b"", repeat: int = 1, flags: int = 0, batch: int = 0
) -> tuple[int, bytes, int]:
    """Run a program on a packet (BPF_PROG_TEST_RUN) and return `(verdict, packet, nanoseconds)`. Raises
    OSError."""
    room = ctypes.create_string_buffer(max(len(data), 64) + 256)
    options = TestRunOptions(
        size=ctypes.sizeof(TestRunOptions),
        data_in=ctypes.cast(c_char_p(data), c_void_p),
        data_size_in=len(data),
        repeat=repeat,
        flags=flags,
        batch_size=batch,
    )
    if not flags & BPF_F_TEST_XDP_LIVE_FRAMES:
        options.data_out = ctypes.cast(room, c_void_p)
        options.data_size_out = len(room)
    if context:
        options.ctx_in = ctypes.cast(c_char_p(context), c_void_p)
        options.ctx_size_in = len(context)
    if library().bpf_prog_test_run_opts(program, byref(options)) < 0:
        raise error("test run")
    return options.retval, room.raw[: options.data_size_out], options.duration
