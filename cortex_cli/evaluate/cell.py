"""The inside of the sandbox: closes the door behind itself, then becomes the program. Standard library only.

It is read as text and run by a fresh interpreter in namespaces of its own, with one JSON object on standard input:
`{"program", "seconds", "megabytes", "processes", "files", "folder", "sealed"}`. What cannot be closed ends it with
code 97 before a line of the program has run.
"""

import ctypes
import json
import os
import resource
import sys

__all__ = ["REFUSED", "become"]

REFUSED = 97

# Numbers of the kernel: the same on every 64-bit machine for mount_setattr, and of prctl.
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_READ_ONLY = 1
_NO_SETUID, _NO_DEVICES, _BIND = 2, 4, 4096  # flags of mount(2)
_DROP_BOUND, _NO_NEW_PRIVILEGES = 24, 38
_CAPABILITIES = 64
_NOBODY = 65534
_CPU_SLACK = 5  # seconds: more than the one who waits grants, so that it is he who ends the program


def become(task: dict[str, object]) -> None:
    """Shut what *task* says, then replace this process by its program; returns only by raising `OSError`."""
    folder, size = str(task["folder"]), int(str(task["megabytes"]))
    libc = ctypes.CDLL(None, use_errno=True)
    python = _seal(libc, folder, size) if task["sealed"] else sys.executable
    path = os.path.join(folder, "program.py")  # noqa: PTH118  pathlib doubles the start of the interpreter
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  as above
        file.write(str(task["program"]))
    os.chdir(folder)
    _limit(task, size)
    if task["sealed"]:
        _give_up(libc)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execve(python, [python, "-I", "-S", "-B", path], {"PATH": os.defpath, "HOME": folder})  # noqa: S606


def _seal(libc: ctypes.CDLL, folder: str, size: int) -> str:
    """Make every mount read-only but a small one in memory at *folder*; return where the interpreter is now."""
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)  # set, clear, propagation, user namespace
    pointer, length = ctypes.byref(attributes), ctypes.sizeof(attributes)
    _check(libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, pointer, length))
    options = f"size={size}m,mode=0777".encode()
    _check(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", _NO_SETUID | _NO_DEVICES, options))
    if not _is_root():
        return sys.executable
    # Nobody may not read an interpreter under root's home: it is shown here too, as read-only as all else.
    shown = os.path.join(folder, "python")  # noqa: PTH118  as above
    os.mkdir(shown)  # noqa: PTH102  as above
    _check(libc.mount(sys.prefix.encode(), shown.encode(), None, _BIND, None))
    real = os.path.realpath(sys.executable)
    return os.path.join(shown, os.path.relpath(real, os.path.realpath(sys.prefix)))  # noqa: PTH118  as above


def _give_up(libc: ctypes.CDLL) -> None:
    """Lose every right to undo what was shut, and as root become nobody, whom the limit on processes binds."""
    for capability in range(_CAPABILITIES):
        if libc.prctl(_DROP_BOUND, capability, 0, 0, 0) != 0:
            break  # past the last capability that this kernel has
    if _is_root():
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    _check(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def _is_root() -> bool:
    """Tell whether this is the machine's root, and not only the root of a namespace."""
    with open("/proc/self/uid_map", encoding="ascii") as file:  # noqa: PTH123  as above
        first, outer, count = file.read().split()[:3]
    return os.getuid() == 0 and (first, outer) == ("0", "0") and int(count) > 1


def _limit(task: dict[str, object], size: int) -> None:
    seconds, memory = int(str(task["seconds"])), size << 20
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 1 << 20,  # standard output is a file too
        resource.RLIMIT_NPROC: int(str(task["processes"])),
        resource.RLIMIT_NOFILE: int(str(task["files"])),
        resource.RLIMIT_CORE: 0,
    }
    for name, limit in limits.items():
        _, most = resource.getrlimit(name)
        # The first process of a namespace ignores the signal of the soft limit on CPU: waiting ends it a little later.
        hard = limit + _CPU_SLACK if name == resource.RLIMIT_CPU else limit
        value = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(name, (min(limit, value), value))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    try:
        become(json.loads(sys.stdin.buffer.read()))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        os._exit(REFUSED)
