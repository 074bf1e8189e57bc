"""Finds helpers: an installed one by its name, any other by its file. A file is read again each time.

A helper's code runs with the gateway's rights while it is loaded; the operator is responsible for it.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from ipmasq.config.model import Config, HelperTable
from ipmasq.config.problems import ConfigError
from ipmasq.config.reading import read_bytes
from ipmasq.core.helper import TCP, UDP, Helper
from ipmasq.core.policy import HelperUse, PortRange

GROUP = "ipmasq.helpers"

_NAME = re.compile(r"[a-z][a-z0-9_-]*")

Result = TypeVar("Result")


class HelperError(ConfigError):
    """There is no such helper, or it cannot be used. The message names the file and line at fault."""


def find(
    name_or_file: str, config: Config | None = None, base: Path | None = None, fresh: bool = False
) -> HelperUse:
    """Return the helper that an operator means by `ftp` (one of the configuration, or an installed one) or by
    `my_helper.py` (a file, relative to `base` or the working directory). `fresh`: see `configured`.

    If the configuration has settings for the helper in a file, they apply. Raises HelperError.
    """
    tables = config.helper if config else {}
    base = base or Path()
    if is_file(name_or_file):
        helper = in_file(base / name_or_file)
        return use(helper, tables.get(helper.name, HelperTable()))
    return configured(name_or_file, tables.get(name_or_file, HelperTable()), base, fresh)


def is_file(name_or_file: str) -> bool:
    return name_or_file.endswith(".py") or "/" in name_or_file


def configured(name: str, table: HelperTable, base: Path, fresh: bool = False) -> HelperUse:
    """Return the helper of `[helper.NAME]`. Its file is relative to `base`. With `fresh`, an installed helper
    is read from its file again, too. Raises HelperError."""
    if table.file is None:
        return use(installed(name, fresh), table)
    helper = in_file(base / table.file, table.helper_class)
    if helper.name != name:
        raise HelperError(
            f'the helper in {table.file} calls itself "{helper.name}"; write [helper.{helper.name}]'
        )
    return use(helper, table)


def use(helper: type[Helper], table: HelperTable) -> HelperUse:
    """Return the helper with its settings. Raises HelperError if it has no ports."""
    ports = frozenset(helper.ports) if table.ports is None else _each(table.ports.values())
    if not ports:
        raise HelperError(f'the helper {helper.name} has no port to listen to; give it "ports"')
    return HelperUse(
        name=helper.name,
        make=helper,
        protocol=table.protocol or helper.protocol,
        ports=ports,
        orthogonal=helper.orthogonal,
        on_failure=table.on_failure,
        expectations_per_flow=table.expectations_per_flow,
        expectations_per_host=table.expectations_per_host,
        expectation_life=table.expectation_life,
        source_ports=_each(table.source_ports.values()),
    )


def _each(ranges: Iterable[PortRange]) -> frozenset[int]:
    return frozenset(port for low, high in ranges for port in range(low, high + 1))


def installed_names() -> tuple[str, ...]:
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def installed(name: str, fresh: bool = False) -> type[Helper]:
    """Return the helper that a package has registered under this name. Raises HelperError."""
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        known = ", ".join(installed_names()) or "none"
        raise HelperError(
            f'no helper "{name}" is installed (there are: {known}); one in a file is named by '
            '"file" in the configuration, and by its path on the command line'
        )
    entry = found[0]
    origin = _explained(entry.module, lambda: _origin(entry))
    if fresh and origin:
        module = _run(origin, entry.module)
        chosen = getattr(module, entry.attr, None)
    else:
        chosen = _explained(origin or entry.module, entry.load)
    helper = _checked(chosen, origin or Path(entry.module))
    if helper.name != name:
        raise HelperError(f'the helper installed as "{name}" calls itself "{helper.name}"')
    return helper


def in_file(file: Path, class_name: str | None = None) -> type[Helper]:
    """Return the helper in this file, by the name of its class if there are several. Raises HelperError."""
    module = _run(file, f"ipmasq_helper_{re.sub(r'[^0-9A-Za-z]', '_', str(file.absolute()))}")
    there = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Helper)
        and value.__module__ == module.__name__
    }
    names = ", ".join(there) or "none"
    if class_name is None and len(there) != 1:
        advice = '; say which one with "class"' if there else ""
        raise HelperError(f"{file} must have one subclass of Helper, it has: {names}{advice}")
    if class_name is not None and not hasattr(module, class_name):
        raise HelperError(f"{file} has no class {class_name}; its helpers: {names}")
    return _checked(vars(module)[class_name or next(iter(there))], file)


def _origin(entry: EntryPoint) -> Path | None:
    spec = find_spec(entry.module)
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None


def _run(file: Path, name: str) -> ModuleType:
    """Return the module of the file's present content. Instances of an earlier one keep their own code."""
    code = _explained(file, lambda: compile(read_bytes(file), str(file), "exec"))
    spec = spec_from_file_location(name, file, loader=SourceFileLoader(name, str(file)))
    assert spec is not None  # there is a loader
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and typing look there
    try:
        _explained(file, lambda: exec(code, vars(module)))
    except HelperError:
        sys.modules.pop(name)
        if before:
            sys.modules[name] = before
        raise
    return module


