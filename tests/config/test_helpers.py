from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipmasq.config import load
from ipmasq.config.helpers import HelperError, configured, find, in_file, installed
from ipmasq.config.model import HelperTable
from ipmasq.core.policy import OnFailure
from ipmasq.helpers.ftp import Ftp
from tests.config.marked import GATEWAY, assert_found_as_marked

HEAD = "from ipmasq.core.helper import Helper\n\n"
FINGER = HEAD + 'class Finger(Helper):\n    name, ports = "finger", (79,)\n'


def written(directory: Path, text: str, name: str = "finger.py") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_an_installed_helper_is_found_by_its_name():
    use = find("ftp")
    assert (use.name, use.make, use.ports, use.protocol) == ("ftp", Ftp, {21}, 6)
    assert use == find("ftp")


def test_an_installed_helper_can_be_read_afresh():
    module = sys.modules[Ftp.__module__]
    try:
        fresh = installed("ftp", fresh=True)
    finally:
        sys.modules[Ftp.__module__] = module
    assert fresh is not Ftp
    assert (fresh.name, fresh.ports, fresh.__module__) == ("ftp", (21,), Ftp.__module__)


def test_a_name_that_nobody_has_registered_is_refused_with_those_that_are_there():
    with pytest.raises(HelperError, match=r'no helper "sip" is installed \(there are: .*ftp'):
        find("sip")


def test_a_helper_in_a_file_is_found_and_works(tmp_path: Path):
    use = find(str(written(tmp_path, FINGER)))
    assert (use.name, use.ports, use.protocol, use.orthogonal) == ("finger", {79}, 6, False)
    assert use.make().name == "finger"
    assert find("finger.py", base=tmp_path).name == "finger"


def test_a_changed_file_gives_the_new_code_and_leaves_the_old_one_at_work(tmp_path: Path):
    file = written(tmp_path, FINGER + "    def greet(self): return WORD\nWORD = 1\n")
    old = find(str(file))
    written(tmp_path, FINGER + "    def greet(self): return WORD\nWORD = 2\n")
    new = find(str(file))
    assert [use.make().greet() for use in (old, new)] == [1, 2]  # type: ignore[attr-defined]
    assert old != new


def test_a_change_within_the_same_second_and_of_the_same_length_is_seen(tmp_path: Path):
    file = written(tmp_path, FINGER)
    assert find(str(file)).ports == {79}
    file.write_text(FINGER.replace("79", "80"))
    assert find(str(file)).ports == {80}
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_that_no_longer_loads_leaves_the_earlier_module_in_place(tmp_path: Path):
    file = written(tmp_path, FINGER)
    module = find(str(file)).make().__module__
    before = sys.modules[module]
    file.write_text("1 / 0\n")
    with pytest.raises(HelperError):
        find(str(file))
    assert sys.modules[module] is before


def test_a_dataclass_in_a_helper_file_finds_its_module(tmp_path: Path):
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        f"{FINGER}\n@dataclass\nclass State:\n    count: int = 0\n"
    )
    assert find(str(written(tmp_path, text))).name == "finger"


def test_settings_of_the_configuration_go_before_those_of_the_helper(tmp_path: Path):
    written(tmp_path, FINGER)
    file = tmp_path / "gateway.toml"
    table = '[helper.finger]\nfile = "finger.py"\nports = ["100-102", 7]\non_failure = "drop"\n'
    file.write_text(GATEWAY + table)
    loaded = load(file)
    use = loaded.helpers["finger"]
    assert (use.ports, use.on_failure) == ({100, 101, 102, 7}, OnFailure.DROP)
    for named in ("finger", str(tmp_path / "finger.py")):  # as `ipmasq helper load` finds it
        again = find(named, loaded.config, base=tmp_path)
        assert (again.ports, again.on_failure) == (use.ports, use.on_failure)


BOTH = FINGER + 'class Other(Helper):\n    name, ports = "other", (80,)\n'


def test_of_several_helpers_in_a_file_one_is_chosen_by_its_class(tmp_path: Path):
    file = written(tmp_path, BOTH)
    assert in_file(file, "Other").name == "other"
    with pytest.raises(HelperError, match="it has: Finger, Other; say which one"):
        in_file(file)
    with pytest.raises(HelperError, match="has no class Third; its helpers: Finger, Other"):
        in_file(file, "Third")


