"""Our AUFS: options, union rules, and the life and death of the file system process. See also
test_aufs_like_overlayfs.py, which compares what users see with the kernel's overlayfs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces import aufs, aufs_changes
from ch02_namespaces.aufs_branches import Branch, check_layout, parse_branches
from ch02_namespaces.aufs_copyup import copy_up
from ch02_namespaces.aufs_union import Union, split
from ch02_namespaces.errors import EngineError
from tests.support.polling import PATIENCE, eventually
from tests.support.processes import open_files

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
REPO = Path(__file__).resolve().parents[2]
ME = aufs_changes.Owner(os.geteuid(), os.getegid())
NOBODY = 65534


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """A file system that hangs shall fail a test, not the run."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError("the test took too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(4 * PATIENCE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make(base: Path, **files: str | None) -> Path:
    """Fill a directory: path=content, with __ for a slash and None for a directory."""
    base.mkdir(exist_ok=True)
    for name, content in files.items():
        path = base / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)
    return base


def put(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def tree(root: Path) -> list[str]:
    """Every path below a directory, hidden ones too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def fails_with(number: int, action: Callable[[], object]) -> None:
    # Not pytest.raises: what it returns would keep the frames, and the descriptors in them, alive.
    try:
        action()
    except OSError as error:
        assert errno.errorcode[error.errno or 0] == errno.errorcode[number]
        return
    raise AssertionError(f"no {errno.errorcode[number]}")


# ---------------------------------------------------------------- the option string


class TestOptions:
    @pytest.fixture(autouse=True)
    def directories(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "b", "c", "with:colon", "with=equals", "with,comma", "back\\slash", "sp ace"):
            (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("br:a=rw:b=ro:c=ro", "a rw, b ro, c ro"),
            ("br=a=rw:b=rr", "a rw, b rr"),
            ("dirs=a:b:c", "a rw, b ro, c ro"),
            ("dirs:a=ro:b=rw", "a ro, b rw"),
            ("br:a:b=ro+wh:c=rr+wh", "a rw, b ro, c rr"),
            ("br:./a/../b", "b rw"),
            ("ro,br:a=rw:b", "a ro, b ro"),
            ("rw,br:a=rw:b", "a rw, b ro"),
            (r"br:with\:colon=rw:with\=equals=ro:with\,comma", "with:colon rw, with=equals ro, with,comma ro"),
            (r"br:back\\slash=ro:sp ace", "back\\slash ro, sp ace ro"),
            ("br:with=equals=ro", "with=equals ro"),
        ],
    )  # fmt: skip
    def test_read(self, options: str, expected: str) -> None:
        branches = parse_branches(options)
        assert ", ".join(f"{os.path.basename(b.path)} {b.permission}" for b in branches) == expected
        assert all(os.path.isabs(branch.path) for branch in branches)

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ("", "no branch"),
            ("br:", "no branch"),
            ("br", "unknown option 'br'"),
            ("a=rw:b=ro", "unknown option"),
            ("noatime,br:a", "unknown option 'noatime'"),
            ("br:a=rx", "unknown branch permission 'rx'"),
            ("br:a=rw+wh", "unknown branch permission 'rw+wh'"),
            ("br:a=", "unknown branch permission ''"),
            ("br:a:missing", "branch missing does not exist"),
            ("br:a,br:b", "given twice"),
            ("br:=rw", "without a directory"),
            ("br:/etc/passwd=ro", "is not a directory"),
            ("br:a\0b", "NUL"),
        ],
    )
    def test_refused(self, options: str, why: str) -> None:
        with pytest.raises(EngineError, match=r"cannot read the union's options: .*") as caught:
            parse_branches(options)
        assert why in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "target", "why"),
        [
            ("br:a:a", "c", "same directory"),
            ("br:a:a/../a", "c", "same directory"),
            ("br:a:a/in", "c", "overlaps"),
            ("br:a/in:a", "c", "overlaps"),
            ("br:link:a", "c", "same directory"),
            ("br:a:b", "a", "same directory"),
            ("br:a:b", "b/in", "overlaps"),
            ("br:a/in:b", "a", "overlaps"),
            ("br:a=ro:/=ro", "c", "overlaps"),
        ],
    )
    def test_overlap(self, options: str, target: str, why: str) -> None:
        for name in ("a/in", "b/in"):
            os.mkdir(name)
        os.symlink("a", "link")
        with pytest.raises(EngineError, match=why):
            check_layout(parse_branches(options), os.path.realpath(target))

    def test_union_module_needs_no_fuse(self) -> None:
        script = "import sys, ch02_namespaces.aufs_changes, ch02_namespaces.aufs; print('mfusepy' in sys.modules)"
        command = [sys.executable, "-c", script]
        result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=PATIENCE)
        assert result.stdout == "False\n", result.stderr


# ---------------------------------------------------------------- the union rules, without FUSE


@pytest.fixture
def low(tmp_path: Path) -> Path:
    return make(tmp_path / "low", file="low", dir__a="low a", dir__b="low b", other__x="x", under="u")


@pytest.fixture
def up(tmp_path: Path) -> Path:
    return make(tmp_path / "up")


@pytest.fixture
def unite() -> Iterator[Callable[..., Union]]:
    """Make unions of pairs of directory and permission."""
    unions = []

    def make_union(*branches: tuple[Path, str]) -> Union:
        unions.append(Union([Branch(str(path), permission) for path, permission in branches]))
        return unions[-1]

    yield make_union
    for union in unions:
        union.close()


@pytest.fixture
def union(unite: Callable[..., Union], up: Path, low: Path) -> Union:
    return unite((up, "rw"), (low, "ro"))


def names(union: Union, path: str = "/") -> list[str]:
    return sorted(name for name, _, _ in union.listing(union.directory(path)))


class TestUnion:
    def test_the_topmost_branch_wins(self, union: Union, up: Path) -> None:
        assert union.lookup("/file").branch == 1
        put(up / "file", "up")
        assert union.lookup("/file").branch == 0

    def test_directories_merge_without_duplicates(self, union: Union, up: Path) -> None:
        make(up, dir__a="up a", dir__c="up c")
        assert names(union, "/dir") == ["a", "b", "c"]
        assert [union.lookup(f"/dir/{name}").branch for name in "abc"] == [0, 1, 0]

    def test_a_whiteout_hides_lower_branches_only(self, union: Union, up: Path) -> None:
        put(up / ".wh.file")
        put(up / ".wh.dir")
        assert names(union) == ["other", "under"]
        fails_with(errno.ENOENT, lambda: union.lookup("/file"))
        fails_with(errno.ENOENT, lambda: union.lookup("/dir/a"))
        put(up / "file", "beside its whiteout")
        assert union.lookup("/file").branch == 0
        assert "file" in names(union)

    def test_a_directory_beside_its_whiteout_is_opaque(self, union: Union, up: Path) -> None:
        put(up / ".wh.dir")
        make(up, dir__mine="m")
        assert names(union, "/dir") == ["mine"]

    def test_an_opaque_directory_hides_lower_ones(self, union: Union, up: Path) -> None:
        put(up / "dir" / ".wh..wh..opq")
        assert names(union, "/dir") == []
        fails_with(errno.ENOENT, lambda: union.lookup("/dir/a"))

    def test_what_is_no_directory_hides_everything_below(self, union: Union, up: Path) -> None:
        (up / "dir").symlink_to("other")
        put(up / "other", "a file")
        assert stat.S_ISLNK(union.lookup("/dir").stat.st_mode)
        fails_with(errno.ENOTDIR, lambda: union.lookup("/dir/a"))
        fails_with(errno.ENOTDIR, lambda: union.lookup("/other/x"))

    def test_links_out_of_a_branch_are_not_followed(self, union: Union, up: Path, tmp_path: Path) -> None:
        make(tmp_path / "outside", secret="s")
        (up / "out").symlink_to(tmp_path / "outside")
        fails_with(errno.ENOTDIR, lambda: union.lookup("/out/secret"))
        fails_with(errno.ENOTDIR, lambda: aufs_changes.mkdir(union, "/out/new", 0o755, ME))
        fails_with(errno.EEXIST, lambda: os.close(aufs_changes.create(union, "/out", 0o644, os.O_WRONLY, ME)))
        assert tree(tmp_path / "outside") == ["secret"]

    @pytest.mark.parametrize("name", [".wh.", ".wh.x", ".wh..wh..opq", ".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh.orph"])
    def test_reserved_names(self, union: Union, up: Path, name: str) -> None:
        put(up / name)
        assert name not in names(union)
        fails_with(errno.EPERM, lambda: split(f"/dir/{name}"))
        fails_with(errno.EPERM, lambda: union.lookup(f"/{name}"))
        fails_with(errno.EPERM, lambda: aufs_changes.mkdir(union, f"/{name}", 0o755, ME))
        fails_with(errno.EPERM, lambda: aufs_changes.rename(union, "/file", f"/{name}"))
        fails_with(errno.EPERM, lambda: union.lookup(f"/{name}/x"))

    def test_copy_up_takes_everything_along(self, union: Union, up: Path, low: Path) -> None:
        (low / "dir").chmod(0o710)
        (low / "dir/a").chmod(0o604)
        os.setxattr(low / "dir/a", "user.x", b"y")
        os.utime(low / "dir/a", ns=(1, 2))
        os.utime(low / "dir", ns=(3, 4))
        before = union.lookup("/dir/a")
        after = copy_up(union, "/dir/a")
        assert (before.branch, after.branch) == (1, 0)
        assert tree(up) == ["dir", "dir/a"]
        copy = up / "dir/a"
        assert copy.read_text() == "low a"
        assert os.getxattr(copy, "user.x") == b"y"
        assert (stat.S_IMODE(copy.stat().st_mode), copy.stat().st_mtime_ns) == (0o604, 2)
        assert (stat.S_IMODE((up / "dir").stat().st_mode), (up / "dir").stat().st_mtime_ns) == (0o710, 4)
        numbers = [union.number(e.stat.st_dev, e.stat.st_ino) for e in (before, after)]
        assert numbers[0] == numbers[1]

    def test_copy_up_that_fails_leaves_nothing(self, union: Union, up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_space(*arguments: object) -> int:
            raise OSError(errno.ENOSPC, "no space")

        with monkeypatch.context() as patch:
            patch.setattr(os, "sendfile", no_space)
            fails_with(errno.ENOSPC, lambda: copy_up(union, "/file"))
        assert union.lookup("/file").branch == 1
        assert names(union) == ["dir", "file", "other", "under"]
        copy_up(union, "/file")
        assert (up / "file").read_text() == "low"
        assert tree(up) == ["file"]

    def test_copy_up_keeps_holes(self, union: Union, up: Path, low: Path) -> None:
        with (low / "file").open("wb") as file:
            for at in (0, 8 << 20, 20 << 20):
                file.seek(at)
                file.write(b"data")
            file.truncate(64 << 20)
        copy_up(union, "/file")
        assert (up / "file").read_bytes() == (low / "file").read_bytes()
        assert (up / "file").stat().st_blocks * 512 < 1 << 20

    def test_what_is_left_in_a_branch(self, union: Union, up: Path) -> None:
        """The exact whiteouts and markers, as other tools (docker, image layers) expect them."""
        aufs_changes.unlink(union, "/file")
        assert tree(up) == [".wh.file"]
        os.close(aufs_changes.create(union, "/file", 0o644, os.O_WRONLY, ME))
        assert tree(up) == ["file"]
        aufs_changes.unlink(union, "/file")
        assert tree(up) == [".wh.file"]
        aufs_changes.unlink(union, "/dir/a")
        assert tree(up) == [".wh.file", "dir", "dir/.wh.a"]
        fails_with(errno.ENOTEMPTY, lambda: aufs_changes.rmdir(union, "/dir"))
        aufs_changes.unlink(union, "/dir/b")
        aufs_changes.rmdir(union, "/dir")
        assert tree(up) == [".wh.dir", ".wh.file"]
        aufs_changes.mkdir(union, "/dir", 0o755, ME)
        assert tree(up) == [".wh.file", "dir", "dir/.wh..wh..opq"]
        aufs_changes.rename(union, "/dir", "/other2")
        assert tree(up) == [".wh.dir", ".wh.file", "other2", "other2/.wh..wh..opq"]

    def test_leftovers_of_a_crash_do_no_harm(self, union: Union, up: Path) -> None:
        put(up / ".wh..wh.new" / ".wh.x")
        copy_up(union, "/file")
        aufs_changes.mkdir(union, "/new", 0o755, ME)
        assert tree(up) == ["file", "new"]

    def test_very_deep_paths(self, union: Union, low: Path, up: Path) -> None:
        """Deeper than PATH_MAX and than Python's recursion limit."""
        path = "/dddd" * 1500
        here = os.open(low, os.O_PATH)
        try:
            for _ in range(1500):
                os.mkdir("dddd", dir_fd=here)
                below = os.open("dddd", os.O_PATH, dir_fd=here)
                os.close(here)
                here = below
            os.close(here)
            os.close(aufs_changes.create(union, f"{path}/f", 0o600, os.O_WRONLY, ME))
            assert union.lookup(f"{path}/f").branch == 0
        finally:  # pytest's own removal recurses
            subprocess.run(["rm", "-rf", low / "dddd", up / "dddd"], check=True, timeout=PATIENCE)


class TestSeveralWritableBranches:
    def test_top_down_parent(self, tmp_path: Path, unite: Callable[..., Union]) -> None:
        top, middle, low = (make(tmp_path / name) for name in ("top", "middle", "low"))
        make(middle, there=None)
        make(low, there=None, elsewhere=None)
        union = unite((top, "rw"), (middle, "rw"), (low, "ro"))
        aufs_changes.mkdir(union, "/there/new", 0o755, ME)
        aufs_changes.mkdir(union, "/elsewhere/new", 0o755, ME)
        assert (tree(top), tree(middle)) == (["elsewhere", "elsewhere/new"], ["there", "there/new"])

    def test_in_place_and_across(self, tmp_path: Path, unite: Callable[..., Union]) -> None:
        top, middle, low = (make(tmp_path / name) for name in ("top", "middle", "low"))
        make(top, t="t")
        make(middle, m="m", both="middle")
        make(low, both="low", m="low")
        union = unite((top, "rw"), (middle, "rw"), (low, "ro"))
        assert copy_up(union, "/m").branch == 1
        fails_with(errno.EXDEV, lambda: aufs_changes.rename(union, "/m", "/t"))
        aufs_changes.unlink(union, "/m")
        assert tree(middle) == [".wh.m", "both"]
        fails_with(errno.ENOENT, lambda: union.lookup("/m"))
        os.close(aufs_changes.create(union, "/m", 0o644, os.O_WRONLY, ME))
        assert union.lookup("/m").branch == 0

    def test_a_writable_branch_under_a_read_only_one(self, tmp_path: Path, unite: Callable[..., Union]) -> None:
        top, low = make(tmp_path / "top", d__x="x"), make(tmp_path / "low", d__y="y", z="z")
        union = unite((top, "ro"), (low, "rw"))
        fails_with(errno.EROFS, lambda: copy_up(union, "/d/x"))
        fails_with(errno.EROFS, lambda: aufs_changes.unlink(union, "/d/x"))
        aufs_changes.unlink(union, "/d/y")
        os.close(aufs_changes.create(union, "/d/new", 0o644, os.O_WRONLY, ME))
        assert (tree(top), tree(low)) == (["d", "d/x"], ["d", "d/new", "z"])
        put(top / ".wh.z")
        fails_with(errno.EROFS, lambda: os.close(aufs_changes.create(union, "/z", 0o644, os.O_WRONLY, ME)))

    def test_numbers_of_other_file_systems_do_not_collide(self, tmp_path: Path, union: Union) -> None:
        assert union.number(1, 77) != union.number(2, 77)
        assert union.number(1, 77) == union.number(1, 77)


# ---------------------------------------------------------------- mounted


class Mounted:
    """A union of up, mid (read only) and low (read only), mounted at root."""

    def __init__(self, base: Path) -> None:
        self.up = make(base / "up")
        self.mid = make(base / "mid", dir__m="mid m", dir__a="mid a")
        self.low = make(base / "low", file="low\n", dir__a="low a", dir__b="low b", gone="g", empty=None)
        put(self.mid / ".wh.gone")
        self.root = make(base / "merged")
        self.guardian = 0
        self.pidfds: list[int] = []

    @property
    def options(self) -> str:
        return f"br:{self.up}=rw:{self.mid}=ro:{self.low}=ro"

    def mount(self) -> None:
        self.guardian = aufs.mount(self.options, str(self.root))
        self.pidfds += [os.pidfd_open(pid) for pid in self.processes]

    @property
    def processes(self) -> list[int]:
        """The guardian and its file system process."""
        children = Path(f"/proc/{self.guardian}/task/{self.guardian}/children").read_text()
        return [self.guardian, *map(int, children.split())]

    @property
    def is_mounted(self) -> bool:
        return mount_line(self.root) is not None

    def has_ended(self) -> bool:
        """Wait until all processes have ended."""
        deadline = time.monotonic() + PATIENCE
        return all(select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0] for fd in self.pidfds)

    def clean_up(self) -> bool:
        """Unmount, and kill what is left then; whether nothing was."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.root)], check=False, timeout=PATIENCE)
        nothing_left = self.has_ended()
        for pidfd in self.pidfds:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        return nothing_left


def mount_line(target: Path) -> str | None:
    lines = Path("/proc/mounts").read_text().splitlines()
    return next((line for line in lines if line.split()[1] == str(target)), None)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    system = Mounted(tmp_path)
    before = {path: path.read_bytes() for path in (*system.low.rglob("*"), *system.mid.rglob("*")) if path.is_file()}
    system.mount()
    try:
        yield system
        after = {path: path.read_bytes() for path in (*system.low.rglob("*"), *system.mid.rglob("*")) if path.is_file()}
        assert after == before, "a lower branch was changed"
    finally:
        gone = system.clean_up()
    assert gone, "a process was left after the unmount"


@needs_root
class TestMounted:
    @pytest.mark.vm
    def test_what_proc_mounts_says(self, mounted: Mounted) -> None:
        line = mount_line(mounted.root) or ""
        source, _, kind, options, *_ = line.split()
        assert (source, kind) == (f"aufs:{mounted.guardian}", "fuse.aufs")
        assert {"default_permissions", "allow_other", "rw"} <= set(options.split(","))
        assert not {"nosuid", "nodev", "ro"} & set(options.split(","))

    def test_the_processes_hold_nothing_of_the_caller(self, mounted: Mounted) -> None:
        assert len(mounted.processes) == 2
        mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)}
        for pid in mounted.processes:
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            assert os.getsid(pid) != os.getsid(0)
            held = set(open_files(pid))
            assert held and not (mine - {"/dev/null"}) & held
            allowed = ("/dev/null", "/dev/fuse", str(mounted.up), str(mounted.mid), str(mounted.low))
            assert all(target.startswith(allowed) for target in held), held
        assert len(os.listdir(f"/proc/{mounted.processes[1]}/task")) == 1

    def test_names_of_the_union_are_refused(self, mounted: Mounted) -> None:
        for action in (Path.touch, Path.mkdir, Path.unlink, Path.stat, lambda p: p.symlink_to("x")):
            fails_with(errno.EPERM, lambda act=action: act(mounted.root / ".wh.file"))  # type: ignore[misc]
        fails_with(errno.EPERM, lambda: os.rename(mounted.root / "file", mounted.root / ".wh.x"))
        assert sorted(os.listdir(mounted.root)) == ["dir", "empty", "file"]

    @pytest.mark.vm
    def test_open_files_outlive_their_name(self, mounted: Mounted) -> None:
        path = mounted.root / "new"
        with path.open("w+b", buffering=0) as file:
            file.write(b"before")
            number = os.fstat(file.fileno()).st_ino
            path.unlink()
            assert os.listdir(mounted.root / "empty") == []
            file.write(b" after")
            assert os.pread(file.fileno(), 100, 0) == b"before after"
            status = os.fstat(file.fileno())
            assert (status.st_size, status.st_nlink, status.st_ino) == (12, 0, number)
            os.fchmod(file.fileno(), 0o600)
            os.ftruncate(file.fileno(), 3)
            os.setxattr(file.fileno(), "user.x", b"y")
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
            with open(f"/proc/self/fd/{file.fileno()}", "rb") as again:
                assert again.read() == b"bef"
            assert "new" not in os.listdir(mounted.root)
        assert tree(mounted.up) == []

    def test_open_lower_files_outlive_their_name(self, mounted: Mounted) -> None:
        with (mounted.root / "file").open("rb", buffering=0) as file:
            (mounted.root / "file").unlink()
            assert file.read() == b"low\n"
            assert os.fstat(file.fileno()).st_size == 4
            fails_with(errno.EROFS, lambda: os.fchmod(file.fileno(), 0o600))
        assert tree(mounted.up) == [".wh.file"]

    def test_a_directory_with_removed_open_files_can_be_removed(self, mounted: Mounted) -> None:
        (mounted.root / "d").mkdir()
        with (mounted.root / "d/f").open("w+b", buffering=0) as file:
            shutil.rmtree(mounted.root / "d")
            file.write(b"still here")
            assert os.pread(file.fileno(), 100, 0) == b"still here"
        eventually(lambda: tree(mounted.up) == [], "the end of the file, of which the kernel tells later")
        system = mounted.processes[1]
        eventually(lambda: not [name for name in open_files(system) if "deleted" in name], "that it is let go")

    def test_hidden_names_of_libfuse_lose_nobody_a_file(self, mounted: Mounted) -> None:
        hidden = mounted.root / ".fuse_hidden0123456789abcdef"
        fails_with(errno.EPERM, lambda: os.rename(mounted.root / "file", hidden))
        assert (mounted.root / "file").read_text() == "low\n"

    def test_replaced_while_open(self, mounted: Mounted) -> None:
        with (mounted.root / "file").open("rb", buffering=0) as old:
            (mounted.root / "new").write_text("new")
            (mounted.root / "new").rename(mounted.root / "file")
            assert old.read() == b"low\n"
        assert (mounted.root / "file").read_text() == "new"

    def test_readers_see_what_is_written_after_copy_up(self, mounted: Mounted) -> None:
        with (mounted.root / "file").open("rb", buffering=0) as reader:
            number = os.fstat(reader.fileno()).st_ino
            assert reader.read(1) == b"l"
            with (mounted.root / "file").open("ab", buffering=0) as writer:
                writer.write(b"appended\n")
            assert reader.read() == b"ow\nappended\n"
            assert os.fstat(reader.fileno()).st_ino == number == (mounted.root / "file").stat().st_ino

    def test_appending_by_two(self, mounted: Mounted) -> None:
        with (
            (mounted.root / "log").open("ab", buffering=0) as one,
            (mounted.root / "log").open("ab", buffering=0) as two,
        ):
            for i in range(50):
                one.write(b"one %d\n" % i)
                two.write(b"two %d\n" % i)
        assert len((mounted.root / "log").read_text().splitlines()) == 100

    def test_mmap(self, mounted: Mounted) -> None:
        with (mounted.root / "mapped").open("w+b") as file:
            file.truncate(3 * mmap.PAGESIZE)
            with mmap.mmap(file.fileno(), 0) as memory:
                memory[mmap.PAGESIZE : mmap.PAGESIZE + 5] = b"hello"
                memory.flush()
        assert (mounted.up / "mapped").read_bytes()[mmap.PAGESIZE :][:5] == b"hello"
        with (mounted.root / "file").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[0:1] = b"L"
        assert (mounted.root / "file").read_text() == "Low\n"
        appending = os.open(mounted.root / "file", os.O_RDWR | os.O_APPEND)
        with mmap.mmap(appending, 0) as memory:
            memory[1:2] = b"O"
            memory.flush()
        os.close(appending)
        assert (mounted.root / "file").read_text() == "LOw\n"

    def test_locks(self, mounted: Mounted) -> None:
        with (mounted.root / "file").open("r+b") as one, (mounted.root / "file").open("r+b") as two:
            fcntl.flock(one, fcntl.LOCK_EX)
            fails_with(errno.EWOULDBLOCK, lambda: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB))
            fcntl.flock(one, fcntl.LOCK_UN)
            fcntl.lockf(one, fcntl.LOCK_EX)

    def test_statfs_and_fsync(self, mounted: Mounted) -> None:
        assert os.statvfs(mounted.root).f_blocks == os.statvfs(mounted.up).f_blocks
        for path, flags in (("file", os.O_RDWR), ("dir", os.O_RDONLY)):
            descriptor = os.open(mounted.root / path, flags)
            os.fsync(descriptor)
            os.close(descriptor)

    def test_holes_are_found(self, mounted: Mounted) -> None:
        with (mounted.root / "sparse").open("w+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"data", 1 << 20)
            assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 1 << 20
            fails_with(errno.ENXIO, lambda: os.lseek(file.fileno(), 2 << 20, os.SEEK_DATA))

    def test_big_directory(self, mounted: Mounted) -> None:
        big = mounted.root / "big"
        big.mkdir()
        for i in range(1500):
            os.mknod(big / f"file with a rather long name {i}")
        with os.scandir(big) as items:
            seen = []
            for item in items:  # remove while reading, as rm -rf does
                seen.append(item.name)
                os.unlink(item.path)
        assert len(seen) == len(set(seen)) == 1500
        assert os.listdir(big) == []
        big.rmdir()
        assert tree(mounted.up) == []

    def test_listing_agrees_with_stat(self, mounted: Mounted) -> None:
        (mounted.root / "file").chmod(0o600)
        (mounted.root / "pipe").unlink(missing_ok=True)
        os.mkfifo(mounted.root / "pipe")
        for item in os.scandir(mounted.root):
            assert item.inode() == os.lstat(item.path).st_ino
            assert item.is_dir() == os.path.isdir(item.path)

    @pytest.mark.vm
    def test_a_program_runs_from_it(self, mounted: Mounted) -> None:
        shutil.copy("/bin/sh", mounted.root / "shell")
        shutil.copy("/bin/sh", mounted.root / "running")
        command = [str(mounted.root / "running"), "-c", "read line; echo $line"]
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            fails_with(errno.ETXTBSY, lambda: (mounted.root / "running").write_text("x"))
            (mounted.root / "running").unlink()
            assert running.communicate("hello\n", timeout=PATIENCE)[0] == "hello\n"
        finally:
            running.kill()
            running.wait(timeout=PATIENCE)
        command = [str(mounted.root / "shell"), "-c", "echo $((6*7))"]
        result = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        assert result.stdout == b"42\n"

    @pytest.mark.vm
    def test_set_user_id_programs_work(self, mounted: Mounted) -> None:
        shutil.copy("/usr/bin/id", mounted.root / "id")
        (mounted.root / "id").chmod(0o4755)
        os.chmod(mounted.root.parent, 0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(mounted.root / "id"), "-u"]
        entered = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=mounted.root)
        if "Permission denied" in entered.stderr:
            pytest.skip("nobody cannot reach the temporary directory")
        assert entered.stdout == "0\n", entered.stderr

    def test_hard_to_write_names(self, mounted: Mounted) -> None:
        odd = [b"\xff\xfe\x80", b"new\nline", b"tab\t", b" ", b"-rf", b"*", b"\\", b"'\"", "日本".encode(), b"a" * 255]
        for name in odd:
            path = os.path.join(os.fsencode(mounted.root), name)
            os.mkdir(path)
            os.rename(path, path[:-1] + b"Z")
            os.rename(path[:-1] + b"Z", path)
        assert sorted(os.listdir(os.fsencode(mounted.up))) == sorted(odd)
        assert set(odd) < set(os.listdir(os.fsencode(mounted.root)))

    def test_concurrent_users(self, mounted: Mounted) -> None:
        script = (
            "import os, sys; me = sys.argv[1]\n"
            "for i in range(150):\n"
            "    open(f'{me}-{i}', 'w').write(me * 3000)\n"
            "    open('dir/common', 'a').write(f'{me}\\n')\n"
            "    assert open(f'{me}-{i}').read() == me * 3000\n"
            "    os.listdir('.'); os.rename(f'{me}-{i}', f'dir/{me}-{i}')\n"
            "    if i % 2: os.unlink(f'dir/{me}-{i}')\n"
        )
        command = [sys.executable, "-c", script]
        workers = [subprocess.Popen([*command, name], cwd=mounted.root) for name in "abcd"]
        try:
            assert [worker.wait(timeout=2 * PATIENCE) for worker in workers] == [0, 0, 0, 0]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert len(os.listdir(mounted.root / "dir")) == 4 * 75 + 4
        assert sorted((mounted.root / "dir/common").read_text().split()) == sorted("abcd" * 150)

    def test_rm_rf_in_a_chroot_leaves_the_image_alone(self, mounted: Mounted) -> None:
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("needs busybox-static")
        (mounted.root / "bin").mkdir()
        shutil.copy(busybox, mounted.root / "bin/busybox")
        script = "cd / && /bin/busybox rm -rf * ; echo left: *"
        command = ["chroot", str(mounted.root), "/bin/busybox", "sh", "-c", script]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert result.stdout == "left: *\n", result.stderr
        assert os.listdir(mounted.root) == []
        assert tree(mounted.up) == [".wh.dir", ".wh.empty", ".wh.file"]

    def test_a_hand_made_change_in_a_branch_shows_within_a_second(self, mounted: Mounted) -> None:
        assert (mounted.root / "file").read_text() == "low\n"
        (mounted.up / "file").write_text("by hand")
        time.sleep(1.1)
        assert (mounted.root / "file").read_text() == "by hand"

    def test_all_branches_read_only(self, tmp_path: Path) -> None:
        low, root = make(tmp_path / "low", f="f"), make(tmp_path / "m")
        aufs.mount(f"br:{low}=ro", str(root))
        try:
            assert (root / "f").read_text() == "f"
            for action in (Path.unlink, lambda p: p.write_text("x"), lambda p: p.chmod(0o600)):
                fails_with(errno.EROFS, lambda act=action: act(root / "f"))  # type: ignore[misc]
            fails_with(errno.EROFS, lambda: (root / "new").mkdir())
        finally:
            aufs.unmount(str(root))

    def test_odd_paths(self, tmp_path: Path) -> None:
        odd = make(tmp_path / "a: b=c,d\\e\tf", f="f")
        root = make(tmp_path / "mount, point\\ \t日")
        aufs.mount("br:" + "".join(f"\\{c}" if c in ":=,\\" else c for c in str(odd)), str(root))
        try:
            assert (root / "f").read_text() == "f"
        finally:
            aufs.unmount(str(root))
        assert os.listdir(root) == []


# ---------------------------------------------------------------- life and death


@needs_root
class TestDeath:
    @pytest.mark.parametrize("victim", ["guardian", "file system"])
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
    def test_killed(self, mounted: Mounted, victim: str, number: int) -> None:
        signal.pidfd_send_signal(mounted.pidfds[0 if victim == "guardian" else 1], number)
        assert mounted.has_ended()
        assert not mounted.is_mounted
        assert os.listdir(mounted.root) == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_killed_while_in_use(self, mounted: Mounted, number: int) -> None:
        file = os.open(mounted.root / "new", os.O_CREAT | os.O_RDWR)
        try:
            signal.pidfd_send_signal(mounted.pidfds[1], number)
            assert mounted.has_ended()
            assert not mounted.is_mounted
            fails_with(errno.ENOTCONN, lambda: os.fsync(file))
        finally:
            with contextlib.suppress(OSError):
                os.close(file)

    @pytest.mark.vm
    def test_umount_ends_it(self, mounted: Mounted) -> None:
        subprocess.run(["umount", str(mounted.root)], check=True, timeout=PATIENCE)
        assert mounted.has_ended()

    def test_unmount_says_when_it_is_busy(self, mounted: Mounted) -> None:
        with (mounted.root / "file").open(), pytest.raises(EngineError, match="EBUSY"):
            aufs.unmount(str(mounted.root))
        aufs.unmount(str(mounted.root))
        assert not mounted.is_mounted
        with pytest.raises(EngineError, match="no union is mounted there"):
            aufs.unmount(str(mounted.root))

    def test_nothing_is_lost(self, mounted: Mounted) -> None:
        (mounted.root / "kept").write_text("kept")
        os.kill(mounted.processes[1], signal.SIGKILL)
        eventually(lambda: not mounted.is_mounted, "the end of the mount")
        mounted.mount()
        assert (mounted.root / "kept").read_text() == "kept"
        aufs.unmount(str(mounted.root))

    def test_mounting_leaves_no_zombie_and_no_descriptor(self, mounted: Mounted) -> None:
        before = os.listdir("/proc/self/fd")
        aufs.unmount(str(mounted.root))
        aufs.mount(mounted.options, str(mounted.root))
        aufs.unmount(str(mounted.root))
        assert os.listdir("/proc/self/fd") == before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def run_command(*arguments: str, cwd: Path = REPO, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ch02_namespaces.aufs", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPO), **more}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE)


@needs_root
class TestCommand:
    def test_background(self, tmp_path: Path) -> None:
        make(tmp_path / "low", f="f")
        for name in ("up", "m"):
            (tmp_path / name).mkdir()
        result = run_command("-o", "br:up=rw:low=ro", "m", cwd=tmp_path)
        try:
            assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
            assert (tmp_path / "m/f").read_text() == "f"
        finally:
            aufs.unmount(str(tmp_path / "m"))

    def test_foreground(self, tmp_path: Path) -> None:
        make(tmp_path / "low", f="f")
        (tmp_path / "m").mkdir()
        command = [sys.executable, "-m", "ch02_namespaces.aufs", "-f", "-o", f"br:{tmp_path}/low", f"{tmp_path}/m"]
        with subprocess.Popen(command, cwd=REPO) as process:
            try:
                eventually(lambda: mount_line(tmp_path / "m"), "the mount")
                assert (tmp_path / "m/f").read_text() == "f"
                process.terminate()
                assert process.wait(timeout=PATIENCE) == 0
            finally:
                process.kill()
        assert mount_line(tmp_path / "m") is None

    @pytest.mark.parametrize(
        ("options", "target", "why"),
        [
            ("br:low=rx", "m", "unknown branch permission 'rx'"),
            ("br:nowhere", "m", "branch nowhere does not exist"),
            ("br:low", "nowhere", "cannot mount a union at nowhere: No such file or directory (create it first"),
            ("br:low", "low/f", "is not a directory"),
            ("br:low", "low", "same directory"),
        ],
    )
    def test_one_line_says_what_is_wrong(self, tmp_path: Path, options: str, target: str, why: str) -> None:
        make(tmp_path / "low", f="f")
        (tmp_path / "m").mkdir()
        for flags in ([], ["-f"]):
            result = run_command(*flags, "-o", options, target, cwd=tmp_path)
            assert result.returncode == 125
            assert result.stderr.startswith("mydocker: ")
            assert result.stderr.count("\n") == 1
            assert why in result.stderr

    def test_libfuse_that_cannot_mount(self, tmp_path: Path) -> None:
        """In a mount namespace without /dev/fuse; libfuse's own message must end up in our line."""
        make(tmp_path / "low", f="f")
        (tmp_path / "m").mkdir()
        program = f"{sys.executable} -m ch02_namespaces.aufs -o br:{tmp_path}/low {tmp_path}/m"
        script = f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && cd {REPO} && {program}"
        command = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 125
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"mydocker: cannot mount a union at {tmp_path}/m: ")
        assert "device not found" in result.stderr

    def test_library_that_is_missing(self, tmp_path: Path) -> None:
        make(tmp_path / "low", f="f")
        (tmp_path / "m").mkdir()
        result = run_command("-o", "br:low", "m", cwd=tmp_path, FUSE_LIBRARY_PATH="libnothing.so")
        assert (result.returncode, result.stderr.count("\n")) == (125, 1)
        assert "libnothing.so" in result.stderr

    def test_an_ordinary_user(self, tmp_path: Path) -> None:
        base = Path(f"/tmp/aufs-test-{os.getpid()}")
        for name in ("up", "low", "m"):
            (base / name).mkdir(parents=True)
            os.chown(base / name, NOBODY, NOBODY)
        put(base / "low/f", "f")
        os.chown(base / "low/f", NOBODY, NOBODY)
        os.mknod(base / "fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
        # Some machines keep /dev/fuse for root; here, in a mount namespace of its own, everybody may use it.
        share = f'chmod 666 {base}/fuse && mount --bind {base}/fuse /dev/fuse && exec "$@"'
        as_nobody = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", share, "sh"]
        as_nobody += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        script = (
            "import os, sys; from ch02_namespaces import aufs\n"
            f"aufs.mount('br:{base}/up=rw:{base}/low=ro', '{base}/m')\n"
            f"try:\n    open('{base}/m/f', 'a').write('+'); os.mkdir('{base}/m/d'); print(open('{base}/m/f').read())\n"
            f"finally:\n    aufs.unmount('{base}/m')\n"
        )
        environment = {"PYTHONPATH": str(REPO), "PATH": os.environ["PATH"]}
        probe = [*as_nobody, sys.executable, "-c", "import argparse, mfusepy"]
        if subprocess.run(probe, env=environment, cwd="/", capture_output=True, timeout=PATIENCE).returncode:
            shutil.rmtree(base)
            pytest.skip("nobody cannot run this Python here")
        command = [*as_nobody, sys.executable, "-c", script]
        try:
            result = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=PATIENCE)
            assert (result.stdout, result.stderr) == ("f+\n", "")
            assert tree(base / "up") == ["d", "f"]
        finally:
            if mount_line(base / "m"):
                subprocess.run(["umount", "-l", str(base / "m")], check=False, timeout=PATIENCE)
            shutil.rmtree(base)
