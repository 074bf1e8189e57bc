"""A binding by ctypes to the few functions of libbpf (1.0 or later, the distribution's `libbpf.so.1`) that
are used."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
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


class QueryOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("query_flags", c_uint32),
        ("attach_flags", c_uint32),
        ("programs", POINTER(c_uint32)),
        ("count", c_uint32),
        ("flags", c_void_p),
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
        ("bpf_object__next_map", c_void_p, (c_void_p, c_void_p)),
        ("bpf_object__next_program", c_void_p, (c_void_p, c_void_p)),
        ("bpf_map__fd", c_int, (c_void_p,)),
        ("bpf_map__reuse_fd", c_int, (c_void_p, c_int)),
        ("bpf_map__set_max_entries", c_int, (c_void_p, c_uint32)),
        ("bpf_program__fd", c_int, (c_void_p,)),
        ("bpf_obj_pin", c_int, (c_int, c_char_p)),
        ("bpf_obj_get", c_int, (c_char_p,)),
        ("bpf_link_update", c_int, (c_int, c_int, c_void_p)),
        ("bpf_program__name", c_char_p, (c_void_p,)),
        ("bpf_program__set_autoload", c_int, (c_void_p, c_bool)),
        ("bpf_link_create", c_int, (c_int, c_int, c_int, POINTER(LinkOptions))),
        ("bpf_map_lookup_elem", c_int, (c_int, c_void_p, c_void_p)),
        ("bpf_map_update_elem", c_int, (c_int, c_void_p, c_void_p, c_uint64)),
        ("bpf_map_delete_elem", c_int, (c_int, c_void_p)),
        ("bpf_map_get_next_key", c_int, (c_int, c_void_p, c_void_p)),
        ("bpf_prog_test_run_opts", c_int, (c_int, POINTER(TestRunOptions))),
        ("bpf_prog_query_opts", c_int, (c_int, c_int, POINTER(QueryOptions))),
        ("bpf_prog_get_fd_by_id", c_int, (c_uint32,)),
        ("bpf_obj_get_info_by_fd", c_int, (c_int, c_void_p, POINTER(c_uint32))),
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
    """A compiled object in the kernel. Its maps and programs live until `close`, and end with this process.

    Programs are loaded when they are needed: the verifier takes up to 0.15 s for one of them.
    """

    def __init__(
        self,
        image: bytes,
        sizes: Mapping[str, int],
        programs: Iterable[str] = (),
        reused: Mapping[str, int] | None = None,
    ) -> None:
        """Create the maps and load these programs. `sizes` are the entries of maps, by name; `reused` are descriptors
        of maps that exist already, which keep their content. Raises OSError."""
        self._lib, self._image = library(), image
        self._handles: list[int] = []
        """Of the library's objects. The first one has created the maps; the others have more programs for them."""
        first = self._open(programs)
        for name, entries in sizes.items():
            self._lib.bpf_map__set_max_entries(self._map(name), entries)
        for name, descriptor in (reused or {}).items():
            if self._lib.bpf_map__reuse_fd(self._map(name), descriptor) < 0:
                raise error("the maps of an earlier process")
        self._load(first)

    def load(self, programs: Iterable[str]) -> None:
        """Load those of these programs that are not loaded yet. Raises OSError."""
        missing = [name for name in programs if self.loaded(name) is None]
        if not missing:
            return
        there = [self._lib.bpf_map__fd(each) for each in self._maps(self._handles[0])]
        more = self._open(missing)
        for each, descriptor in zip(self._maps(more), there, strict=True):
            if self._lib.bpf_map__reuse_fd(each, descriptor) < 0:
                raise error("the maps of the programs")
        self._load(more)

    @property
    def images(self) -> int:
        """How often the image was read: once more for each later load."""
        return len(self._handles)

    def map(self, name: str) -> int:
        """Return the descriptor of a map."""
        return int(self._lib.bpf_map__fd(self._map(name)))

    def program(self, name: str) -> int:
        """Return the descriptor of a program, which is loaded if it is not yet. Raises OSError."""
        self.load([name])
        found = self.loaded(name)
        assert found is not None, name
        return found

    def loaded(self, name: str) -> int | None:
        """Return the descriptor of a program, if it is loaded."""
        for handle in self._handles:
            found = self._lib.bpf_object__find_program_by_name(handle, name.encode())
            assert found, name
            descriptor = int(self._lib.bpf_program__fd(found))
            if descriptor >= 0:
                return descriptor
        return None

    def close(self) -> None:
        handles, self._handles = self._handles, []
        for handle in reversed(handles):
            self._lib.bpf_object__close(handle)

    def _open(self, programs: Iterable[str]) -> int:
        """Parse the image; of its programs, only these will be loaded."""
        handle = self._lib.bpf_object__open_mem(self._image, len(self._image), None)
        if not handle:
            raise error("the object is not one")
        self._handles.append(handle)
        wanted = {name.encode() for name in programs}
        for each in _all(self._lib.bpf_object__next_program, handle):
            self._lib.bpf_program__set_autoload(each, self._lib.bpf_program__name(each) in wanted)
        return int(handle)

    def _load(self, handle: int) -> None:
        if self._lib.bpf_object__load(handle) < 0:
            trouble = error("the kernel does not take the programs")
            self._handles.remove(handle)
            self._lib.bpf_object__close(handle)
            raise trouble

    def _map(self, name: str) -> int:
        found: int = self._lib.bpf_object__find_map_by_name(self._handles[0], name.encode())
        assert found, name
        return found

    def _maps(self, handle: int) -> list[int]:
        """Return the maps of an object, in the order of the image."""
        return list(_all(self._lib.bpf_object__next_map, handle))


def _all(following: Any, handle: int) -> Iterator[int]:
    """Yield the maps or programs of an object; `following` returns the next one."""
    each = following(handle, None)
    while each:
        yield each
        each = following(handle, each)


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


MOST_ATTACHED = 64
"""The most programs at one hook (BPF_MPROG_MAX)."""

# struct bpf_prog_info of <linux/bpf.h>, up to the name
_INFO_BYTES = 80
_NAME_AT = 64


def attached(device: int, kind: int) -> list[str]:
    """Return the names of the programs at a TCX hook of a device, at most 15 characters each. Raises OSError if the
    kernel has no such hooks (before 6.6), or without the right to ask."""
    numbers = (c_uint32 * MOST_ATTACHED)()
    options = QueryOptions(
        size=ctypes.sizeof(QueryOptions),
        programs=ctypes.cast(numbers, POINTER(c_uint32)),
        count=MOST_ATTACHED,
    )
    # For these hooks the kernel takes the number of a device where it otherwise takes a descriptor.
    if library().bpf_prog_query_opts(device, kind, byref(options)) < 0:
        raise error("asking for programs")
    return [_name(number) for number in numbers[: options.count]]


def _name(number: int) -> str:
    """Return the name of a program, given its number. Raises OSError."""
    descriptor = library().bpf_prog_get_fd_by_id(number)
    if descriptor < 0:
        raise error("the program has gone")
    try:
        info = ctypes.create_string_buffer(_INFO_BYTES)
        if library().bpf_obj_get_info_by_fd(descriptor, info, byref(c_uint32(_INFO_BYTES))) < 0:
            raise error("asking for a program's name")
    finally:
        os.close(descriptor)
    return info.raw[_NAME_AT:].partition(b"\0")[0].decode(errors="replace")


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
