"""training/archive.py: what a zip or folder holds, and every way in which a hostile zip is turned away."""

import os
import re
import stat
import struct
import tomllib
import zipfile
from pathlib import Path

import pytest

from jobs.runs import ROOT
from tests import shapes
from training import archive
from training.archive import SourceError, UnreadableFile, opened
from ui import own_images

ONE = {"cats/1.png": b"one", "dogs/1.png": b"two"}


def packed(path: Path, members: dict[str, bytes], **kind) -> Path:
    """A zip of these members. kind: attributes set on the last of them."""
    with zipfile.ZipFile(path, "w") as file:
        for number, (name, content) in enumerate(members.items(), 1):
            member = zipfile.ZipInfo(name)
            member.filename = name  # ZipInfo itself would tidy it up
            for attribute, value in kind.items() if number == len(members) else ():
                setattr(member, attribute, value)
            file.writestr(member, content)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with opened(path) as found:
        return {f"{file.label}: {file.name}": file.read() for file in found.files}


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught, opened(path):
        pass
    message = str(caught.value)
    assert "\n" not in message
    assert "; " in message or ": " in message  # the fault, then the fix
    return message


def test_a_zip_and_a_folder_of_the_same_files_hold_the_same(tmp_path):
    folder, file = shapes.write_folder(tmp_path / "folder", 2), shapes.write_zip(tmp_path / "a.zip", 2)
    assert contents(folder) == contents(file)
    assert len(contents(folder)) == 6


def test_one_folder_around_all_classes_is_taken_off(tmp_path):
    plain, around = contents(packed(tmp_path / "a.zip", ONE)), contents(packed(tmp_path / "b.zip", {f"top/{k}": v for k, v in ONE.items()}))
    assert list(plain.values()) == list(around.values())
    assert [key.split(":")[0] for key in around] == ["cats", "dogs"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    hidden = {"__MACOSX/cats/._1.png": b"", "cats/.DS_Store": b"", ".git/config": b"", "dogs/Thumbs.db": b""}
    assert contents(packed(tmp_path / "a.zip", ONE | hidden)) == contents(packed(tmp_path / "b.zip", ONE))


def test_a_file_beside_the_classes_is_a_stray(tmp_path):
    with opened(packed(tmp_path / "a.zip", {"readme.txt": b"", **ONE})) as found:
        assert found.strays == ("readme.txt",)
        assert len(found.files) == 2


@pytest.mark.parametrize("beside", ["LICENSE", "labels.csv"])
def test_a_file_beside_the_one_folder_around_all_classes_is_a_stray_too(tmp_path, beside):
    with opened(packed(tmp_path / "a.zip", {beside: b"", **{f"top/{k}": v for k, v in ONE.items()}})) as found:
        assert found.strays == (beside,)
        assert sorted(each.label for each in found.files) == ["cats", "dogs"]


def test_two_folders_that_would_be_one_class_are_told(tmp_path):
    message = refusal(packed(tmp_path / "a.zip", ONE | {"cats /2.png": b"three"}))
    assert message.startswith("two folders are called cats, but for white space; rename one")


def test_names_of_a_mac_are_read_as_utf_8(tmp_path):
    name = "Müll/1.png".encode()
    path = packed(tmp_path / "a.zip", ONE | {"M__ll/1.png": b"three"})
    path.write_bytes(path.read_bytes().replace(b"M__ll/1.png", name))
    assert "Müll: Müll/1.png" in contents(path)


@pytest.mark.parametrize(
    "name",
    ["../x.png", "cats/../../x.png", "/etc/passwd", "cats\\x.png", "..\\x.png", "C:x.png", "c:/x/y.png", "//server/x/y.png", "cats/.."],
)
def test_a_name_that_leaves_the_zip_is_refused(tmp_path, name):
    assert "does not stay inside the zip" in refusal(packed(tmp_path / "a.zip", ONE | {name: b"x"}))


@pytest.mark.parametrize("name", ["cats/a\nb.png", "cats/\x1b[2J.png", "cats/\u202egnp.png"])
def test_a_name_that_cannot_be_shown_is_refused_and_not_repeated(tmp_path, name):
    message = refusal(packed(tmp_path / "a.zip", ONE | {name: b"x"}))
    assert "cannot be shown" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "odd",
    [
        "at 9.41.00\u202fAM",
        "\u5199\u771f\u3000\u732b",
        "a\u00a0b",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469",
    ],
)
def test_spaces_of_other_scripts_and_letters_that_join_are_ordinary_in_names(tmp_path, odd):
    """Of a Mac's screenshots, in Japanese, in Persian, in an emoji."""
    found = contents(packed(tmp_path / "a.zip", {f"cats/{odd}.png": b"1", f"{odd}/b.png": b"2"}))
    assert sorted(found.values()) == [b"1", b"2"]
    (label,) = {name.partition(":")[0] for name in found} - {"cats"}
    assert label == re.sub(r"\s", " ", odd)