def test_a_base_that_is_only_imported_is_not_taken_for_the_helper(tmp_path: Path):
    text = FINGER.replace("Helper\n\n", "Helper\nfrom ipmasq.helpers.ftp import Ftp\n\n", 1)
    assert in_file(written(tmp_path, text)).name == "finger"


def body(text: str) -> str:
    return HEAD + "class Finger(Helper):\n" + "".join(f"    {line}\n" for line in text.split("; "))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "finger.py, line 1: SyntaxError: invalid syntax"),
        ("\n\nimport nothing_there\n", "line 3: ModuleNotFoundError: No module named 'nothing_there'"),
        ("x = 1\n\ndef f():\n    return 1 / 0\n\nf()\n", "line 4: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError: "),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("raise ValueError('two\\n  lines')\n", "line 1: ValueError: two; lines"),
        ("raise FileNotFoundError\n", "line 1: FileNotFoundError"),
        ("open('/nothing/there')\n", "line 1: FileNotFoundError: "),
        ("x = '\\0'\n\0", "ValueError: source code string cannot contain null bytes"),
        ("", "must have one subclass of Helper, it has: none"),
        (body("ports = (79,)"), "class Finger: name must be one lower-case word"),
        (body("name = 'Finger'"), "name must be one lower-case word"),
        (body("name, ports = 'finger', 79"), "ports must be a tuple of port numbers"),
        (body("name, ports = 'finger', (0,)"), "ports must be a tuple of port numbers"),
        (body("name, protocol = 'finger', 'tcp'"), "protocol must be TCP or UDP"),
        (body("name, orthogonal = 'finger', 1"), "orthogonal must be True or False"),
        (body("name, terminator = 'finger', ''"), "terminator must be bytes, at least one"),
        (body("name, max_line = 'finger', 0"), "max_line must be a number of bytes"),
        (body("name = 'finger'; def __init__(self, x): pass"), "class Finger cannot be made without arg"),
        (body("name = 'finger'; def __init__(self): 1 / 0"), "line 5: class Finger cannot be made"),
        (body("name = 'finger'"), "the helper finger has no port to listen to"),
    ],
)  # fmt: skip
def test_a_file_without_a_good_helper_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
):
    file = written(tmp_path, text)
    with pytest.raises(HelperError) as caught:
        find(str(file))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    table = f'[helper.finger]\nfile = "finger.py"  #! {said}\n'
    assert_found_as_marked(tmp_path, GATEWAY + table)


def test_a_helper_that_calls_itself_otherwise_is_refused(tmp_path: Path):
    written(tmp_path, FINGER)
    mark = '#! the helper in finger.py calls itself "finger"; write [helper.finger]'
    text = f'[helper.thumb]\nfile = "finger.py"  {mark}\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


def test_a_class_that_is_no_helper_is_refused(tmp_path: Path):
    file = written(tmp_path, FINGER + "class Plain: pass\nnumber = 3\n")
    for name in ("Plain", "number", "Helper"):
        with pytest.raises(HelperError, match="is not a subclass of"):
            in_file(file, name)


def test_a_path_is_relative_to_the_configuration_file(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", FINGER)
    use = configured("finger", HelperTable.model_validate({"file": "sub/finger.py"}), tmp_path)
    assert use.name == "finger"


def test_a_package_registers_its_helper_under_the_entry_point_group(tmp_path: Path):
    """As pip leaves it: modules, and a folder of metadata beside them."""
    written(tmp_path, FINGER, "finger_package.py")
    written(tmp_path, "import nothing_there\n", "broken_package.py")
    metadata = tmp_path / "finger-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: finger\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[ipmasq.helpers]\nfinger = finger_package:Finger\nthumb = finger_package:Finger\n"
        "broken = broken_package:Broken\nabsent = finger_package:Absent\n"
    )
    code = (
        "import sys\nfrom ipmasq.config.helpers import HelperError, find\n"
        "for name in sys.argv[1:]:\n"
        "    for fresh in (False, True):\n"
        "        try: print(find(name, fresh=fresh).ports)\n"
        "        except HelperError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "finger", "thumb", "broken", "absent"],
        env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    finger, finger_again, thumb, _, broken, broken_again, absent, absent_again = (
        done.stdout.splitlines()
    )
    assert finger == finger_again == "frozenset({79})"
    assert thumb == 'the helper installed as "thumb" calls itself "finger"'
    line = "broken_package.py, line 1: ModuleNotFoundError: No module named 'nothing_there'"
    assert broken.endswith(line)
    assert broken_again.endswith(line)
    assert "Absent" in absent
    assert "is not a subclass of" in absent_again
