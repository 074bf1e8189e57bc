"""The FTP helper in conversation: who announces what, and what is open afterwards."""

from __future__ import annotations

import pytest

from ipmasq.helpers.ftp import MOST_ASKED, Ftp
from ipmasq.testing import (
    CLIENT,
    INSIDE_CLIENT,
    SERVER,
    Talk,
    endpoint,
)
from ipmasq.wire.addresses import Endpoint

IAC, NOP, DATA_MARK, INTERRUPT, WILL, DO = "\xff", "\xf1", "\xf2", "\xf4", "\xfb", "\xfd"


def talk_to(*masqueraded) -> Talk:
    """A session after the greeting and the login."""
    talk = Talk(Ftp(), masqueraded)
    talk.server("220 Ready.").passes()
    talk.client("USER anonymous").passes()
    talk.server("331 Password?").passes()
    talk.client("PASS me@").passes()
    talk.server("230 Hello.").passes()
    return talk


@pytest.fixture
def inside_client() -> Talk:
    return talk_to(CLIENT)


@pytest.fixture
def inside_server() -> Talk:
    return talk_to(SERVER)


# The four cases, times two forms.


@pytest.mark.row("959-PORT")
def test_a_masqueraded_client_says_port_and_the_server_sees_the_public_endpoint(inside_client):
    inside_client.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72").opens(
        "10.0.0.2:1025"
    )
    inside_client.server("200 PORT command successful.").passes()


@pytest.mark.row("2428-EPRT")
def test_a_masqueraded_client_says_eprt_and_the_server_sees_the_public_endpoint(inside_client):
    inside_client.client("EPRT |1|10.0.0.2|1025|").becomes("EPRT |1|203.0.113.1|61000|").opens(
        "10.0.0.2:1025"
    )


@pytest.mark.row("959-227")
def test_the_server_of_a_masqueraded_client_says_227_and_is_linked(inside_client):
    inside_client.client("PASV").passes()
    inside_client.server("227 Entering Passive Mode (198,51,100,1,4,1).").unchanged().opens(
        "198.51.100.1:1025"
    )


@pytest.mark.row("2428-229")
def test_the_server_of_a_masqueraded_client_says_229_and_is_linked(inside_client):
    inside_client.client("EPSV").passes()
    inside_client.server("229 Extended Passive Mode (|||1025|)").unchanged().opens(
        "198.51.100.1:1025"
    )


@pytest.mark.row("959-227")
def test_a_masqueraded_server_says_227_and_the_client_sees_the_public_endpoint(inside_server):
    inside_server.client("PASV").passes()
    inside_server.server("227 Entering Passive Mode (10,0,0,9,4,1).").becomes(
        "227 Entering Passive Mode (203,0,113,2,238,72)."
    ).opens("10.0.0.9:1025")


@pytest.mark.row("2428-229")
def test_a_masqueraded_server_says_229_and_only_the_port_is_rewritten(inside_server):
    inside_server.client("EPSV").passes()
    inside_server.server("229 Extended Passive Mode (|||1025|)").becomes(
        "229 Extended Passive Mode (|||61000|)"
    ).opens("10.0.0.9:1025")


@pytest.mark.row("959-PORT", "2428-EPRT")
def test_the_client_of_a_masqueraded_server_says_port_or_eprt_and_is_linked(inside_server):
    inside_server.client("PORT 198,51,100,7,4,1").unchanged().opens("198.51.100.7:1025")
    inside_server.server("200 Fine.").passes()
    inside_server.client("EPRT |1|198.51.100.7|1026|").unchanged().opens("198.51.100.7:1026")


def test_between_two_masqueraded_ends_both_are_rewritten():
    talk = talk_to(CLIENT, SERVER)
    talk.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72")
    talk.server("200 Fine.").passes()
    talk.client("EPSV").passes()
    talk.server("229 Ok (|||1025|)").becomes("229 Ok (|||61001|)")


def test_a_masqueraded_server_that_announces_its_public_address_means_itself(inside_server):
    inside_server.client("PASV")
    inside_server.server("227 Go (203,0,113,2,4,1)").becomes("227 Go (203,0,113,2,238,72)").opens(
        "203.0.113.2:1025"
    )


def test_over_ipv6_eprt_and_229_are_rewritten():
    ends = {"client": endpoint("[2001:db8::2]:40000"), "server": endpoint("[2001:db8:1::9]:21")}
    talk = Talk(Ftp(), (CLIENT, SERVER), **ends)
    talk.client("EPRT |2|2001:DB8::2|1025|").becomes("EPRT |2|2001:db8:cafe::1|61000|")
    talk.server("200 Fine.")
    talk.client("EPSV 2")
    talk.server("229 Fine (|||1025|)").becomes("229 Fine (|||61001|)")