def test_a_name_cut_off_by_a_zero_byte_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", ONE | {"cats/a.png_b": b"x"})
    path.write_bytes(path.read_bytes().replace(b"cats/a.png_b", b"cats/a.png\0b"))
    assert "cannot be shown" in refusal(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = packed(tmp_path / "a.zip", ONE | {"cats/link.png": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16)
    assert "cats/link.png is a link or device" in refusal(path)


def test_an_encrypted_member_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", ONE)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the last member's entry of the directory
    path.write_bytes(content)
    assert "dogs/1.png is encrypted; pack it without a password" in refusal(path)


def test_packings_that_no_ordinary_program_writes_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("cats/1.png", b"x" * 100)
    assert "packed by method 14" in refusal(tmp_path / "a.zip")


def test_a_name_that_comes_twice_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", ONE | {"cats/2.png": b""})
    path.write_bytes(path.read_bytes().replace(b"cats/2.png", b"cats/1.png"))
    assert "holds cats/1.png twice" in refusal(tmp_path / "a.zip")
    assert "twice" in refusal(packed(tmp_path / "b.zip", {"cats/1.png": b"", "cats/./1.png": b""}))


def test_a_folder_inside_a_class_is_refused(tmp_path):
    assert "cats/old/1.png lies in a folder inside a class's folder" in refusal(packed(tmp_path / "a.zip", ONE | {"cats/old/1.png": b""}))
    deep = shapes.write_folder(tmp_path / "folder", 1, {"a/b/c/d/e/f.png": b""})
    assert "lies in a folder inside" in refusal(deep)


@pytest.mark.parametrize("label", [" ", "x" * 61])
def test_a_folder_that_cannot_name_a_class_is_refused(tmp_path, label):
    assert "cannot name a class" in refusal(packed(tmp_path / "a.zip", ONE | {f"{label}/1.png": b""}))


def test_a_bomb_is_refused_by_its_ratio_before_anything_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cats/1.bmp", bytes(5 * 2**20))
    assert "more than the 100 times allowed" in refusal(tmp_path / "a.zip")


def test_sizes_and_numbers_beyond_the_limits_are_refused(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.zip", {"cats/1.png": bytes(3000), "dogs/1.png": bytes(3000)})
    for name, value, sentence in (
        ("MAX_FILE", 2000, "cats/1.png unpacks to"),
        ("MAX_UNPACKED", 5000, "the zip unpacks to"),
        ("MAX_FILES", 1, "the zip holds 2 members, more than the 1 allowed"),
        ("MAX_ZIP", 3000, "for a zip; save the pictures smaller"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(archive, name, value)
            assert sentence in refusal(path)


def test_a_member_larger_than_it_says_is_cut_off_and_reported(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cats/1.png", bytes(100_000))
        file.writestr("dogs/1.png", b"two")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(content)
    with opened(tmp_path / "a.zip") as found:
        with pytest.raises(UnreadableFile, match="The zip is damaged here"):
            found.files[0].read()
        assert found.files[1].read() == b"two"


def test_entries_that_lie_over_one_another_are_not_read(tmp_path):
    path = packed(tmp_path / "a.zip", ONE)
    content = bytearray(path.read_bytes())
    last = content.rindex(b"PK\x01\x02")
    content[last + 42 : last + 46] = struct.pack("<I", 0)  # the second member where the first one is
    path.write_bytes(content)
    with opened(path) as found, pytest.raises(UnreadableFile):
        found.files[1].read()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip at all", bytes(1000)])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert "the file is no zip that can be read, nor a folder" in refusal(tmp_path / "a.zip")


def test_the_page_and_the_server_let_in_what_the_import_takes():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] == own_images.MOST_MB == archive.MAX_ZIP // 2**20


def test_a_source_that_is_not_there_is_refused(tmp_path):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "ghost")


def test_no_damage_to_a_zip_does_more_than_refuse_it_or_a_member(tmp_path):
    whole = shapes.write_zip(tmp_path / "a.zip", 2).read_bytes()
    start = whole.index(b"PK\x01\x02")
    for place in [*range(0, 60), *range(start, len(whole))]:
        content = bytearray(whole)
        content[place] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(content)
        try:
            with opened(tmp_path / "b.zip") as found:
                for file in found.files:
                    try:
                        file.read()
                    except UnreadableFile:
                        continue
        except SourceError:
            continue


def test_nothing_of_a_zip_is_written_to_disk(tmp_path, monkeypatch):
    path = shapes.write_zip(tmp_path / "a.zip", 1)
    monkeypatch.setattr(zipfile.ZipFile, "extract", None)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", None)
    contents(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


def test_links_that_run_in_circles_end(tmp_path):
    folder = shapes.write_folder(tmp_path / "folder", 1)
    (folder / "discs" / "again").symlink_to(folder)
    assert "lies in a folder inside" in refusal(folder)


def test_a_pipe_in_a_folder_does_not_hold_it_up(tmp_path):
    folder = shapes.write_folder(tmp_path / "folder", 1)
    (folder / "discs" / "0.png").unlink()
    os.mkfifo(folder / "discs" / "0.png")
    with opened(folder) as found:
        bars, discs, _ = found.files
        assert bars.read().startswith(b"\x89PNG")
        with pytest.raises(UnreadableFile, match="or no file"):
            discs.read()


def test_a_list_of_a_million_members_is_counted_before_it_is_taken_in(tmp_path, monkeypatch):
    count, entry = 1_000_000, struct.pack("<4s42x", archive.MEMBER)
    ending = struct.pack("<4s4xHHIIH", b"PK\x05\x06", 0xFFFF, 0xFFFF, count * len(entry), 0, 0)
    path = tmp_path / "many.zip"
    path.write_bytes(entry * count + ending)
    monkeypatch.setattr(zipfile, "ZipFile", lambda path: pytest.fail("it was taken in"))
    with pytest.raises(SourceError, match=r"^the zip holds 1,000,000 members, more than the 60,000 allowed"), opened(path):
        pass


def test_members_are_counted_where_two_pieces_meet(tmp_path, monkeypatch):
    path = packed(tmp_path / "two.zip", ONE)
    for size in range(4, 30):
        monkeypatch.setattr(archive, "CHUNK", size)
        assert archive._most_members(path) == 2
