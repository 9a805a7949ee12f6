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
    "keeper": {"keeper", "base", "wire", "sandbox"},
    "server": {"server", "base", "wire", "store"},
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
    assert libraries <= {"libc", "libseccomp"}, libraries
    symbols = subprocess.run(["nm", "-a", keeper], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"\b(http_|json_|sqlite|store_|evbuffer)", symbols)


def test_guest_modules_link_nothing_but_libc():
    for name in ("mayfly_guest.abi3.so", "mayfly_guest.node"):
        needed = subprocess.run(["readelf", "-d", BUILD / "src/guest" / name], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"NEEDED.*\[(lib[^.]+)", needed)) - {"libasan", "libubsan"} <= {"libc"}


def test_keeper_folder_does_not_grow():
    """The folder alone. What the process links besides is counted in ARCHITECTURE.md, and is still too much."""
    lines = sum(len(p.read_text().splitlines()) for p in (ROOT / "src/keeper").glob("*.[ch]"))
    assert lines < 2000, f"src/keeper has grown to {lines} lines"
