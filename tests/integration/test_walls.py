"""Attacks that each wall must stand, one wall at a time where that can be: files, processes, network, the kernel's
surface, resources, other calls, leaks. The letters are those of the list of attacks.

The probes are Python scripts with raw system calls: what ctypes can do, machine code can do. Where it can, the host judges.
"""

import concurrent.futures
import errno
import glob
import json
import os
import re
import signal
import socket
import time

import pytest

from host import eventually, user_of

RAW = """
import ctypes, errno, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*numbers):
    ctypes.set_errno(0)
    result = libc.syscall(*[ctypes.c_long(n) if isinstance(n, int) else n for n in numbers])
    return result if result >= 0 else -ctypes.get_errno()
"""

# x86-64
NUMBERS = dict(
    ptrace=101, syslog=103, setuid=105, setgid=106, capset=126, mknod=133, personality=135, modify_ldt=154, pivot_root=155,
    chroot=161, acct=163, settimeofday=164, mount=165, umount2=166, swapon=167, swapoff=168, reboot=169, sethostname=170,
    iopl=172, ioperm=173, init_module=175, delete_module=176, quotactl=179, setxattr=188, fsetxattr=190, shmget=29, shmat=30,
    semget=64, msgget=68, io_setup=206, lookup_dcookie=212, kexec_load=246, mq_open=240, add_key=248, request_key=249, keyctl=250,
    ioprio_set=251, migrate_pages=256, unshare=272, move_pages=279, vmsplice=278, perf_event_open=298, fanotify_init=300,
    name_to_handle_at=303, open_by_handle_at=304, clock_adjtime=305, setns=308, process_vm_readv=310, process_vm_writev=311,
    kcmp=312, finit_module=313, sched_setattr=314, seccomp=317, kexec_file_load=320, bpf=321, execveat=322, userfaultfd=323,
    io_uring_setup=425, io_uring_enter=426, io_uring_register=427, open_tree=428, move_mount=429, fsopen=430, fsmount=432,
    pidfd_open=434, pidfd_send_signal=424, pidfd_getfd=438, process_madvise=440, mount_setattr=442,
    landlock_create_ruleset=444, landlock_restrict_self=446, memfd_secret=447, process_mrelease=448, cachestat=451,
    inotify_init1=294, inotify_add_watch=254, sched_setscheduler=144, sched_setaffinity=203, setpriority=141, execve=59, vhangup=153,
)  # fmt: skip


def raw(mayfly, code, **members):
    return mayfly.python(RAW + code, **members)


def errnos(mayfly, calls):
    """What each of these system calls says; a call is its number and arguments, an argument a number or a text."""
    code = """
return [call(*(ctypes.c_char_p(a.encode()) if isinstance(a, str) else a for a in one)) for one in event]"""
    return raw(mayfly, code, input=calls).data


def family(mayfly):
    """What must be as it was, whoever attacks: keeper, server, templates, anchors."""
    return {pid for pid in mayfly.processes() if (user_of(pid) or 0) < mayfly.uid_base + 64 and not is_first(pid)}


def is_first(pid):
    return comm_of(pid) in ("", "mayfly-first", "mayfly-keeper")


def comm_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


# Files


def test_F3_no_way_up_from_the_root(mayfly):
    up, root = mayfly.python("import os\nreturn [os.listdir('../' * 100), os.listdir('/')]").data
    assert sorted(up) == sorted(root) and "home" not in up


def test_F9_nothing_that_runs_can_be_opened_for_writing(mayfly):
    code = """
import glob
out = []
for path in ['/proc/self/exe', '/mayfly/guest/boot.py', json.__file__, *glob.glob('/mayfly/guest/*')[:9]]:
    for mode in 'r+b', 'ab':
        try: open(path, mode); out.append(path)
        except OSError: pass
return out
"""
    assert mayfly.python("import json\n" + code).data == []


