"""Tools for tests of helpers. What is named here is public and stable; docs/helper-testing.md explains it.

from ipmasq.testing import CLIENT, Talk

def test_the_address_in_a_port_command_is_replaced():
    talk = Talk(Ftp(), masqueraded=CLIENT)
    talk.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72").opens("10.0.0.2:1025")
    talk.server("200 Fine.").passes()
"""

from ipmasq.testing.context import FIRST_PUBLIC_PORT as FIRST_PUBLIC_PORT
from ipmasq.testing.context import INSIDE_CLIENT as INSIDE_CLIENT
from ipmasq.testing.context import INSIDE_SERVER as INSIDE_SERVER
from ipmasq.testing.context import OUTSIDE_CLIENT as OUTSIDE_CLIENT
from ipmasq.testing.context import OUTSIDE_SERVER as OUTSIDE_SERVER
from ipmasq.testing.context import Ends as Ends
from ipmasq.testing.context import Opened as Opened
from ipmasq.testing.context import ScriptedContext as ScriptedContext
from ipmasq.testing.context import endpoint as endpoint
from ipmasq.testing.playbook import Playbook as Playbook
from ipmasq.testing.playbook import PlaybookError as PlaybookError
from ipmasq.testing.playbook import Result as Result
from ipmasq.testing.playbook import perform as perform
from ipmasq.testing.playbook import read as read
from ipmasq.testing.talk import CLIENT as CLIENT
from ipmasq.testing.talk import SERVER as SERVER
from ipmasq.testing.talk import Heard as Heard
from ipmasq.testing.talk import Talk as Talk
from ipmasq.testing.talk import wire as wire