# PORT and EPRT.


@pytest.mark.row("959-PORT", "2428-EPRT")
@pytest.mark.parametrize(("port", "eprt"), [("PORT", "EPRT"), ("port", "eprt"), ("pOrT", "ePrT")])
def test_the_case_of_a_verb_does_not_matter_and_is_kept(inside_client, port, eprt):
    inside_client.client(f"{port} 10,0,0,2,4,1").becomes(f"{port} 203,0,113,1,238,72")
    inside_client.client(f"{eprt} |1|10.0.0.2|1025|").becomes(f"{eprt} |1|203.0.113.1|61001|")


@pytest.mark.row("959-PORT")
@pytest.mark.parametrize("numbers", ["10,0,0,2,4,0", "010,000,0,02,04,00"])
def test_zeros_are_numbers_and_leading_zeros_are_decimal(inside_client, numbers):
    inside_client.client(f"PORT {numbers}").opens("10.0.0.2:1024")


@pytest.mark.row("959-PORT")
@pytest.mark.parametrize(
    "line",
    [
        "PORT",
        "PORT ",
        "PORT 10,0,0,2,4",
        "PORT 10,0,0,2,4,",
        "PORT 10,0,0,2,4,1,1",
        "PORT 10,0,0,2,256,1",
        "PORT 10,0,0,2,4,256",
        "PORT 266,0,0,2,4,1",
        "PORT 10,0,0,2,0,0",
        "PORT 10,0,0,2,4,1x",
        "PORT  10,0,0,2,4,1",
        "PORT 10, 0, 0, 2, 4, 1",
        "PORT\t10,0,0,2,4,1",
        "PORT 10.0.0.2,4,1",
        "PORT 10,0,0,2,4,-1",
        "PORT 10,0,0,2,4,+1",
        "PORT 10,0,0,2,4,1\rNOOP",
        "PORT 10,0,0,2,4,\xb2",
        " PORT 10,0,0,2,4,1",
        "PORTS 10,0,0,2,4,1",
        "XPORT 10,0,0,2,4,1",
        "SITE PORT 10,0,0,2,4,1",
    ],
)
def test_anything_but_a_flawless_port_passes_and_opens_nothing(inside_client, line):
    inside_client.client(line).passes()


@pytest.mark.row("2428-EPRT")
@pytest.mark.parametrize("d", ["|", "!", ",", "~", "/", "#", "(", "\\", "Z"])
def test_the_client_chooses_the_delimiter_of_eprt(inside_client, d):
    inside_client.client(f"EPRT {d}1{d}10.0.0.2{d}1025{d}").becomes(
        f"EPRT {d}1{d}203.0.113.1{d}61000{d}"
    )


@pytest.mark.row("2428-EPRT")
def test_a_digit_as_delimiter_is_understood_but_not_used(inside_client):
    inside_client.client("EPRT 71710.0.0.2710257").becomes("EPRT |1|203.0.113.1|61000|")


@pytest.mark.row("2428-EPRT")
def test_a_delimiter_that_the_new_address_contains_is_not_used():
    talk = Talk(Ftp(), CLIENT, endpoint("[2001:db8::2]:40000"), endpoint("[2001:db8:1::9]:21"))
    talk.client("EPRT c2c2001:db8::2c1025c").becomes("EPRT |2|2001:db8:cafe::1|61000|")


@pytest.mark.row("2428-EPRT")
@pytest.mark.parametrize(
    "text",
    ["2001:db8::2", "2001:DB8::2", "2001:0db8:0000:0000:0000:0000:0000:0002", "2001:db8::0.0.0.2"],
)
def test_an_ipv6_address_may_be_written_in_any_way(text):
    talk = Talk(Ftp(), CLIENT, endpoint("[2001:db8::2]:40000"), endpoint("[2001:db8:1::9]:21"))
    talk.client(f"EPRT |2|{text}|1025|").opens("[2001:db8::2]:1025")