def test_F11_only_pipes_can_be_made_as_nodes(mayfly):
    assert errnos(mayfly, [[259, -100, "/tmp/a", kind | 0o666, 0x103] for kind in (0o20000, 0o60000, 0o100000, 0)]) == [-errno.EPERM] * 4
    assert errnos(mayfly, [[259, -100, "/tmp/pipe", 0o10666, 0]]) == [0]


def test_F14_no_hard_link_leaves_tmp(mayfly):
    code = """
import os
for source in '/usr/lib/os-release', '/etc/passwd', '/proc/self/exe', '/dev/null':
    try: os.link(source, '/tmp/link'); return source
    except OSError: pass
return ''
"""
    assert mayfly.python(code).json.get("data") == ""


def test_F19_devices_cannot_be_changed_for_the_host(mayfly):
    before = os.stat("/dev/null")
    code = """
import os
done = []
for f in lambda: os.utime('/dev/null'), lambda: os.utime('/dev/zero', (1, 1)), lambda: os.chmod('/dev/null', 0o600), lambda: os.unlink('/dev/null'):
    try: f(); done.append(1)
    except OSError: pass
open('/dev/null', 'w').write('x')
return done + [len(open('/dev/zero', 'rb').read(10))]
"""
    assert mayfly.python(code).data == [10]
    after = os.stat("/dev/null")
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (before.st_mtime_ns, before.st_ctime_ns, before.st_mode)


def test_F21_a_sparse_file_has_a_limit_too(mayfly):
    code = """
import os
fd = os.open('/tmp/sparse', os.O_RDWR | os.O_CREAT)
out = []
for f in lambda: os.ftruncate(fd, 1 << 40), lambda: os.posix_fallocate(fd, 0, 1 << 30), lambda: os.pwrite(fd, b'x', 1 << 40):
    try: f(); out.append(0)
    except OSError as e: out.append(e.errno)
return out
"""
    assert 0 not in mayfly.python("import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)" + code).data


def test_F23_a_deep_tree_is_gone_at_once(mayfly):
    code = """
import os
for n in range(3000):
    os.mkdir('d' * 50)
    os.chdir('d' * 50)
return n
"""
    assert mayfly.python(code).data == 2999
    began = time.monotonic()
    for _ in range(6):
        assert mayfly.python("import os\nreturn os.listdir('/tmp')").data == []
    assert time.monotonic() - began < 5


def test_F26_no_shared_writable_mapping_of_a_library(mayfly):
    code = """
import mmap, os
fd = os.open(os.__file__, os.O_RDONLY)
for f in lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), lambda: os.pwrite(fd, b'x', 0):
    try: f(); return 'wrote'
    except OSError: pass
r, w = os.pipe()
os.write(w, b'evil')
try: os.splice(r, fd, 4)
except (OSError, AttributeError): pass
return 'no'
"""
    with open(os.__file__, "rb") as file:
        before = file.read()
    assert mayfly.python(code).data == "no"
    with open(os.__file__, "rb") as file:
        assert file.read() == before


def test_F_every_mount_but_tmp_is_read_only_without_setuid(mayfly):
    text = mayfly.python("return open('/proc/self/mountinfo').read()").data
    for line in text.splitlines():
        point, flags = line.split()[4], set(line.split()[5].split(","))
        assert "nosuid" in flags, line
        assert "nodev" in flags or point.startswith("/dev/"), line
        assert "ro" in flags or ("noexec" in flags and point in ("/tmp", "/proc")), line


def test_F_what_the_host_mounts_below_a_library_is_read_only_too(own):
    library, below = "/usr/local/lib", "/usr/local/lib/below"
    mounts = f"mount -t tmpfs tmpfs {library} && mkdir {below} && mount -t tmpfs -o mode=777 tmpfs {below}"
    mayfly = own(RUNTIMES="fake")
    mayfly.wrapper = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    mayfly.start()
    assert mayfly.python(f"create {below}/x").data == -errno.EROFS
    mayfly.stop()


# Processes


