"""`ipmasq install-service`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ipmasq.front.asking import CONFIG
from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import say

NEXT = """\
Next: edit {config}, then
  {program} check {config}
  systemctl enable --now ipmasq
For pages in a browser, with [control] view_group = "ipmasq-web" in that file:
  systemctl enable --now ipmasq-web"""


def install_service(
    config: Annotated[
        Path, typer.Option("-c", "--config", metavar="FILE", help="The configuration to run.")
    ] = Path(CONFIG),
    print_unit: Annotated[
        bool, typer.Option("--print", help="Print the unit, and change nothing.")
    ] = False,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="End the service and remove it; FILE and the logs stay."),
    ] = False,
) -> None:
    """Make ipmasq a systemd service with least privileges.

    Needs root. The service is neither started nor enabled, and neither is a second one, ipmasq-web, for pages in a
    browser.

    A Debian package has the service already; this is for who installed ipmasq with pip.

    \b
    Examples:
      ipmasq install-service
      ipmasq install-service --remove
    """
    from ipmasq.main.service import install, paths

    config = config.absolute()
    if print_unit and remove:
        raise give_up("use either --print or --remove", Code.USAGE)
    try:
        if print_unit:
            sys.stdout.write(install.unit(config))
            return
        for line in install.remove() if remove else install.install(config):
            say(line)
    except install.ServiceError as error:
        raise give_up(str(error)) from None
    if not remove:
        say(NEXT.format(config=config, program=paths.program()))