@pytest.mark.row("2428-EPRT")
@pytest.mark.parametrize(
    "line",
    [
        "EPRT",
        "EPRT |||1025|",
        "EPRT |2|10.0.0.2|1025|",
        "EPRT |1|::1|1025|",
        "EPRT |2|::1|1025|",
        "EPRT |2|::ffff:10.0.0.2|1025|",
        "EPRT |3|10.0.0.2|1025|",
        "EPRT |01|10.0.0.2|1025|",
        "EPRT |1|10.0.0.2|0|",
        "EPRT |1|10.0.0.2|65536|",
        "EPRT |1|10.0.0.2|99999|",
        "EPRT |1|10.0.0.2|001025|",
        "EPRT |1|10.0.0.2|+1025|",
        "EPRT |1|10.0.0.2||",
        "EPRT |1|10.0.0.02|1025|",
        "EPRT |1|10.0.0|1025|",
        "EPRT |1|10.0.0.2|1025",
        "EPRT |1|10.0.0.2|1025||",
        "EPRT |1|10.0.0.2|1025|x",
        "EPRT |1|10.0.0.2|1025| ",
        "EPRT | 1|10.0.0.2|1025|",
        "EPRT  |1|10.0.0.2|1025|",
        "EPRT |1!10.0.0.2!1025|",
        "EPRT .1.10.0.0.2.1025.",
        "EPRT 11110.0.0.21102511",
        "EPRT  1 10.0.0.2 1025 ",
        "EPRT \x011\x0110.0.0.2\x011025\x01",
        "EPRT \xe91\xe910.0.0.2\xe91025\xe9",
    ],
)
def test_anything_but_a_flawless_eprt_passes_and_opens_nothing(inside_client, line):
    inside_client.client(line).passes()


@pytest.mark.row("2428-EPRT")
def test_a_zone_of_an_ipv6_address_is_nothing_for_others():
    talk = Talk(Ftp(), CLIENT, endpoint("[fe80::2]:40000"), endpoint("[fe80::9]:21"))
    talk.client("EPRT |2|fe80::2%eth0|1025|").passes()
    talk.client("EPRT |2|fe80::2|1025|").opens("[fe80::2]:1025")


@pytest.mark.row("2428-522")
def test_a_server_that_does_not_know_the_family_says_so_untouched(inside_client):
    inside_client.client("EPRT |1|10.0.0.2|1025|")
    inside_client.server("522 Network protocol not supported, use (1,2)").passes()


# 227 and 229.


@pytest.mark.row("959-227", "959-227np", "1123-6")
@pytest.mark.parametrize(
    "form",
    [
        "227 Entering Passive Mode ({}).",
        "227 Entering Passive Mode ({})",
        "227 Entering Passive Mode. {}",
        "227 Entering Passive Mode {}.",
        "227 ={}",
        "227 Passiv-Modus {}",
        "227 ({})",
        "227 {}",
        "227 Modo pasivo, {}, adelante",
        "227 FTP2 ready ({})",
        "227 1,2,3 go ({})",
        "227 99 bottles, 4,3,2,1 and {}",
        "227 \xd0\x9f\xd0\xb0\xd1\x81\xd1\x81\xd0\xb8\xd0\xb2 [{}]",
    ],
)
def test_a_227_is_understood_in_any_form_and_language(inside_server, form):
    inside_server.client("PASV")
    inside_server.server(form.format("10,0,0,9,4,1")).becomes(
        form.format("203,0,113,2,238,72")
    ).opens("10.0.0.9:1025")


@pytest.mark.row("1123-6")
@pytest.mark.parametrize(
    "line",
    [
        "227",
        "227 ",
        "227 Logout.",
        "227 Go (10,0,0,9,4)",
        "227 Go (10,0,0,9,4,1,1)",
        "227 Go (10,0,0,9,4,256)",
        "227 Go (10,0,0,9,0,0)",
        "227 Go (10,0,0,9,4,1000)",
        "227 Go (1010,0,0,9,4,1)",
        "227 Go (10, 0, 0, 9, 4, 1)",
        "227 Go (10.0.0.9,4,1)",
        "227 Go (10,0,0,9,4,1) or (10,0,0,9,4,2)",
        "227 Go (10,0,0,9,4,1001 10,0,0,9,4,1)",
        "227\t(10,0,0,9,4,1)",
        "2277 (10,0,0,9,4,1)",
        " 227 (10,0,0,9,4,1)",
        "228 (10,0,0,9,4,1)",
        "200 227 (10,0,0,9,4,1)",
        "527 (10,0,0,9,4,1)",
    ],
)
def test_an_answer_to_pasv_without_one_flawless_endpoint_passes(inside_server, line):
    inside_server.client("PASV")
    inside_server.server(line).passes()


@pytest.mark.row("2428-229")
@pytest.mark.parametrize(
    "form",
    [
        "229 Entering Extended Passive Mode (|||{}|)",
        "229 Erweiterter Passivmodus (|||{}|).",
        "229 (!!!{}!)",
        "229 Extended (IPv4 and IPv6) mode (~~~{}~) ok",
        "229 Go (|1|10.0.0.9|{}|)",
        "229 Go (|1|198.51.100.66|{}|)",
        "229 Go (||192.0.2.1|{}|)",
        "229 Go (|| \xff|{}|)",
        "229 Go (((({}()",
        "229 Go (|||{}|) (|)",
    ],
)
def test_a_229_is_understood_in_any_form_and_only_its_port_counts(inside_server, form):
    inside_server.client("EPSV")
    inside_server.server(form.format(1025)).becomes(form.format(61000)).opens("10.0.0.9:1025")