def test_P1_signals_reach_nobody_but_the_cell(mayfly):
    before = family(mayfly)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(mayfly.python, "import time\ntime.sleep(1.5)\nreturn 'unharmed'")
        time.sleep(0.5)
        code = """
import os, signal
out = []
signal.signal(15, signal.SIG_IGN)
for target in -1, 0, 1, -os.getpgrp(), -os.getsid(0), *range(3, 400):
    for number in 9, 15, 19:
        if target in (0, -os.getpgrp()) and number != 15: continue
        try: os.kill(target, number); out.append([target, number])
        except OSError: pass
return out
"""
        reached = mayfly.python(code).data
        assert neighbour.result().data == "unharmed"
    assert {target for target, _ in reached} <= {-1, 0, -2}, reached  # itself, its group
    assert family(mayfly) == before


def test_P1_the_first_process_takes_no_signal(mayfly):
    assert errnos(mayfly, [[62, 1, number] for number in (0, 1, 9, 15, 18, 19, 34)]) == [-errno.EPERM] * 7
    assert errnos(mayfly, [[200, 1, 9], [234, 1, 1, 9], [302, 1, 7, 0, 0]]) == [-errno.EPERM] * 3  # tkill, tgkill, prlimit64


@pytest.mark.parametrize("flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_P11_no_new_namespace(mayfly, flag):
    assert errnos(mayfly, [[56, flag | 17, 0, 0, 0, 0], [56, flag | 17 | 1 << 32, 0, 0, 0, 0], [272, flag]]) == [-errno.EPERM] * 3


def test_P11_flags_behind_a_pointer_are_not_looked_at(mayfly):
    assert errnos(mayfly, [[435, 0, 0]]) == [-errno.ENOSYS]


def test_P_a_cell_cannot_give_its_template_children(mayfly):
    """CLONE_PARENT: the template would reap them, outside the cell's share of the processor."""
    assert errnos(mayfly, [[56, 0x8000 | 17, 0, 0, 0, 0]]) == [-errno.EPERM]


NEVER_ENDS = {
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stops itself in every process": "for _ in range(3): os.fork()\nos.kill(os.getpid(), signal.SIGSTOP)",
    "ignores every signal": "for n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
    "blocks every signal": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nos.setpgid(0, 0)\nwhile True: time.sleep(9)",
    "spins in threads": "import threading\nfor _ in range(8): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
    "forks for ever": "while True:\n    try: os.fork()\n    except OSError: pass",
    "forks and dies for ever": "while True:\n    try:\n        if os.fork(): os._exit(0)\n    except OSError: pass",
    "ends its first thread": "import threading\nthreading.Thread(target=time.sleep, args=(99,)).start()\ntime.sleep(.2)\ncall(60, 0)",
    "waits in vfork": "call(56, 0x4000 | 17, 0, 0, 0, 0)\nwhile True: time.sleep(9)",
    "closes its channel": "os.close(3)\nwhile True: time.sleep(9)",
    "closes everything": "os.closerange(0, 1024)\nwhile True: time.sleep(9)",
}


@pytest.mark.parametrize("way", NEVER_ENDS)
def test_P13_whatever_it_does_it_ends_in_time(strict, way):
    began = time.monotonic()
    answer = raw(strict, NEVER_ENDS[way])
    assert time.monotonic() - began < 10
    assert answer.status >= 500 or way == "forks and dies for ever", answer
    assert strict.python("return 1").data == 1  # there is one place: it is free again
    eventually(lambda: len(strict.cells()) <= 1, lambda: str(strict.processes()))


def test_P15_limits_and_priority_only_go_down(mayfly):
    code = """
import resource
out = []
for name in [n for n in dir(resource) if n.startswith('RLIMIT_')]:
    number = getattr(resource, name)
    soft, hard = resource.getrlimit(number)
    if hard == -1: continue
    try: resource.setrlimit(number, (hard + 1, hard + 1)); out.append(name)
    except (OSError, ValueError): pass
return out
"""
    assert mayfly.python(code).data == []
    limits = mayfly.python("import resource as r\nreturn {n: r.getrlimit(getattr(r, n))[1] for n in dir(r) if n.startswith('RLIMIT_')}").data
    for name in ("CORE", "MSGQUEUE", "NICE", "RTPRIO"):
        assert limits["RLIMIT_" + name] == 0, limits
    assert 0 < limits["RLIMIT_NPROC"] <= 129 and 0 < limits["RLIMIT_NOFILE"] <= 1024 and 0 < limits["RLIMIT_FSIZE"] <= 64 << 20


def test_P17_its_filter_cannot_be_touched(mayfly):
    assert errnos(mayfly, [[317, 1, 0, 0], [317, 0, 0, 0], [157, 22, 2, 0, 0, 0], [157, 22, 1, 0, 0, 0]]) == [-errno.EPERM] * 4


def test_P18_memory_files_cannot_be_executed(mayfly):
    code = """
fd = os.memfd_create('x')
os.write(fd, open('/mayfly/guest/mayfly_guest.abi3.so', 'rb').read())
return [call(322, fd, ctypes.c_char_p(b''), 0, 0, 0x1000), call(59, ctypes.c_char_p(f'/proc/self/fd/{fd}'.encode()), 0, 0)]
"""
    assert raw(mayfly, code).data == [-errno.EPERM] * 2


def test_P20_nothing_is_typed_into_a_terminal(mayfly):
    assert errnos(mayfly, [[16, 0, 0x5412, "x"], [16, 0, 0x5412 | 1 << 32, "x"], [16, 0, 0x541C, "x"]]) == [-errno.EPERM] * 3


def test_P21_zombies_are_gone_with_their_cell(mayfly):
    code = """
import os
n = 0
for _ in range(400):
    try:
        if os.fork() == 0:
            if os.fork() == 0: os._exit(0)
            os._exit(0)
        n += 1
    except OSError: break
return n
"""
    assert mayfly.python(code).data > 20
    eventually(lambda: not zombies(mayfly), lambda: str(zombies(mayfly)))
    assert mayfly.python("import os\nreturn os.getpid()").data == 2


def test_P23_process_numbers_tell_nothing_of_the_call_before(strict):
    """A slot's pid namespace outlives a call that leaves no process; the numbers begin anew all the same."""
    spend = "import os\nfor _ in range(5): os.waitpid(os.fork() or os._exit(0), 0)\nreturn os.getpid()"
    child = "import os\npid = os.fork() or os._exit(0)\nos.waitpid(pid, 0)\nreturn [os.getpid(), pid]"
    for _ in range(6):
        assert strict.python(spend).data == 2
        assert strict.python(child).data == [2, 3]


def test_P24_slots_whose_first_process_was_killed_are_made_anew(own):
    mayfly = own(RUNTIMES="python", MAX_CONTAINERS=1, SPARE_CELLS=0).start()
    for _ in range(3):
        assert mayfly.python("return 1").data == 1
        for pid in mayfly.processes():
            if comm_of(pid) == "mayfly-first":
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(mayfly.python("return 1").status == 200 for _ in range(12)), mayfly.log)
        assert mayfly.python("import os\nreturn os.getpid()").data == 2
    mayfly.stop()


