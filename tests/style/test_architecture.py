"""The arrows of ARCHITECTURE.md point down: who may include whom, and what the privileged process is made of."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MAYFLY_BUILD", ROOT / "build"))

MAY_INCLUDE = {
    "base": {"base"},
    "wire": {"wire", "base"},
    "sandbox": {"sandbox", "base"},
    "store": {"store", "base"},
    "setup": {"setup", "base", "wire", "sandbox"},
    "keeper": {"keeper", "base", "wire", "sandbox"},
    "janitor": {"base", "wire"},
    "server": {"server", "base", "wire", "store"},
    "cli": {"cli", "base", "store"},
    "guest": {"guest", "base", "wire", "sandbox"},
}


def test_includes_point_down():
    wrong = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        folder = path.relative_to(ROOT / "src").parts[0]
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M):
            if name.split("/")[0] not in MAY_INCLUDE[folder]:
                wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_is_in_the_table():
    folders = {p.name for p in (ROOT / "src").iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert folders == set(MAY_INCLUDE)


def test_keeper_links_neither_http_nor_json_nor_store():
    keeper = BUILD / "src/keeper/mayfly-keeper"
    needed = subprocess.run(["readelf", "-d", keeper], capture_output=True, text=True, check=True).stdout
    libraries = set(re.findall(r"NEEDED.*\[(lib[^.]+)", needed)) - {"libasan", "libubsan"}
    assert libraries <= {"libc"}, libraries
    symbols = subprocess.run(["nm", "-a", keeper], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"\b(http_|json_|sqlite|store_|evbuffer|settings_|seccomp_)", symbols)


def test_guest_modules_link_nothing_but_libc():
    for name in ("mayfly_guest.abi3.so", "mayfly_guest.node"):
        needed = subprocess.run(["readelf", "-d", BUILD / "src/guest" / name], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"NEEDED.*\[(lib[^.]+)", needed)) - {"libasan", "libubsan"} <= {"libc"}


def sources_of(program):
    """Every source that the linker took for it, as the debug information tells, and all headers of ours in them."""
    dump = ["readelf", "--debug-dump=info", "--dwarf-depth=1", program]
    info = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    found, todo = set(), re.findall(r"DW_AT_name\s*:.*?(?:\): |\s)\S*?src/(\S+\.c)\n", info)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += re.findall(r'^\s*#\s*include\s*"([^"]+)"', (ROOT / "src" / name).read_text(), re.M)
    return found


def code_lines(name):
    """Those that hold neither nothing nor a comment alone."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', (ROOT / "src" / name).read_text())
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
    return sum(1 for line in text.split("\n") if line.strip())


def test_privileged_process_stays_readable_in_an_hour():
    """All that mayfly-keeper is made of, its anchors too: its own folder, and whatever it links and includes.

    2,000 until templates for import sets came, which nobody else can start and end, and until a slot's first process was kept
    between calls, which took a fifth of a call's CPU away."""
    sources = sources_of(BUILD / "src/keeper/mayfly-keeper")
    assert {"keeper/main.c", "keeper/anchor.c", "keeper/keeper.h", "wire/packet.c", "sandbox/child.c"} <= sources
    lines = {name: code_lines(name) for name in sorted(sources)}
    print(lines, sum(lines.values()))
    assert sum(lines.values()) < 2150, lines


def test_janitor_stays_tiny():
    assert code_lines("janitor/main.c") < 100