@pytest.mark.row("2428-229")
def test_a_229_with_a_digit_as_delimiter_gets_another(inside_server):
    inside_server.client("EPSV")
    inside_server.server("229 Go (77710257)").becomes("229 Go (|||61000|)").opens("10.0.0.9:1025")


@pytest.mark.row("2428-229")
@pytest.mark.parametrize(
    "line",
    [
        "229",
        "229 Go",
        "229 Go |||1025|",
        "229 Go (|||1025|",
        "229 Go (||1025|)",
        "229 Go (|||1025)",
        "229 Go (|||0|)",
        "229 Go (|||65536|)",
        "229 Go (|||102500|)",
        "229 Go (||| 1025|)",
        "229 Go (|||1025|) (|||1026|)",
        "229 Go (||\x00|1025|) (|||1026|)",
        "229 Go (|!|1025|)",
    ],
)
def test_an_answer_to_epsv_without_one_flawless_port_passes(inside_server, line):
    inside_server.client("EPSV")
    inside_server.server(line).passes()


@pytest.mark.row("2428-EPSVn")
@pytest.mark.parametrize("command", ["EPSV", "epsv", "EPSV 1", "EPSV 2"])
def test_an_epsv_may_name_a_family(inside_server, command):
    inside_server.client(command).passes()
    inside_server.server("229 Go (|||1025|)").opens("10.0.0.9:1025")


# Whose answer is it?


@pytest.mark.row("A-06", "A-07")
def test_a_227_that_nobody_asked_for_opens_nothing(inside_server):
    inside_server.server("227 Go (10,0,0,9,4,1)").passes()
    inside_server.client("NOOP")
    inside_server.server("227 Go (10,0,0,9,4,1)").passes()


def test_a_passive_reply_of_the_other_form_is_followed_as_clients_do(inside_server):
    inside_server.client("EPSV")
    assert inside_server.server("227 Go (10,0,0,9,4,1)").opened
    inside_server.client("PASV")
    assert inside_server.server("229 Go (|||1026|)").opened


@pytest.mark.row("A-07")
def test_a_pasv_is_answered_once(inside_server):
    inside_server.client("PASV")
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")
    inside_server.server("227 Go (10,0,0,9,4,2)").passes()


@pytest.mark.row("A-07")
def test_in_a_pipeline_only_the_answer_to_pasv_itself_counts(inside_server):
    for command in ("227 NOOP (10,0,0,9,4,1)", "PASV", "FEAT", "PASV"):
        inside_server.client(command)
    inside_server.server("227 NOOP (10,0,0,9,4,1)").passes()
    inside_server.server("227 Go (10,0,0,9,4,2)").opens("10.0.0.9:1026")
    inside_server.server("211-Extensions:").passes()
    inside_server.server("227 Go (10,0,0,9,4,3)").passes()
    inside_server.server("211 End").passes()
    inside_server.server("227 Go (10,0,0,9,4,4)").opens("10.0.0.9:1028")


def test_a_refused_pasv_leaves_no_trace_in_the_count(inside_server):
    inside_server.client("PASV")
    inside_server.client("PASV")
    inside_server.server("425 Not now.").passes()
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


def test_preliminary_replies_answer_nothing(inside_server):
    inside_server.client("RETR big")
    inside_server.client("PASV")
    inside_server.server("150 Here it comes.").passes()
    inside_server.server("110 MARK 1 = 2").passes()
    inside_server.server("226 Done.").passes()
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


@pytest.mark.row("1123-12")
def test_an_abort_and_the_transfer_that_it_ends_have_an_answer_each(inside_server):
    inside_server.client("PASV")
    inside_server.server("227 Go (10,0,0,9,4,1)")
    inside_server.client("RETR big")
    inside_server.server("150 Here it comes.")
    inside_server.client(f"{IAC}{INTERRUPT}{IAC}{DATA_MARK}ABOR").passes()
    inside_server.client("PASV")
    inside_server.server("426 Cut off.").passes()
    inside_server.server("226 Abort successful.").passes()
    inside_server.server("227 Go (10,0,0,9,4,2)").opens("10.0.0.9:1026")


def test_commands_said_before_the_greeting_are_not_answered_by_it():
    talk = Talk(Ftp(), SERVER)
    talk.client("PASV")
    talk.server("220-Welcome")
    talk.server("220 to this server.")
    talk.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


def test_a_helper_that_comes_late_needs_no_greeting():
    talk = Talk(Ftp(), SERVER)
    talk.server("200 to something said before")
    talk.client("PASV")
    talk.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


@pytest.mark.parametrize("command", ["REIN", "HOST ftp.example"])
def test_the_220_of_a_new_beginning_is_an_answer(inside_server, command):
    inside_server.client(command)
    inside_server.client("PASV")
    inside_server.server("220 Ready again.").passes()
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