def zombies(mayfly):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as file:
                text = file.read()
        except OSError:
            continue
        uid = int(re.search(r"^Uid:\s+(\d+)", text, re.M)[1])
        if "State:\tZ" in text and mayfly.uid_base + 64 <= uid < mayfly.uid_base + 2048:
            found.append(pid)
    return found


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_P22_no_core_of_a_cell_is_ever_written(mayfly, language):
    """A core_pattern that is a program gets cores whatever RLIMIT_CORE says, so cells are never dumpable."""
    if language == "python":
        assert errnos(mayfly, [[157, 3, 0, 0, 0, 0], [157, 4, 1, 0, 0, 0], [157, 4, 2, 0, 0, 0], [157, 3, 0, 0, 0, 0]]) == [0, -errno.EPERM, -errno.EPERM, 0]
        assert mayfly.python("import os\nos.abort()").code == "script_error"
        assert mayfly.python("import os\nreturn os.listdir('/tmp')").data == []
    else:
        # The files of an undumpable process belong to root.
        assert mayfly.javascript("return require('fs').statSync('/proc/self/status').uid").data == 0


@pytest.mark.parametrize("file", ["mem", "oom_score_adj", "clear_refs", "comm", "coredump_filter", "uid_map", "setgroups", "timerslack_ns", "attr/current"])
def test_P23_its_own_proc_is_read_only(mayfly, file):
    code = f"""
try:
    with open('/proc/self/{file}', 'r+b', buffering=0) as f: f.write(b'0')
    return 'wrote'
except OSError: return 'refused'
"""
    assert mayfly.python(code).data == "refused"