def _checked(helper: object, file: Path) -> type[Helper]:
    """Raise HelperError unless this is a helper that can be instantiated and declares its ports."""
    if not (isinstance(helper, type) and issubclass(helper, Helper) and helper is not Helper):
        text = getattr(helper, "__name__", type(helper).__name__)
        raise HelperError(f"{file}: {text} is not a subclass of ipmasq.core.helper.Helper")
    if fault := _fault(helper):
        raise HelperError(f"{file}: class {helper.__name__}: {fault}")
    _explained(file, helper, f"class {helper.__name__} cannot be made without arguments")
    return helper


def _fault(helper: type[Helper]) -> str:
    name, ports = getattr(helper, "name", None), helper.ports
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return 'name must be one lower-case word, such as name = "finger"'
    if not isinstance(ports, tuple) or not all(_is_port(port) for port in ports):
        return "ports must be a tuple of port numbers, such as ports = (79,)"
    if helper.protocol not in (TCP, UDP):
        return "protocol must be TCP or UDP"
    if not isinstance(helper.orthogonal, bool):
        return "orthogonal must be True or False"
    if not isinstance(helper.terminator, bytes) or not helper.terminator:
        return "terminator must be bytes, at least one"
    if not isinstance(helper.max_line, int) or helper.max_line < 1:
        return "max_line must be a number of bytes"
    return ""


def _is_port(port: object) -> bool:
    return isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65535


def _explained(file: Path | str, act: Callable[[], Result], what: str = "") -> Result:
    """Turn any error of the helper's author into one message with the line in that file."""
    try:
        return act()
    except OSError as error:
        if error.filename is not None and str(error.filename) == str(file):
            raise HelperError(f"{file} cannot be read: {error.strerror}") from error
        failure: BaseException = error
    except (Exception, SystemExit) as error:
        failure = error
    raise HelperError(located(file, failure, what)) from failure


def located(file: Path | str, failure: BaseException, what: str = "") -> str:
    """Return an error of the helper's author as one message, with the line in that file; `what` was being done."""
    line = line_of(file, failure)
    location = f"{file}, line {line}" if line else str(file)
    said = "; ".join(part.strip() for part in _said(failure).splitlines() if part.strip())
    return ": ".join(part for part in (location, what, said) if part)


def _said(failure: BaseException) -> str:
    text = failure.msg if isinstance(failure, SyntaxError) else str(failure)
    return f"{type(failure).__name__}: {text}" if text else type(failure).__name__


def line_of(file: Path | str, failure: BaseException) -> int | None:
    """Return the innermost line of this file in the traceback."""
    if isinstance(failure, SyntaxError) and failure.filename == str(file):
        return failure.lineno
    frames = traceback.extract_tb(failure.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return lines[-1] if lines else None