def test_empty_lines_are_not_commands(inside_server):
    inside_server.client("").passes()
    inside_server.client(f"{IAC}{INTERRUPT}{IAC}{DATA_MARK}").passes()
    inside_server.client("PASV")
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


# Multi-line replies.


@pytest.mark.row("959-ML", "A-08")
def test_inside_a_multi_line_reply_nothing_counts(inside_server):
    inside_server.client("STAT")
    inside_server.client("PASV")
    for line in (
        "211-Status",
        "227 Entering Passive Mode (10,0,0,9,4,1)",
        "200 Fine.",
        "211-227 Entering Passive Mode (10,0,0,9,4,1)",
        "211",
        "2111 is not the end",
        " 211 neither",
        "221 Bye",
    ):
        inside_server.server(line).passes()
    inside_server.server("211 End").passes()
    inside_server.server("227 Go (10,0,0,9,4,2)").opens("10.0.0.9:1026")


@pytest.mark.row("959-ML")
def test_the_last_line_of_a_multi_line_227_is_the_announcement(inside_server):
    inside_server.client("PASV")
    inside_server.server("227-Careful (10,0,0,9,4,2)").passes()
    inside_server.server("227-It follows:").passes()
    inside_server.server("227 Go (10,0,0,9,4,1)").becomes("227 Go (203,0,113,2,238,72)")


@pytest.mark.row("1123-11")
def test_after_a_reply_of_ten_thousand_lines_a_227_is_understood(inside_server):
    helper = inside_server.helper
    inside_server.client("STAT /")
    inside_server.server("213-Files:")
    for number in range(10_000):
        inside_server.server(f"227 {number}").passes()
    inside_server.server("213 That was all.")
    inside_server.client("PASV")
    inside_server.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")
    assert not helper.dialogue.unanswered


@pytest.mark.row("1123-11", "A-16")
def test_a_line_that_is_too_long_passes_and_the_next_one_is_understood(inside_client):
    inside_client.client("CWD " + "x" * 20_000).passes().never_held()
    inside_client.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72")


# Sessions.


@pytest.mark.row("2428-ALL")
def test_after_epsv_all_only_epsv_opens_anything():
    talk = talk_to(CLIENT, SERVER)
    talk.client("EPSV ALL")
    talk.server("200 EPSV ALL ok.")
    talk.client("PORT 10,0,0,2,4,1").passes()
    talk.server("501 Told you.")
    talk.client("EPRT |1|10.0.0.2|1025|").passes()
    talk.server("501 Told you.")
    talk.client("LIST").passes()
    talk.server("425 No connection.")
    talk.client("PASV")
    talk.server("227 Go (10,0,0,9,4,1)").passes()
    talk.client("EPSV")
    talk.server("229 Go (|||1025|)").opens("10.0.0.9:1025")


@pytest.mark.row("2428-ALL")
def test_epsv_all_counts_only_when_the_server_has_agreed(inside_client):
    inside_client.client("EPSV ALL")
    inside_client.client("PORT 10,0,0,2,4,1").opens("10.0.0.2:1025")
    inside_client.server("501 Never heard of it.")
    inside_client.server("200 Fine.")
    inside_client.client("PORT 10,0,0,2,4,2").opens("10.0.0.2:1026")


@pytest.mark.row("2428-ALL")
def test_a_new_login_ends_epsv_all(inside_client):
    inside_client.client("epsv all")
    inside_client.server("200 EPSV ALL ok.")
    inside_client.client("PORT 10,0,0,2,4,1").passes()
    inside_client.server("501 Told you.")
    inside_client.client("REIN")
    inside_client.server("220 Ready again.")
    inside_client.client("PORT 10,0,0,2,4,1").opens("10.0.0.2:1025")


@pytest.mark.row("6384-9")
def test_port_and_passive_mode_in_one_session_each_count_as_they_come():
    talk = talk_to(CLIENT, SERVER)
    talk.client("PASV")
    talk.server("227 Go (10,0,0,9,4,1)").becomes("227 Go (203,0,113,2,238,72)")
    talk.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,73")
    talk.server("200 Fine.")
    talk.client("EPSV")
    talk.server("229 Go (|||1027|)").becomes("229 Go (|||61002|)")
    talk.client("RETR file").passes()


@pytest.mark.row("6384-8", "1123-12b")
@pytest.mark.parametrize("command", ["RETR f", "STOR f", "STOU", "APPE f", "LIST", "nlst", "MLSD"])
def test_a_transfer_without_announcement_goes_to_the_control_port(inside_client, command):
    inside_client.client(command).unchanged().opens("10.0.0.2:40000")