# Network


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "192.168.0.1", "8.8.8.8", "fe80::1%lo", "0.0.0.0"])
def test_N1_no_address_answers(mayfly, address):
    code = f"""
import socket
try: socket.create_connection(({address!r}, {mayfly.port}), 2); return 'connected'
except OSError as e: return type(e).__name__
"""
    began = time.monotonic()
    assert mayfly.python(code).data in ("ConnectionRefusedError", "OSError", "gaierror")
    assert time.monotonic() - began < 1.5


def test_N5_sockets_of_the_host_are_not_there(mayfly, tmp_path):
    name = f"mayfly-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as path:
        abstract.bind("\0" + name)
        path.bind(str(tmp_path / "s"))
        abstract.listen()
        path.listen()
        code = """
import socket
out = []
for name in event:
    try: socket.socket(socket.AF_UNIX).connect(name); out.append(name)
    except OSError: pass
return out
"""
        assert mayfly.python(code, input=["\0" + name, str(tmp_path / "s"), "/run/systemd/private", "/run/docker.sock"]).data == []


def test_N7_only_plain_sockets(mayfly):
    """Every family, type and protocol; what may be opened is written down here a second time."""
    code = """
out = []
for family in range(0, 47):
    for kind in range(0, 11):
        for protocol in (0, 1, 2, 6, 17, 33, 41, 47, 50, 58, 103, 115, 132, 136, 255, 256, 262):
            fd = call(41, family, kind, protocol)
            if fd >= 0: os.close(fd)
            if fd != -errno.EPERM: out.append([family, kind, protocol])
return out
"""
    inet = [[f, k, p] for f in (2, 10) for k, ps in ((1, (0, 6)), (2, (0, 17))) for p in ps]
    assert raw(mayfly, code).data == [[1, 1, 0], [1, 2, 0], [1, 5, 0], *inet]


def test_N7_upper_halves_do_not_help(mayfly):
    high = 1 << 32
    assert errnos(mayfly, [[41, 16 | high, 3, 0], [41, 2 | high, 3, 1], [41, 2, 3 | high, 1], [41, 2, 1, 262 | high], [53, 17 | high, 1, 0]]) == [-errno.EPERM] * 5


def test_N_no_program_and_no_protocol_on_top_of_a_socket(mayfly):
    code = """
import socket
s = socket.socket()
name = ctypes.create_string_buffer(b'tls')
return [call(54, s.fileno(), level, option, ctypes.cast(name, ctypes.c_void_p), 16)
        for level, option in ((6, 31), (6 | 1 << 32, 31), (6, 31 | 1 << 40), (1, 26), (1, 50), (1, 51), (1, 52), (1, 2))]
"""
    *refused, allowed = raw(mayfly, code).data
    assert refused == [-errno.EPERM] * 7 and allowed == 0


