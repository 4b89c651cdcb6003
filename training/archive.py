"""The files of a folder or a zip, class by class, from people who may mean harm. No torch here: the app waits for this.

A zip is never unpacked to disk: its members are read one by one into memory, after all their names, sizes and kinds have
been looked at.
"""

import contextlib
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.decode import MAX_BYTES as MAX_FILE
from models.errors import InklingError

MAX_ZIP = 100 * 2**20  # bytes; .streamlit/config.toml lets no larger upload in
MAX_FILES = 60_000
MAX_UNPACKED = 2 * 2**30  # bytes of all members together
MAX_RATIO, FREE_OF_RATIO = 100, 2**20  # pictures hardly shrink; a small member may be anything
PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what every program writes; others can take any amount of memory
MEMBER = b"PK\x01\x02"
CHUNK = 2**20  # bytes
LONGEST_LABEL = 60
DEEPEST = 3  # folders that are looked into below the one given
HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")

# Controls, marks that turn the direction of writing about, and what is no character; not the two that join letters, in Persian and in emoji.
UNSHOWN, JOINERS = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"), "\u200c\u200d"
FIX = "pack one folder for each class, with the pictures right in it"


class SourceError(InklingError):
    """A folder or zip cannot be used. The message names the file, the limit or fault, and the fix."""


class UnreadableFile(InklingError):
    """One file of a source cannot be read; the others can. The message says why."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a source. name: for people; label: its class; read: gives its bytes or raises UnreadableFile."""

    name: str
    label: str
    read: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a folder or zip holds. files: by class, then name; strays: files that lie in no class folder."""

    files: tuple[File, ...]
    strays: tuple[str, ...]


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The files of a folder or zip, readable inside the with block. Raises SourceError."""
    if path.is_dir():
        yield _by_class(_walk(path))
        return
    try:
        if path.stat().st_size > MAX_ZIP:
            raise SourceError(
                f"the zip has {path.stat().st_size / 2**20:.0f} MB, more than the {MAX_ZIP // 2**20} MB allowed for a zip; "
                "save the pictures smaller, or give the folder itself on the command line"
            )
        _demand_few(
            _most_members(path)
        )  # zipfile takes in the whole list before it can be asked: 2 million would take half a minute and 2 GB
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise SourceError(f"the file is no zip that can be read, nor a folder ({error}); {FIX}") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); check its name and rights") from None
    with archive:
        yield _by_class(_members(archive))


def _most_members(path: Path) -> int:
    """How many members a zip has at most: each begins with the same four bytes in its list (APPNOTE.TXT 4.3.12), and what is packed
    has them by chance once in four billion."""
    count, end = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            count += (end + chunk).count(MEMBER)
            end = chunk[1 - len(MEMBER) :]
    return count


def _demand_few(members: int) -> None:
    if members > MAX_FILES:
        raise SourceError(f"the zip holds {members:,} members, more than the {MAX_FILES:,} allowed; pack fewer pictures")


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, tuple[str, ...], Callable[[], bytes]]]:
    """Name, path and reader of every file in a zip that is not hidden. Every member is checked before the first is read."""
    members = archive.infolist()
    _demand_few(len(members))
    paths = [(member, _checked_path(member)) for member in members]
    files = [(member, path) for member, path in paths if not member.is_dir()]
    twice = [path for path, count in Counter(path for _, path in files).items() if count > 1]
    if twice:
        raise SourceError(f"the zip holds {_said('/'.join(twice[0]))} twice; pack it once, with a name of its own")
    total = sum(member.file_size for member, _ in files)
    if total > MAX_UNPACKED:
        raise SourceError(
            f"the zip unpacks to {total / 2**30:.1f} GB, more than the {MAX_UNPACKED // 2**30} GB allowed; save the pictures smaller"
        )
    for member, path in files:
        if not _is_hidden(path):
            yield "/".join(path), path, _reader(archive, member)


