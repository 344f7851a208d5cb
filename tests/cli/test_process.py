"""What the command line does to its process; each test in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


def python(code: str, *, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XLA", "MALLOC"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(SOURCE), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [["--help"], ["energy", "--help"], ["list"], ["list", "optimizers"]])
def test_help_and_lists_import_nothing_heavy(words):
    code = (
        f"import sys; from adiabat.cli.main import main; assert main({words!r}) == 0\n"
        "heavy = {'jax', 'numpy', 'scipy', 'rich', 'yaml', 'optax', 'pyscf', 'ase', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_no_error():
    done = python(
        "import os, sys; from adiabat.cli.main import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.exit(main(['list']))"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_prepare(tmp_path):
    done = python(
        "import os, sys\n"
        "from adiabat.cli.process import prepare\n"
        "prepare(devices=3)\n"
        "print(os.environ['XLA_FLAGS'])\n"
        "print(os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'])\n"
        "print(os.environ['JAX_COMPILATION_CACHE_DIR'])\n"
        "import mine\n"
        "assert 'jax' not in sys.modules\n",
        cwd=_with_module(tmp_path),
        XDG_CACHE_HOME=str(tmp_path),
        XLA_FLAGS="--xla_a=1 --xla_force_host_platform_device_count=8 --xla_b=2",
    )
    assert done.returncode == 0, done.stderr
    flags, seconds, folder = done.stdout.splitlines()
    assert flags.split() == ["--xla_a=1", "--xla_b=2", "--xla_force_host_platform_device_count=3"]
    assert seconds == "0"
    assert folder.startswith(str(tmp_path / "adiabat" / "jax"))
    assert Path(folder).is_dir()


@pytest.mark.skipif(not os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc's allocator only")
def test_the_allocator_keeps_its_memory():
    # A block above the limit for mmap, touched and freed again and again, faults its pages in once only.
    code = (
        "import ctypes, resource\n"
        "from adiabat.cli.process import tune_allocator\n"
        "assert tune_allocator()\n"
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "def use():\n"
        "    block = ctypes.c_void_p(libc.malloc(2**26)); ctypes.memset(block, 1, 2**26); libc.free(block)\n"
        "use()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): use()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000


def test_an_allocator_the_user_has_tuned_is_left_alone():
    code = "from adiabat.cli.process import tune_allocator; print(tune_allocator())"
    assert python(code, MALLOC_TOP_PAD_="65536").stdout.strip() == "False"


def test_a_mistake_costs_no_import_of_jax(tmp_path):
    code = (
        "import sys; from adiabat.cli.main import main\n"
        "assert main(['energy', 'LiH', '--config', 'absent.yaml']) == 2\n"
        "assert 'jax' not in sys.modules\n"
    )
    done = python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def _with_module(folder: Path) -> Path:
    (folder / "mine.py").touch()
    return folder