def test_N13_nobody_outside_reaches_a_listening_cell(mayfly):
    port = 40_000 + os.getpid() % 20_000
    code = f"""
import socket
s = socket.create_server(('0.0.0.0', {port}))
s.settimeout(1.2)
try: s.accept(); return 'reached'
except TimeoutError: return 'alone'
"""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        listening = pool.submit(mayfly.python, code)
        for _ in range(10):
            time.sleep(0.1)
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
        assert listening.result().data == "alone"


# The kernel's surface


@pytest.mark.parametrize("name", NUMBERS)
def test_K_refused(mayfly, name):
    assert errnos(mayfly, [[NUMBERS[name], -1, -1, -1, -1, -1, -1]]) == [-errno.EPERM]


def test_K16_numbers_not_yet_assigned_are_refused(mayfly):
    """335 and 336 are the kernel's own trampolines, which it keeps from every filter."""
    assert set(errnos(mayfly, [[n, -1, -1, -1, -1, -1, -1] for n in [*range(337, 424), *range(480, 1024)]])) == {-errno.EPERM}


@pytest.mark.parametrize("where", ["alone", "in a thread"])
def test_K2_x32_ends_the_process(mayfly, where):
    attack = "call(0x40000000 | 39)"
    if where == "in a thread":
        attack = f"import threading\nt = threading.Thread(target=lambda: {attack})\nt.start()\nt.join()"
    answer = raw(mayfly, f"{attack}\nreturn 'lives'")
    assert answer.status == 500 and f"signal {signal.SIGSYS.value}" in answer.json["detail"], answer


def test_K3_the_old_gate_ends_the_process(mayfly):
    code = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))  # mov eax, getpid; int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
return 'lives'
"""
    answer = raw(mayfly, code)
    assert answer.status == 500 and answer.json["type"].endswith("script_error"), answer


def test_K_the_hosts_huge_pages_are_not_for_cells(mayfly):
    assert errnos(mayfly, [[9, 0, 2 << 20, 3, 0x22 | 0x40000, -1, 0], [319, "x", 4], [319, "x", 0x54000004]]) == [-errno.EPERM] * 3


def test_K17_prctl_looks_at_the_whole_number(mayfly):
    numbers = [[157, option | high, 1, 0, 0, 0] for option in (1, 4, 8, 15 | 1 << 33, 24, 28, 35, 38, 47, 0x59616D61) for high in (0, 1 << 32)]
    assert set(errnos(mayfly, numbers)) == {-errno.EPERM}


# Resources


@pytest.mark.parametrize(
    "code",
    [
        "fd = os.memfd_create('x')\nfor _ in range(300): os.write(fd, bytes(1 << 20))",
        "keep = []\nimport socket\nfor _ in range(400):\n    a, b = socket.socketpair()\n    a.setblocking(False)\n    a.setsockopt(1, 7, 1 << 20)\n    keep += [a, b]\n"
        "    try:\n        while True: a.send(bytes(65536))\n    except BlockingIOError: pass\nreturn len(keep)",
        "import fcntl\nkeep = []\nfor _ in range(400):\n    r, w = os.pipe()\n    keep += [r, w]\n    os.set_blocking(w, False)\n    fcntl.fcntl(w, 1031, 1 << 20)\n"
        "    os.write(w, bytes(1 << 20))",
        "import mmap\nm = mmap.mmap(-1, 300 << 20)\nfor n in range(0, 300 << 20, 4096): m[n] = 1",
    ],
    ids=["memory file", "unix sockets", "pipes", "shared memory"],
)
def test_R4_all_memory_counts(mayfly, code):
    held = peak_of(raw(mayfly, code + "\nreturn 'unlimited'"))
    assert held != "unlimited"


def peak_of(answer):
    """Either the limit ended it, or the kernel refused it more; what it may not do is to get it all."""
    return answer.data if answer.status == 200 else answer.code


def test_R6_tcp_buffers_count_too(mayfly):
    code = """
