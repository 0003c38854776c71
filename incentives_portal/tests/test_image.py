"""The image's own steps work with what is copied into it, and with nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

STEPS = (settings.BASE_DIR / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED = [step.split()[1:] for step in STEPS if step.startswith("COPY ")]
(COLLECT,) = [step.removeprefix("RUN ") for step in STEPS if "manage.py coll" in step]
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
# As .dockerignore says; what is compiled comes along, which only saves time.
LEFT_OUT = shutil.ignore_patterns("tests")


@pytest.fixture
def image(tmp_path):
    """Lend a folder that holds what the Dockerfile copies."""
    for source, target in COPIED:
        path = settings.BASE_DIR / source
        if path.is_dir():
            shutil.copytree(path, tmp_path / target, ignore=LEFT_OUT)
        else:
            shutil.copy(path, tmp_path / target)
    return tmp_path


def run(command: str, *, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/bin/sh", "-euc", command],
        cwd=folder,
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_collects_the_static_files_with_values_the_settings_accept(image):
    # Packing each file as small as can be takes seconds: gzip's packing is enough here.
    (image / "brotli.py").write_text("raise ImportError")

    done = run(COLLECT, folder=image)

    assert done.returncode == 0, done.stderr
    assert (image / "staticfiles" / "staticfiles.json").exists()


def test_the_image_cannot_be_built_with_a_weak_secret(image):
    done = run(COLLECT.replace("SECRET_KEY=", "SECRET_KEY=weak SPARE="), folder=image)

    assert done.returncode == 1
    assert done.stderr.startswith("The portal cannot start: SECRET_KEY")
