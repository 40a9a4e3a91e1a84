"""The wheel: it holds every package, and works from an empty folder; an sdist builds it too."""

import ast
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed():
    """A package missing from the list would vanish from the wheel without a word."""
    settings = project()["tool"]["setuptools"]
    folders = {"w2vfast": "w2vfast", "w2vfast.kernels": "kernels", "w2vfast.eval": "eval"}
    for name, folder in folders.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder)
            package = ".".join([name, *below.parts])
            assert package in settings["packages"]
    assert settings["package-dir"] == folders


def test_versions_agree():
    tree = ast.parse((ROOT / "w2vfast" / "__init__.py").read_text())
    (version,) = (
        node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert version == project()["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
        cwd=out,
    )
    (path,) = out.glob("*.whl")  # built from the sdist, so what the sdist lacks would be missing here too
    return path


def test_the_wheel_holds_the_packages_and_native_parts(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = ("train", "formats/word2vec", "kernels/contract", "eval/__init__")
    for expected in (*(f"w2vfast/{module}.py" for module in modules), "w2vfast/py.typed"):
        assert expected in names
    page = {f"w2vfast/eval/page/{path.name}" for path in (ROOT / "eval" / "page").iterdir()}
    assert page == {name for name in names if name.startswith("w2vfast/eval/page/")}
    assert not [name for name in names if name.startswith(("kernels/", "eval/", "tests/"))]
    if sys.platform != "win32":
        assert any(name.startswith("w2vfast/_scanner") for name in names)


def test_the_wheel_trains_from_an_empty_folder(wheel, tmp_path, themed_file):
    """In an environment of its own, far from the checkout; only the dependencies come from this one."""
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # A path file inside a folder that a path file names is not read: this checkout's editable install stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    empty = tmp_path / "empty"
    empty.mkdir()
    python = tmp_path / "env" / "bin" / "python"
    where = "import w2vfast.kernels.contract as c, w2vfast.eval as e; print(c.__file__); print(e.__file__)"
    found = subprocess.run([python, "-c", where], cwd=empty, capture_output=True, text=True, check=True).stdout
    assert all(line.startswith(str(site)) for line in found.splitlines())
    command = [python, "-m", "w2vfast.train", themed_file, "-o", "v.bin", "--epochs", "1", "--min-count", "1"]
    subprocess.run(command, cwd=empty, capture_output=True, check=True)
    assert (empty / "v.bin").stat().st_size > 24 * 400