import socket
l = socket.create_server(('127.0.0.1', 0))
held, keep = 0, []
for _ in range(60):
    a = socket.create_connection(l.getsockname())
    b, _ = l.accept()
    a.setsockopt(1, 7, 1 << 22); b.setsockopt(1, 8, 1 << 22)
    a.setblocking(False)
    keep += [a, b]
    try:
        while True: held += a.send(bytes(65536))
    except BlockingIOError: pass
return held >> 20
"""
    answer = mayfly.python(code)
    assert answer.code == "memory_limit" or answer.data < 160, answer


def test_R7_descriptors_have_a_limit(strict):
    code = "import os\nkeep = []\ntry:\n    while True: keep.append(os.open('/dev/null', 0))\nexcept OSError as e: return len(keep)"
    assert 0 < strict.python(code).data <= 256


def test_R13_a_fork_bomb_dies_while_it_forks(strict):
    code = """
for _ in range(12):
    try: os.fork()
    except OSError: pass
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass
"""
    # Sixteen processes may fill 64 MiB before one too many is asked for.
    assert raw(strict, code).code in ("timeout", "cell_lost", "process_limit", "script_error", "memory_limit")
    eventually(lambda: len(strict.cells()) <= 1, lambda: str(strict.processes()), deadline_s=10)
    assert strict.python("return 1").data == 1


def test_R_processes_that_are_there_already_do_not_keep_a_template_from_starting(own):
    """Every place has a first process with the templates' user id: more of them than one cell may have processes."""
    mayfly = own(RUNTIMES="fake", MAX_CONTAINERS=40, MAX_PROCESSES_PER_CONTAINER=8).start()
    os.kill(next(pid for pid in mayfly.processes() if command_of(pid).startswith("/mayfly/guest/mayfly-fake") and user_of(pid) == mayfly.uid_base + 1), 9)
    eventually(lambda: mayfly.python("json 1").status == 200, mayfly.log)
    mayfly.stop()


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().replace("\0", " ")
    except OSError:
        return ""


# Other calls


def test_I4_flags_and_locks_of_descriptors_do_not_travel(mayfly):
    """Descriptors that a template opened would be one and the same in all its cells."""
    python = "import fcntl\nfound = [fcntl.fcntl(n, 3) & 0o2000 for n in range(4)]\n[fcntl.fcntl(n, 4, fcntl.fcntl(n, 3) | 0o2000) for n in range(4)]\nreturn found"
    for _ in range(8):
        assert mayfly.python(python).data == [0, 0, 0, 0]
    lock = "import fcntl, os, time\nfcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)\ntime.sleep({})\nreturn 1"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        holder = pool.submit(mayfly.python, "import fcntl, time\nfcntl.fcntl(0, 4, 0o2000)\ntime.sleep(1)\nreturn 1")
        time.sleep(0.4)
        assert mayfly.python(python).data == [0, 0, 0, 0]
        assert holder.result().data == 1
    assert mayfly.python(lock.format(0)).data == 1


def test_I6_calls_do_not_meet_on_abstract_sockets(mayfly):
    listen = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0meet')\ns.listen()\ns.settimeout(1.2)\ntry: s.accept(); return 'met'\nexcept TimeoutError: return 'alone'"
    connect = "import socket\ntry: socket.socket(socket.AF_UNIX).connect('\\0meet'); return 'met'\nexcept OSError: return 'alone'"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        listening = pool.submit(mayfly.python, listen)
        time.sleep(0.4)
        assert [mayfly.python(connect).data for _ in range(4)] == ["alone"] * 4
        assert listening.result().data == "alone"


def test_I7_nobody_watches_what_others_open(mayfly):
    assert errnos(mayfly, [[253], [294, 0], [254, 0, "/usr/lib", 0x20], [300, 0, 0]]) == [-errno.EPERM] * 4


def test_I9_no_memory_is_shared_with_another_process(mayfly):
    python = "return [line for line in open('/proc/self/maps') if line.split()[1][1::2] == 'ws']"
    node = "return require('fs').readFileSync('/proc/self/maps', 'utf8').split('\\n').filter(line => /^\\S+ .w.s/.test(line))"
    assert mayfly.python(python).data == []
    assert mayfly.javascript(node).data == []