@pytest.mark.row("6384-8")
def test_the_default_port_counts_for_the_client_of_a_masqueraded_server_too(inside_server):
    inside_server.client("RETR f").unchanged().opens("198.51.100.7:40000")


@pytest.mark.row("6384-8", "2577-3")
def test_a_control_port_below_1024_gets_nothing():
    low = Endpoint(INSIDE_CLIENT.address, 1023)
    Talk(Ftp(), CLIENT, client=low).client("RETR f").passes()


@pytest.mark.row("6384-8")
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("PORT 10,0,0,2,4,1", "200 Fine."),
        ("EPRT |1|10.0.0.2|1025|", "200 Fine."),
        ("PASV", "227 Go (198,51,100,1,4,1)"),
        ("EPSV", "229 Go (|||1025|)"),
    ],
)
def test_the_default_port_is_used_until_an_announcement_and_after_a_new_login(
    inside_client, command, answer
):
    inside_client.client(command)
    inside_client.client("LIST").opens_nothing()
    inside_client.server(answer)
    inside_client.server("226 Done.")
    inside_client.client("LIST").opens_nothing()
    inside_client.server("226 Done.")
    inside_client.client("USER other")
    inside_client.server("331 Password?")
    inside_client.client("LIST").opens("10.0.0.2:40000")


@pytest.mark.row("6384-8")
@pytest.mark.parametrize("command", ["PORT 10,0,0,2,4,1", "PASV", "EPSV"])
def test_an_announcement_that_was_refused_leaves_the_default_port(inside_client, command):
    inside_client.client(command)
    inside_client.server("500 Unknown.")
    inside_client.client("LIST").opens("10.0.0.2:40000")


@pytest.mark.parametrize("command", ["STAT", "NOOP", "MLST f", "SIZE f", "SITE LIST"])
def test_commands_that_transfer_nothing_open_nothing(inside_client, command):
    inside_client.client(command).passes()


# AUTH.


@pytest.mark.row("6384-5auth")
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AUTH TLS", "234 Go on."),
        ("AUTH SSL", "234 Go on."),
        ("auth tls-c", "200 Go on."),
        ("AUTH GSSAPI", "334 Go on."),
    ],
)
def test_once_auth_is_accepted_nothing_is_looked_at(inside_client, command, answer):
    inside_client.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72")
    inside_client.server("200 Fine.")
    inside_client.client(command).passes()
    inside_client.server(answer).passes().stops()
    inside_client.client("PORT 10,0,0,2,4,1").passes()


@pytest.mark.row("6384-5auth")
@pytest.mark.parametrize("answer", ["534 No.", "431 Not now.", "500 What?"])
def test_once_auth_is_refused_announcements_count_again(inside_client, answer):
    inside_client.client("AUTH TLS")
    inside_client.server(answer).passes()
    inside_client.client("PORT 10,0,0,2,4,1").becomes("PORT 203,0,113,1,238,72")


@pytest.mark.row("6384-5auth")
def test_while_auth_is_undecided_nothing_opens():
    talk = talk_to(CLIENT, SERVER)
    talk.client("PASV")
    talk.client("AUTH TLS")
    talk.client("PORT 10,0,0,2,4,1").passes()
    talk.client("EPRT |1|10.0.0.2|1025|").passes()
    talk.client("RETR f").passes()
    talk.client("PASV")
    talk.server("227 Go (10,0,0,9,4,1)").passes()
    talk.server("502 No such thing.")
    for _ in range(3):
        talk.server("200 Fine.")
    talk.server("227 Go (10,0,0,9,4,1)").opens("10.0.0.9:1025")


@pytest.mark.row("6384-5auth")
def test_a_234_means_ciphertext_even_if_the_count_says_otherwise(inside_client):
    inside_client.client("NOOP")
    inside_client.client("AUTH TLS")
    inside_client.server("234 Go on.").stops()


# Attacks.


@pytest.mark.row("A-01", "6384-7", "A-14")
@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.3",
        "198.51.100.2",
        "198.51.100.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "10.0.0.1",
        "10.0.0.255",
    ],
)
def test_a_client_that_names_another_gets_nothing(inside_client, address):
    inside_client.client(f"PORT {address.replace('.', ',')},4,1").passes()
    inside_client.client(f"EPRT |1|{address}|1025|").passes()
    inside_client.client("PORT 10,0,0,2,4,1").opens("10.0.0.2:1025")


@pytest.mark.row("A-06", "1123-6b", "6384-6b")
@pytest.mark.parametrize("masqueraded", [(CLIENT,), (SERVER,), (CLIENT, SERVER)])
@pytest.mark.parametrize("numbers", ["10,0,0,3", "192,168,1,1", "198,51,100,66", "127,0,0,1"])
def test_a_server_that_names_another_gets_nothing(masqueraded, numbers):
    talk = talk_to(*masqueraded)
    talk.client("PASV")
    talk.server(f"227 Entering Passive Mode ({numbers},4,1)").passes()