def _checked_path(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """The folders and the name of a member. Raises SourceError on whatever a zip of pictures has no need of."""
    raw = _packed_name(member)
    name = _said(raw)
    parts = tuple(unicodedata.normalize("NFC", part) for part in raw.split("/") if part not in ("", "."))
    leaves = raw.startswith("/") or "\\" in raw or re.match(r"[A-Za-z]:", raw) or ".." in parts
    if leaves or not (parts or member.is_dir()):
        raise SourceError(f"the zip's member {name} does not stay inside the zip; pack it with plain names: {FIX}")
    if not _can_be_shown(raw):
        raise SourceError(f"the zip's member {name} has characters in its name that cannot be shown; rename it and pack again")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SourceError(f"the zip's member {name} is a link or device, not a file; pack the picture itself")
    if member.flag_bits & 0x1:
        raise SourceError(f"the zip's member {name} is encrypted; pack it without a password")
    if member.compress_type not in PACKINGS:
        raise SourceError(
            f"the zip's member {name} is packed by method {member.compress_type}, which is not read; pack it as an ordinary zip"
        )
    if member.file_size > MAX_FILE:
        raise SourceError(
            f"the zip's member {name} unpacks to {member.file_size / 2**20:.0f} MB, more than the {MAX_FILE // 2**20} MB allowed; save it smaller"
        )
    if member.file_size > FREE_OF_RATIO and member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise SourceError(
            f"the zip's member {name} unpacks to {member.file_size / max(member.compress_size, 1):,.0f} times its size, more than the {MAX_RATIO} times allowed; pack pictures such as JPEG or PNG"
        )
    return parts


def _packed_name(member: zipfile.ZipInfo) -> str:
    """The whole name as it was packed; zipfile's own `filename` ends at a zero byte. Macs write UTF-8 without saying so."""
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return member.orig_filename.encode("cp437").decode("utf-8")
    return member.orig_filename


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(member) as file:
                return file.read(MAX_FILE + 1)
        # What zipfile raises on damaged members is not one family; the next member may be whole.
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
            raise UnreadableFile(f"The zip is damaged here ({str(error)[:80]}); pack this picture again.") from None

    return read


def _walk(root: Path) -> Iterator[tuple[str, tuple[str, ...], Callable[[], bytes]]]:
    """Name, path and reader of every file in a folder that is not hidden."""
    count = 0
    for here, folders, names in os.walk(root, followlinks=True):
        place = Path(here).relative_to(root).parts
        folders[:] = sorted(each for each in folders if not _is_hidden((each,)))
        if len(place) == DEEPEST and folders:  # links may run in circles
            raise SourceError(f"{_said('/'.join(place))} lies in a folder inside a class's folder; {FIX}")
        for name in sorted(names):
            if _is_hidden((name,)):
                continue
            count += 1
            if count > MAX_FILES:
                raise SourceError(f"{root} holds more than the {MAX_FILES:,} files allowed; give a folder with fewer pictures")
            parts = (*place, name)
            yield "/".join(parts), tuple(unicodedata.normalize("NFC", part) for part in parts), _file_reader(root.joinpath(*parts))


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if not path.is_file():  # a pipe would be waited on
                raise UnreadableFile("It is a link that leads nowhere, or no file; put the picture itself there.")
            with path.open("rb") as file:
                return file.read(MAX_FILE + 1)
        except OSError as error:
            raise UnreadableFile(f"The file cannot be read ({error.strerror}); check its rights.") from None

    return read


def _by_class(found: Iterable[tuple[str, tuple[str, ...], Callable[[], bytes]]]) -> Source:
    """Sorts files into classes by their folder; one folder around all of them is taken off."""
    found = sorted(found, key=lambda each: each[1])
    if len({path[0] for _, path, _ in found if len(path) > 1}) == 1 and any(len(path) > 2 for _, path, _ in found):
        found = [(name, path[1:] if len(path) > 1 else path, read) for name, path, read in found]  # a README beside it is a stray
    files, strays, folders = [], [], {}
    for name, path, read in found:
        if len(path) > 2:
            raise SourceError(
                f"{_said(name)} lies in a folder inside a class's folder, and {len(path) - 1} folders deep is one too many; {FIX}"
            )
        if len(path) < 2:
            strays.append(_said(name))
            continue
        label = " ".join(path[0].split())  # what separates words in Japanese or on a Mac is a space too
        if not label or len(label) > LONGEST_LABEL or not _can_be_shown(label):
            raise SourceError(
                f"the folder {_said(path[0])} cannot name a class; give it 1 to {LONGEST_LABEL} characters that can be shown, such as cats"
            )
        if folders.setdefault(label, path[0]) != path[0]:
            raise SourceError(f"two folders are called {_said(label)}, but for white space; rename one, or put their pictures into one")
        files.append(File(name=_said(name), label=label, read=read))
    return Source(files=tuple(files), strays=tuple(strays))


def _is_hidden(path: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part in HIDDEN for part in path)


def _can_be_shown(name: str) -> bool:
    return not any(unicodedata.category(letter) in UNSHOWN and letter not in JOINERS for letter in name)


def _said(name: str) -> str:
    """A name from outside for people: what cannot be shown becomes a question mark, and it stays short."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= 120 else f"{shown[:80]}…{shown[-30:]}"