def test_I12_tmp_is_as_it_was_whatever_was_done_to_it(mayfly):
    attack = """
import os
for f in lambda: os.chmod('/tmp', 0), lambda: os.chown('/tmp', os.getuid(), -1), lambda: os.rename('/tmp', '/x'), lambda: os.rmdir('/tmp'), lambda: os.setxattr('/tmp', 'user.a', b'b'):
    try: f()
    except OSError: pass
os.utime('/tmp')
return 1
"""
    look = "import os\ns = os.stat('/tmp')\nreturn [oct(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, os.listxattr('/tmp'), os.listdir('/tmp')]"
    for _ in range(6):
        assert mayfly.python(attack).data == 1
        assert mayfly.python(look).data == ["0o41777", 0, 0, 2, [], []]


def test_I_networks_are_fresh(mayfly):
    use = """
import socket
s = socket.create_server(('127.0.0.1', 4999), reuse_port=False)
c = socket.create_connection(('127.0.0.1', 4999)); a, _ = s.accept()
a.close(); c.close()
return 1
"""
    for _ in range(10):
        assert mayfly.python(use).data == 1  # TIME_WAIT of the last call would say "in use"
    counters = mayfly.python("return open('/proc/self/net/dev').read()").data
    assert re.search(r"lo:\s+0\s+0\s", counters), counters


# Leaks


def test_L2_of_proc_there_is_itself_alone(mayfly):
    names = mayfly.python("import os\nreturn os.listdir('/proc')").data
    assert {name for name in names if not name.isdigit()} <= {"self", "thread-self"} and "1" not in names


def test_L5_nothing_names_the_machine(mayfly):
    code = "import os\nreturn [p for p in ('/proc/sys', '/proc/version', '/etc/machine-id', '/etc/hostname', '/proc/cmdline', '/sys', '/proc/cpuinfo') if os.path.exists(p)]"
    assert mayfly.python(code).data == []


def test_L6_the_token_is_in_no_process_but_the_server(own):
    """Keeper, janitor, its own process, its template, its slot's first process and anchor: read as root can."""
    token = "canary-" + os.urandom(12).hex()
    mayfly = own(AUTH_TOKEN=token, MAX_CONTAINERS=1).start()
    assert mayfly.python("return 1").data == 1
    assert times_in_memory(mayfly.pid_of("server"), token.encode()) > 0
    seen = set()
    for pid in mayfly.processes():
        if user_of(pid) != mayfly.uid_base:
            found = times_in_memory(pid, token.encode())
            assert not found, (command_of(pid), found)
            seen |= {user_of(pid)} if found is not None else set()
    assert {0, mayfly.uid_base + 1} <= seen
    assert times_in_memory(mayfly.keeper.pid, b"mayfly-keeper") > 0  # it was read indeed
    mayfly.stop()


def times_in_memory(pid, needle):
    found = 0
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                start, end = (int(number, 16) for number in span.split("-"))
                if mode.startswith("r") and "[v" not in line:
                    memory.seek(start)
                    found += memory.read(end - start).count(needle)
    except OSError:  # it ended meanwhile
        return None
    return found


def test_L_the_channel_carries_no_descriptor_to_the_server(mayfly):
    """SCM_RIGHTS over the cell's own channel: the server keeps none, and answers the next."""
    server = mayfly.pid_of("server")
    before = len(os.listdir(f"/proc/{server}/fd"))
    code = """
import socket, array
s = socket.socket(fileno=os.dup(3))
fds = array.array('i', [0] * 200)
for _ in range(20):
    s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
time.sleep(.3)
return 1
"""
    raw(mayfly, code)
    assert mayfly.python("return 1").data == 1
    eventually(lambda: len(os.listdir(f"/proc/{server}/fd")) <= before + 8, lambda: json.dumps(os.listdir(f"/proc/{server}/fd")), deadline_s=10)
