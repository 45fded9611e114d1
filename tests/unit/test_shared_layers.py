"""Processes of functions on the local stack share the files of a layer, and have their own of the function."""

import zipfile
from types import SimpleNamespace

import pytest

from dev.local.emulator import LayerArchive, share_layers


@pytest.fixture
def unpack(tmp_path, monkeypatch):
    """Unpack a zip file as MiniStack does; return the names that it checks before, and the folder."""
    monkeypatch.setattr(LayerArchive, "_unpacked", {})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime = SimpleNamespace(zipfile=zipfile)
    share_layers(runtime)

    def unpack(process, name, **files):
        archive, folder = tmp_path / f"{process}-{name}.zip", tmp_path / process / name
        folder.mkdir(parents=True)
        with zipfile.ZipFile(archive, "w") as written:
            for file, text in files.items():
                written.writestr(f"python/{file}", text)
        with runtime.zipfile.ZipFile(archive) as read:
            checked = read.namelist()
            read.extractall(folder)
        return checked, folder

    return unpack


def test_a_layer_is_checked_and_unpacked_once(unpack):
    checked, first = unpack("one", "layer_0", boto="1", json="2")
    unchecked, second = unpack("two", "layer_1", boto="1", json="2")

    assert (sorted(checked), unchecked) == (["python/boto", "python/json"], [])
    assert first.resolve() == second.resolve()
    assert {file.name: file.read_text() for file in (second / "python").iterdir()} == {"boto": "1", "json": "2"}


def test_another_version_of_a_layer_has_its_own_files(unpack):
    _, first = unpack("one", "layer_0", boto="1")
    checked, second = unpack("two", "layer_0", boto="2")

    assert checked == ["python/boto"]
    assert [(folder / "python/boto").read_text() for folder in (first, second)] == ["1", "2"]


def test_each_process_has_its_own_files_of_the_function(unpack):
    folders = [unpack(process, "code", handler="1")[1] for process in ("one", "two")]

    assert all((folder / "python/handler").read_text() == "1" and not folder.is_symlink() for folder in folders)


def test_errors_of_zip_files_are_those_that_ministack_expects():
    runtime = SimpleNamespace()
    share_layers(runtime)

    assert runtime.zipfile.BadZipFile is zipfile.BadZipFile
