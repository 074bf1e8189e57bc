"""Which reply answers which command, and that this survives as plain values after any line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.helper import Fields
from ipmasq.helpers.ftp import Ftp
from ipmasq.helpers.ftp_dialogue import AUTH, OTHER, PASV, PORT, Dialogue
from tests.core.restored import serialised
from tests.helpers.ftp_talk import Bytes, converse

LINES = (
    b"227 Go\r\n", b"227-Go\r\n", b"227 End\r\n", b"200 Fine\r\n", b"150-Wait\n", b"150 x\r\n",
    b"226-\r\n", b"226-226 x\n", b"500 What\n", b"text\r\n", b"220 Hi\r\n", b"234 Go\r\n",
)  # fmt: skip


def test_replies_come_in_the_order_of_their_commands():
    dialogue = Dialogue()
    for meaning in (PORT, PASV, OTHER):
        dialogue.command(meaning)
    for line, meaning in ((b"200 Fine\r\n", PORT), (b"227 Go\r\n", PASV), (b"500 No\r\n", OTHER)):
        code = dialogue.reply(line)
        assert code is not None
        assert dialogue.answered(code) == meaning


@given(st.lists(st.sampled_from((*LINES, PORT, PASV, AUTH, OTHER)), max_size=30))
def test_a_dialogue_is_the_same_after_its_state(said: list[bytes]):
    dialogue, restored = Dialogue(), Dialogue()
    for each in said:
        for one in (dialogue, restored):
            if each not in LINES:
                one.command(each)
            elif (code := one.reply(each)) is not None:
                one.answered(code)
        state = serialised(restored.to_state())
        restored = Dialogue.from_state(Fields(state, "dialogue"))
        assert {**vars(restored), "pending": None} == {**vars(dialogue), "pending": None}
        assert +restored.pending == +dialogue.pending
        assert restored.is_securing is dialogue.is_securing


@given(st.binary(max_size=300))
def test_a_helper_is_the_same_after_its_state(chance: bytes):
    helper = converse(Bytes(chance), 8).helper
    restored = Ftp()
    restored.restore(Fields(serialised(helper.to_state()), "helper"))
    assert restored.to_state() == helper.to_state()
    assert (restored.default_port, restored.epsv_only) == (helper.default_port, helper.epsv_only)