@pytest.mark.row("2577-3", "A-01")
def test_ports_below_1024_are_not_opened():
    talk = talk_to(CLIENT, SERVER)
    talk.client("PORT 10,0,0,2,3,255").passes()
    talk.client("EPRT |1|10.0.0.2|25|").passes()
    for _ in range(2):
        talk.server("504 No.")
    talk.client("PASV")
    talk.server("227 Go (10,0,0,9,0,22)").passes()
    talk.client("EPSV")
    talk.server("229 Go (|||22|)").passes()


@pytest.mark.row("A-07")
def test_an_echo_in_an_error_message_opens_nothing(inside_server):
    inside_server.client("227 Entering Passive Mode (10,0,0,9,4,1)")
    inside_server.client("PASV")
    inside_server.server("500 '227 Entering Passive Mode (10,0,0,9,4,1)'").passes()


@pytest.mark.row("A-07")
def test_what_follows_a_bare_lf_of_a_server_that_says_crlf_opens_nothing(inside_server):
    """A name with a line feed in it: to the client all of this is one line."""
    inside_server.server("220 ready")
    inside_server.client("CWD there")
    inside_server.client("PASV")
    inside_server.server('250 "\n').passes()
    inside_server.server('227 Entering Passive Mode (10,0,0,9,4,1)"').passes()
    inside_server.client("PASV")
    assert inside_server.server("227 Entering Passive Mode (10,0,0,9,4,1)").opened


@pytest.mark.parametrize("line", ["PORT 10,0,0,2,4,1\n", "EPRT |1|10.0.0.2|1025|\n"])
def test_a_clients_announcement_may_end_in_a_bare_lf(line):
    talk = Talk(Ftp(), CLIENT)
    assert talk.client(line).opened
    assert talk.log[-1].after.endswith(b"\n")
    assert not talk.log[-1].after.endswith(b"\r\n")


def test_all_lines_of_a_server_may_end_in_a_bare_lf():
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready\n")
    talk.client("PASV")
    assert talk.server("227 Go (10,0,0,9,4,1)\n").opened


@pytest.mark.row("A-02")
@pytest.mark.parametrize("first", ["POST / HTTP/1.1", "PUT /x HTTP/1.1", "GET / HTTP/1.0"])
def test_a_browser_that_was_talked_into_it_opens_nothing(first):
    talk = Talk(Ftp(), CLIENT)
    talk.server("220 Come in.")
    talk.client(first).passes().stops()
    talk.client("USER anonymous").passes()
    talk.client("PORT 10,0,0,2,4,1").passes()


@pytest.mark.row("A-16")
def test_commands_that_are_never_answered_cost_a_bounded_amount_of_memory():
    talk = Talk(Ftp(), CLIENT)
    for _ in range(MOST_ASKED):
        talk.client("NOOP")
    talk.client("NOOP").stops()
    assert len(talk.helper.dialogue.unanswered) <= MOST_ASKED + 1


# Telnet.


@pytest.mark.row("1123-12", "6384-5tel")
@pytest.mark.parametrize(
    "telnet",
    [
        f"{IAC}{INTERRUPT}{IAC}{DATA_MARK}",
        f"{IAC}{DATA_MARK}",
        f"{IAC}{WILL}\x01",
        f"{IAC}{DO}\x06{IAC}{WILL}\xff",
        f"{IAC}\xfa\x18\x00VT100{IAC}{IAC}{IAC}\xf0",
        f"{IAC}{NOP}" * 50,
    ],
)
def test_telnet_commands_before_a_line_are_skipped(telnet):
    talk = talk_to(CLIENT, SERVER)
    talk.client(f"{telnet}PORT 10,0,0,2,4,1").becomes(f"{telnet}PORT 203,0,113,1,238,72")
    talk.server(f"{telnet}200 Fine.")
    talk.client(f"{telnet}PASV")
    talk.server(f"{telnet}227 Go (10,0,0,9,4,1)").becomes(f"{telnet}227 Go (203,0,113,2,238,73)")


@pytest.mark.row("A-20")
@pytest.mark.parametrize(
    "line",
    [
        f"PO{IAC}{NOP}RT 10,0,0,2,4,1",
        f"PORT{IAC}{NOP} 10,0,0,2,4,1",
        f"PORT {IAC}{NOP}10,0,0,2,4,1",
        f"PORT 10,0,{IAC}{NOP}0,2,4,1",
        f"PORT 10,0,0,2,4,1{IAC}{NOP}",
        f"{IAC}{IAC}PORT 10,0,0,2,4,1",
        f"{IAC}PORT 10,0,0,2,4,1",
        f"{IAC}\xfaPORT 10,0,0,2,4,1",
        f"NOOP{IAC}{DATA_MARK}PORT 10,0,0,2,4,1",
    ],
)
def test_telnet_commands_hidden_in_a_command_open_nothing(inside_client, line):
    inside_client.client(line).passes()


