"""Changing a file so that at every moment it is whole: either the old bytes or the new ones.

``prepare`` writes the new bytes to a sibling with a dot name (a glob ``*`` never loads it), with the old file's mode,
owner and extended attributes, and makes sure they are on the disk.  ``commit`` then only swaps two names, which needs
no space; the old file itself stays behind as the sibling, so ``put_back`` needs none either.  ``discard`` removes what
is left over.  All four may be repeated after a crash: they look at what is there, not at what they remember.

Where swapping names would cut a tie - a bind-mounted single file, hard links, an owner that cannot be kept - the file
is written in place.  That is not atomic: ``Pending.in_place`` says why, and the caller keeps a copy of the old bytes.

A name is walked folder by folder without following symlinks that appear after it was resolved, and a symlink that
somebody else could have planted in a folder open to everyone is refused (Linux: Documentation/admin-guide/sysctl/
fs.rst, protected_symlinks).

A symlink that is itself what changes (``Link``) is made, swapped and removed in the same way, under its own name; what
it leads to is not touched.
"""

# ruff: noqa: PTH116, PTH120, PTH123
# (names are bytes relative to open folders here, which pathlib does not know)
from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator

from ws101.errors import ApplyError
from ws101.host.files import os_path, read_fd
from ws101.host.links import Content, link_at, names_link
from ws101.host.resolving import place, refused, resolve
from ws101.lazy import dataclass

__all__ = [
    "Fault",
    "Pending",
    "Rights",
    "commit",
    "discard",
    "holds",
    "mode_of",
    "no_fault",
    "place",
    "prepare",
    "put_back",
    "refused",
    "resolve",
    "write_atomic",
]

Rights = tuple[int, int, int]
"""Permission bits, user and group of a file."""

Fault = Callable[[str], None]
"""Called with a step's name when the step is reached; tests let the world break there."""

_RENAME_EXCHANGE = 2
_FALLOC_FL_KEEP_SIZE = 1
_FS_IOC_GETFLAGS = 0x80086601
_FLAGS = ((0x10, "immutable", "i"), (0x20, "append-only", "a"))
_CONTENT_XATTRS = frozenset({"security.ima", "security.evm"})

_CHANGED = "it was changed by someone else since it was read"
_READ_AGAIN = "nothing of that change was touched; run the command again to see the file as it is now"


@dataclass(frozen=True, slots=True)
class Pending:
    """A change to one file.

    Args:
        path: The file's name as the caller knows it.
        real: The name with symlinks followed, which is what changes.
        sibling: The name, in the same folder, that holds the new bytes before ``commit`` and the old file after it.
        old: What was there before, None if there is no such file.
        new: What is there afterwards, None to remove the file.
        in_place: Why names cannot be swapped; empty if they can.
        rights: Mode, user and group of the file that was there; None where there was none.
    """

    path: str
    real: str
    sibling: str
    old: Content
    new: Content
    in_place: str = ""
    rights: Rights | None = None

    @property
    def is_link(self) -> bool:
        """Whether a symlink is made, changed or removed: then the last part of ``real`` is not followed."""
        return names_link(self.old, self.new)

    @property
    def now(self) -> Content:
        """What is under the name now.

        Raises:
            ApplyError: It cannot be read.
        """
        return _held(self, self.real)


def no_fault(step: str) -> None:
    """The ``Fault`` of ordinary life: nothing happens."""


