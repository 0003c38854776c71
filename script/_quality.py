"""Runs the checks that need no servers, side by side; see script/quality."""

import base64
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MANAGE = [sys.executable, "manage.py"]
# As an operator would run it, so that the checks judge what goes into production.
PRODUCTION = {
    "SECRET_KEY": "checked-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLM",
    "ALLOWED_HOSTS": "portal.example",
    "PUBLIC_BASE_URL": "https://portal.example",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "EMAIL_URL": "smtp://127.0.0.1:9",
    "FIELD_ENCRYPTION_KEYS": "k1:" + base64.urlsafe_b64encode(b"f" * 32).decode(),
    "BLIND_INDEX_KEY": base64.urlsafe_b64encode(b"b" * 32).decode(),
    "SENDER_NAME": "Partner Incentives",
    "SENDER_ADDRESS": "no-reply@portal.example",
    "SUPPORT_ADDRESS": "support@portal.example",
    "OPERATOR_NAME": "The program owner",
    "OPERATOR_POSTAL_ADDRESS": "1 Example Street, Example Town",
    "SENDER_CONFIRMED": "true",
}
MIGRATIONS = "migrations are complete"


def checks() -> dict[str, list[str | Path]]:
    templates = sorted((ROOT / "templates").rglob("*.html"))
    return {
        "Python is formatted": [BIN / "ruff", "format", "--check", "--quiet", "."],
        "Python is clean": [BIN / "ruff", "check", "--quiet", "."],
        "layers are kept": [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-logo",
        ],
        "templates are formatted": [
            *(BIN / "djade", "--check", "--target-version", "5.2"),
            *templates,
        ],
        MIGRATIONS: [*MANAGE, "makemigrations", "--check", "--dry-run"],
        "deployment is safe": [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"],
        "translations are complete": [
            *(sys.executable, ROOT / "script" / "_messages.py", "--check")
        ],
    }


def run(command: list[str | Path]) -> tuple[bool, str, float]:
    """Run one check; return whether it passed, what it said, how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout, time.monotonic() - began


def environment() -> dict[str, str]:
    """Return production's variables; nothing the portal reads comes from the caller."""
    kept = {"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR"}
    return {name: v for name, v in os.environ.items() if name in kept} | PRODUCTION


def main() -> int:
    failures = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(run, words): name for name, words in checks().items()}
        for future in as_completed(running):
            passed, said, seconds = future.result()
            failures += not passed
            mark = "ok" if passed else "NO"
            print(f"{mark}  {running[future]}  ({seconds:.1f} s)", flush=True)
            if not passed:
                print(said.rstrip(), flush=True)
    if failures:
        print(f"{failures} of {len(running)} checks failed.")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