@pytest.mark.row("A-20")
def test_a_pasv_with_telnet_commands_hidden_in_it_is_not_a_pasv(inside_server):
    inside_server.client(f"PA{IAC}{NOP}SV")
    inside_server.server("227 Go (10,0,0,9,4,1)").passes()


@pytest.mark.row("1123-12", "6384-5.1")
@pytest.mark.parametrize(
    "name", ["\xff\xff", "\xc3\xa9t\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\x00"]
)
def test_path_names_of_any_bytes_pass(inside_client, name):
    inside_client.client("PASV")
    inside_client.server("227 Go (198,51,100,1,4,1)")
    for command in ("LANG fr", f"CWD {name}", f"RETR {name}", f"STOR {name}"):
        inside_client.client(command).passes()
    inside_client.server(f'257 "{name}"').passes()


@pytest.mark.row("6384-5.1")
def test_what_is_written_is_ascii(inside_server):
    inside_server.client("PASV")
    heard = inside_server.server("227 Pass\xc3\xadf (10,0,0,9,4,1)")
    heard.becomes("227 Pass\xc3\xadf (203,0,113,2,238,72)")


@pytest.mark.row("6384-10")
@pytest.mark.parametrize(
    "line",
    ["XYZZY", "FEAT", "OPTS UTF8 ON", "LPRT 4,4,10,0,0,2,2,4,1", "ALGS STATUS64", "\x00\x01"],
)
def test_unknown_commands_pass_byte_for_byte(inside_client, line):
    inside_client.client(line).passes().never_held()


# What is held.


@pytest.mark.parametrize(
    "line",
    ["USER anonymous", "PASS PORT 10,0,0,2,4,1", "RETR f", "PASV", "EPSV", "AUTH TLS", "ACCT"],
)
def test_no_other_command_is_held_while_it_is_typed(inside_client, line):
    heard = inside_client.client(line)
    assert heard.held <= (2 if line.startswith(("P", "E")) else 0)


def test_replies_are_not_held_unless_they_could_answer_pasv_or_epsv(inside_server):
    inside_server.client("RETR f")
    inside_server.server("226 Done.").never_held()
    inside_server.client("STAT")
    inside_server.client("PASV")
    assert inside_server.server("213-Files").held <= 1
    inside_server.server("227 text").never_held()
    inside_server.server("213 End").never_held()
    assert inside_server.server("227 Go (10,0,0,9,4,1)").held > 20


def test_a_227_that_begins_before_the_pasv_can_still_be_rewritten(inside_server):
    inside_server.feed(SERVER, b"227 Go (10,0,")
    inside_server.client("PASV")
    (heard,) = inside_server.feed(SERVER, b"0,9,4,1)\r\n")
    heard.becomes("227 Go (203,0,113,2,238,72)")


@pytest.mark.row("A-16")
def test_a_port_without_end_is_held_only_up_to_a_bound(inside_client):
    heard = inside_client.client("PORT " + "1" * 20_000).passes()
    assert heard.held <= Ftp.max_line <= 10_000
    inside_client.client("PORT 10,0,0,2,4,1").opens("10.0.0.2:1025")


# Reload.


def test_a_new_instance_goes_on_where_the_old_one_was(inside_server):
    inside_server.client("EPSV ALL")
    inside_server.server("200 Fine.")
    inside_server.client("EPSV")
    inside_server.server("150-Just")
    newer = Ftp()
    newer.resume(dict(vars(inside_server.helper)))
    inside_server.helper = newer
    inside_server.server("229 Not yet (|||1025|)").passes()
    inside_server.server("150 a moment").passes()
    inside_server.client("PORT 198,51,100,7,4,1").passes()
    inside_server.server("229 Go (|||1025|)").becomes("229 Go (|||61000|)")


@pytest.mark.parametrize("reply", ["234 Begin TLS.", "334 Go on."])
def test_what_is_encrypted_by_auth_tls_is_reported_as_such(reply):
    talk = talk_to(CLIENT)
    talk.client("AUTH TLS").passes()
    talk.server(reply)
    assert talk.stopped
    assert talk.encrypted


def test_a_browser_that_was_tricked_here_is_not_called_encrypted():
    talk = talk_to(CLIENT)
    talk.client("GET / HTTP/1.1")
    assert talk.stopped
    assert not talk.encrypted


def test_a_connection_that_begins_with_a_tls_handshake_is_encrypted():
    talk = Talk(Ftp(), (CLIENT,))
    talk.client(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 anything\n")
    assert talk.stopped
    assert talk.encrypted