def write_atomic(path: str, data: bytes | None, *, expected: bytes | None) -> None:
    """Replace, create (``expected`` None) or remove (``data`` None) one file, or change nothing at all.

    Args:
        path: The file; symlinks are written through.
        data: The new bytes.
        expected: The bytes that must be there now.

    Raises:
        ApplyError: It holds something else, or it cannot be written; it is as it was.
    """
    pending = prepare(path, data, expected=expected, tag=f"ws101-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        commit(pending)
    except OSError as error:
        raise refused(error, path) from error
    finally:
        discard(pending)


def prepare(
    path: str,
    data: Content,
    *,
    expected: Content,
    tag: str,
    like: str = "",
    rights: Rights | None = None,
    fault: Fault = no_fault,
) -> Pending:
    """Check that a file may be changed and write its new bytes beside it.

    Args:
        path: The file; symlinks are followed, but not the last part where a symlink itself is made or removed.
        data: The new bytes or symlink, None to remove what is there.
        expected: What must be there now, None if there must be nothing.
        tag: Part of the sibling's name; must be new for this folder.
        like: A file whose mode and owner a new file gets.
        rights: What a new file gets instead, because it is one that was there before.
        fault: Called with ``staged`` when the new bytes are on the disk.

    Raises:
        ApplyError: It holds something else, or it cannot be written; nothing is left behind.
    """
    real = place(path) if names_link(expected, data) else resolve(path)
    folder, name = os.path.split(real)
    pending = Pending(path, real, f"{folder.rstrip('/')}/.{name[:180]}.{tag}", expected, data)
    in_place = ""
    try:
        with _folder(real) as at:
            was = _rights(at, pending)
            if pending.is_link:
                _stage_link(at, pending, rights or _rights_like(like))
            else:
                in_place = _stage_file(at, pending, rights or _rights_like(like))
            if data is not None and not in_place:
                fault("staged")
    except OSError as error:
        discard(pending)
        raise refused(error, path) from error
    except BaseException:
        discard(pending)
        raise
    return Pending(path, real, pending.sibling, expected, data, in_place, was)


def _rights(at: int, pending: Pending) -> Rights | None:
    """Those of the file that is there; None for a symlink and for nothing."""
    try:
        found = os.stat(_leaf(pending.real), dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) if stat.S_ISREG(found.st_mode) else None


def _stage_file(at: int, pending: Pending, rights: Rights | None) -> str:
    """Write the sibling, unless the file is written in place; why it is."""
    with _opened(at, pending.real) as old:
        _check(at, old, pending)
        if not isinstance(pending.new, bytes):
            return ""
        in_place = _why_in_place(old, pending.real) if old is not None else ""
        if not in_place:
            _write_sibling(at, pending, pending.new, old, rights)
        return in_place


def _stage_link(at: int, pending: Pending, rights: Rights | None) -> None:
    """Make the sibling of a change between symlinks, files and nothing."""
    found = _content(at, pending, pending.real)
    if found != pending.old:
        raise ApplyError(_difference(found, pending), where=pending.path, help=_READ_AGAIN)
    if isinstance(found, bytes):
        with _opened(at, pending.real) as old:
            _check(at, old, pending)
    if os_path(pending.real) in _mount_points():
        raise ApplyError("it is a mount point, which no symlink can take the place of", where=pending.path)
    if isinstance(pending.new, bytes):
        _write_sibling(at, pending, pending.new, None, rights)
    elif pending.new is not None:
        os.symlink(os_path(pending.new.target), _leaf(pending.sibling), dir_fd=at)
        if rights is not None:
            with contextlib.suppress(PermissionError):
                os.chown(_leaf(pending.sibling), rights[1], rights[2], dir_fd=at, follow_symlinks=False)


def commit(pending: Pending, fault: Fault = no_fault) -> None:
    """Make the change that ``prepare`` prepared.

    Raises:
        ApplyError: The file is no longer what it was; it is left as it is.
        OSError: The system refused; the file is as it was, or, written in place, put back.
    """
    with _folder(pending.real) as at:
        if pending.in_place:
            _write_in_place(at, pending, fault)
        elif pending.old is None:
            _create(at, pending)
        elif pending.new is None:
            os.rename(_leaf(pending.real), _leaf(pending.sibling), src_dir_fd=at, dst_dir_fd=at)
            _verify_or_undo(at, pending, _move_back)
        else:
            swap = _swap(at, pending, fault)
            _verify_or_undo(at, pending, swap)
        fault("swapped")
        os.fsync(at)


def put_back(pending: Pending, *, torn: bool = False) -> bool:
    """Undo ``commit``, wherever it was interrupted.

    Args:
        pending: The change.
        torn: Whether a half-written file is to be expected, as after a crash while writing in place.

    Returns:
        Whether anything had to be done.

    Raises:
        ApplyError: The file holds neither the old nor the new bytes: someone else's change, which is kept.
    """
    now = pending.now
    if now == pending.old:
        discard(pending)
        return False
    if now != pending.new and not torn:
        raise ApplyError(
            _CHANGED, where=pending.path, help="it was left as it is; the old bytes are in the state folder"
        )
    back = Pending(pending.path, pending.real, pending.sibling, now, pending.old, pending.in_place, pending.rights)
    if not back.in_place and (back.new is None or _held(pending, pending.sibling) != back.new):
        discard(pending)
        tag = pending.sibling.rpartition(".")[2]
        back = prepare(pending.real, pending.old, expected=now, tag=tag, rights=pending.rights)
    try:
        commit(back)
    except OSError as error:
        raise refused(error, pending.path) from error
    discard(back)
    return True


def discard(pending: Pending) -> None:
    """Remove the sibling, if there is one."""
    with contextlib.suppress(OSError, ApplyError), _folder(pending.sibling) as at:
        for name in (_leaf(pending.sibling), _leaf(pending.sibling) + b".old"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)


@contextlib.contextmanager
def _folder(real: str) -> Iterator[int]:
    """The open folder of a resolved name, reached without following any symlink."""
    at = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parts = [part for part in os.path.dirname(os_path(real)).split(b"/") if part]
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            kind = os.O_RDONLY if last else getattr(os, "O_PATH", os.O_RDONLY)
            below = os.open(part, kind | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


@contextlib.contextmanager
def _opened(at: int, real: str) -> Iterator[int | None]:
    """The file itself, open for reading; None if there is none."""
    try:
        fd = os.open(_leaf(real), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def holds(real: str) -> bytes | None:
    """The bytes of a file by its resolved name, None if there is no such file.

    Raises:
        ApplyError: It cannot be read.
    """
    try:
        with _folder(real) as at, _opened(at, real) as fd:
            return None if fd is None else read_fd(fd, real)
    except OSError as error:
        raise refused(error, real) from error


def _content(at: int, pending: Pending, real: str) -> Content:
    """What one of the two names of a change holds, relative to its open folder."""
    found = link_at(_name(real), folder=at) if pending.is_link else None
    if found is not None:
        return found
    with _opened(at, real) as fd:
        return None if fd is None else read_fd(fd, pending.path)


def _held(pending: Pending, real: str) -> Content:
    try:
        with _folder(real) as at:
            return _content(at, pending, real)
    except OSError as error:
        raise refused(error, real) from error


def _difference(found: Content, pending: Pending) -> str:
    return "it is gone" if found is None else "it exists already" if pending.old is None else _CHANGED


def _check(at: int, old: int | None, pending: Pending) -> None:
    """Refuse what must not be written; ``old`` is the open file."""
    path = pending.path
    found = None if old is None else read_fd(old, path)
    if found != pending.old:
        raise ApplyError(_difference(found, pending), where=path, help=_READ_AGAIN)
    if old is None:
        return
    for bit, word, letter in _FLAGS:
        if _inode_flags(old) & bit:
            raise ApplyError(f"the file has the {word} flag", where=path, help=f"chattr -{letter} removes it")
    mode = stat.S_IMODE(os.fstat(old).st_mode)
    if not mode & 0o222:  # also for root, who could: somebody said that it is not to be written
        help_line = "it may be made by another tool: change it there, or chmod u+w"
        raise ApplyError(f"the file is read-only (mode {mode:04o})", where=path, help=help_line)
    os.close(os.open(_leaf(pending.real), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at))


def _inode_flags(fd: int) -> int:
    try:
        return int(struct.unpack("l", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, struct.pack("l", 0)))[0])
    except OSError:  # this file system has no such flags
        return 0


def _why_in_place(fd: int, real: str) -> str:
    found = os.fstat(fd)
    if os_path(real) in _mount_points():
        return "it is a mount point"
    if found.st_nlink > 1:
        return f"it has {found.st_nlink} hard links"
    groups = {os.getegid(), *os.getgroups()}
    if os.geteuid() != 0 and (found.st_uid != os.geteuid() or found.st_gid not in groups):
        return "its owner could not be kept"
    return ""


def _mount_points() -> frozenset[bytes]:
    """Every mount point of this process (proc(5), mountinfo: the fifth field, octal escapes)."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            fields = [line.split()[4] for line in file]
    except OSError:
        return frozenset()
    return frozenset(re.sub(rb"\\([0-7]{3})", lambda found: bytes((int(found[1], 8),)), field) for field in fields)


def _write_sibling(at: int, pending: Pending, data: bytes, old: int | None, rights: Rights | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_leaf(pending.sibling), flags, 0o600, dir_fd=at)
    try:
        _write_all(fd, data, 0)
        if old is not None:
            _copy_attributes(old, fd, pending.path)
        else:
            _new_attributes(fd, rights)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _copy_attributes(old: int, new: int, path: str) -> None:
    """Mode, owner, access lists and security context; whatever cannot be kept is an error, not a surprise."""
    found = os.fstat(old)
    os.fchown(new, found.st_uid, found.st_gid)
    os.fchmod(new, stat.S_IMODE(found.st_mode))
    wanted = _xattrs(old)
    for name, value in wanted.items():
        with contextlib.suppress(OSError):  # compared below: the system may have set it by itself
            os.setxattr(new, name, value)
    for name in _xattrs(new).keys() - wanted.keys():
        with contextlib.suppress(OSError):
            os.removexattr(new, name)
    kept = _xattrs(new)
    lost = [name for name, value in wanted.items() if kept.get(name) != value]
    if lost:
        raise ApplyError(f"the attribute {lost[0]} could not be kept", where=path, help="run it as root")


def _xattrs(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd) if name not in _CONTENT_XATTRS}
    except (OSError, AttributeError):  # none on this file system, or on this system
        return {}


def _new_attributes(fd: int, rights: Rights | None) -> None:
    if rights is not None:
        with contextlib.suppress(PermissionError):
            os.fchown(fd, rights[1], rights[2])
    os.fchmod(fd, rights[0] if rights is not None else mode_of(""))


def _rights_like(path: str) -> Rights | None:
    """What a new file beside this one gets."""
    found = os.stat(os_path(path)) if path else None
    return (mode_of(path), found.st_uid, found.st_gid) if found is not None else None


def mode_of(path: str) -> int:
    """The permission bits that a new file beside this one gets; 0644 if it is not there."""
    try:
        return stat.S_IMODE(os.stat(os_path(path)).st_mode) & 0o666
    except OSError:
        return 0o644


def _create(at: int, pending: Pending) -> None:
    """Give the new file its name; unlike a rename, a link never replaces what someone else put there."""
    sibling, name = _leaf(pending.sibling), _leaf(pending.real)
    try:
        os.link(sibling, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    except FileExistsError:
        raise ApplyError("it exists already", where=pending.path, help=_READ_AGAIN) from None
    os.unlink(sibling, dir_fd=at)


def _swap(at: int, pending: Pending, fault: Fault) -> Callable[[int, Pending], None]:
    """Swap file and sibling; returns how to undo that."""
    sibling, name = _leaf(pending.sibling), _leaf(pending.real)
    try:
        _exchange(at, sibling, name)
        return _exchange_back
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
    keep = sibling + b".old"
    os.link(name, keep, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    fault("linked")
    os.rename(sibling, name, src_dir_fd=at, dst_dir_fd=at)
    os.rename(keep, sibling, src_dir_fd=at, dst_dir_fd=at)
    return _move_back


def _exchange(at: int, one: bytes, other: bytes) -> None:
    """Swap two names in one step (Linux: renameat2(2), RENAME_EXCHANGE)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(at, one, at, other, _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _exchange_back(at: int, pending: Pending) -> None:
    _exchange(at, _leaf(pending.sibling), _leaf(pending.real))


def _move_back(at: int, pending: Pending) -> None:
    os.rename(_leaf(pending.sibling), _leaf(pending.real), src_dir_fd=at, dst_dir_fd=at)


def _verify_or_undo(at: int, pending: Pending, undo: Callable[[int, Pending], None]) -> None:
    """The file that was swapped out must be the one that was read; if it is another one, it gets its name back."""
    if _content(at, pending, pending.sibling) == pending.old:
        return
    undo(at, pending)
    raise ApplyError(_CHANGED, where=pending.path, help=_READ_AGAIN)


def _write_in_place(at: int, pending: Pending, fault: Fault) -> None:
    """In one write, the space for it taken beforehand; what is longer in the old file is covered by empty lines first.

    So after each call to the system the file is one that nginx can read: the old bytes, the new bytes and empty lines,
    the new bytes.
    """
    old, new = pending.old or b"", pending.new
    if not isinstance(old, bytes) or not isinstance(new, bytes):
        raise ApplyError(f"the file cannot be removed: {pending.in_place}", where=pending.path)
    fd = os.open(_leaf(pending.real), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        if read_fd(fd, pending.path) != old:
            raise ApplyError(_CHANGED, where=pending.path, help=_READ_AGAIN)
        try:
            if len(new) > len(old):
                _reserve(fd, len(old), len(new) - len(old))
            fault("reserved")
            _write_all(fd, new.ljust(len(old), b"\n"), 0)
        except OSError:
            _write_all(fd, old, 0)
            os.ftruncate(fd, len(old))
            raise
        fault("overwritten")
        os.ftruncate(fd, len(new))
        os.fsync(fd)
    finally:
        os.close(fd)


def _reserve(fd: int, offset: int, length: int) -> None:
    """Take the space for more bytes without changing the file (Linux: fallocate(2), FALLOC_FL_KEEP_SIZE).

    Where the file system cannot, a full disk is only noticed by the write itself, which is then taken back.
    """
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        return
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if call(fd, _FALLOC_FL_KEEP_SIZE, offset, length) != 0:
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise OSError(number, os.strerror(number))


def _leaf(path: str) -> bytes:
    return os_path(_name(path))


def _name(path: str) -> str:
    return path.rpartition("/")[2]
