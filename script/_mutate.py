"""Changes the rules a little, many times, and shows which changes no test notices.

usage: script/mutate [MODULE...], for one of the names below; all of them without.
docs/mutation.md says what comes out of it and which survivors change nothing.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv" / "mutate" / "bin"
FILTER = ROOT / "script" / "_mutation_filter.py"
PLACE = ROOT / "var" / "mutate"
TREE = PLACE / "tree"
SECONDS = 600

# Only errors come of these: `*` marks keyword-only arguments here and multiplies
# nothing that decides, `|` and `&` join sets, queries and types, and `-` stands between
# moments. Of comparisons the opposite is tried, and the edge of `<`.
LEFT_OUT = [
    "core/ReplaceBinaryOperator_Mul_.*",
    "core/ReplaceBinaryOperator_Bit.*_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow|LShift|RShift)",
    "core/ReplaceBinaryOperator_Sub_(?!Add).*",
    "core/ReplaceComparisonOperator_Eq_(?!NotEq).*",
    "core/ReplaceComparisonOperator_NotEq_(?!Eq).*",
    "core/ReplaceComparisonOperator_Lt_(?!LtE$|GtE).*",
    "core/ReplaceComparisonOperator_LtE_(?!Lt$|Gt$).*",
]
ASK = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    "said = s.recv(999).decode(); print(said); sys.exit(said[:1] != '0')"
)
PYTEST = ["-q", "-x", "--reuse-db", "-m", "not browser"]
# The packages are imported already, plugins of pytest among them.
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
PEOPLE = "accounts/tests/"
HOUSE = "incentives_portal/tests/"


@dataclass(frozen=True)
class Rules:
    """A module whose changes the tests have to notice, the quickest of them first."""

    path: str
    tests: tuple[str, ...]


RULES = {
    "roles": Rules("accounts/roles.py", (f"{PEOPLE}test_roles.py",)),
    "scoping": Rules(
        "accounts/scoping.py",
        (f"{PEOPLE}test_scoping.py", f"{PEOPLE}test_holders.py"),
    ),
    "holders": Rules(
        "accounts/holders.py",
        (
            f"{PEOPLE}test_holders.py",
            f"{PEOPLE}test_access.py",
            f"{HOUSE}test_refusals.py",
            f"{PEOPLE}test_lost_factors.py",
        ),
    ),
    "reach": Rules("accounts/reach.py", (f"{PEOPLE}test_reach.py",)),
    "access": Rules(
        "accounts/access.py",
        (
            f"{PEOPLE}test_access.py",
            f"{PEOPLE}test_sent_on.py",
            f"{PEOPLE}test_refused.py",
            f"{PEOPLE}test_companies.py",
            f"{PEOPLE}test_presence.py",
            f"{HOUSE}test_refusals.py",
            f"{HOUSE}test_proof.py",
            f"{HOUSE}test_proof_doors.py",
        ),
    ),
}


def copy_tree() -> None:
    """Copy what git knows or would take; the changes are made there."""
    shutil.rmtree(TREE, ignore_errors=True)
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)
    # Compiled once, and read only where the source is still the same.
    words = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "."]
    subprocess.run([sys.executable, *words], cwd=TREE, check=True)


def run_tests(socket: Path) -> bool:
    words = [sys.executable, "-S", "-c", ASK, str(socket)]
    return subprocess.run(words, check=False).returncode == 0


def cosmic_ray(*words: str | Path) -> str:
    done = subprocess.run(
        [TOOLS / "cosmic-ray", *words],
        cwd=TREE,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def mutate(name: str, rules: Rules) -> tuple[int, list[dict]]:
    """Try every change of one module; return how many, and those that survived."""
    socket, session = PLACE / f"{name}.socket", PLACE / f"{name}.sqlite"
    config = PLACE / f"{name}.toml"
    for left in (socket, session):
        left.unlink(missing_ok=True)
    command = shlex.join([sys.executable, "-S", "-c", ASK, str(socket)])
    config.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps(rules.path)}\n"
        f"timeout = {SECONDS + 30}.0\n"
        "excluded-modules = []\n"
        f"test-command = {json.dumps(command)}\n"
        "[cosmic-ray.distributor]\n"
        'name = "local"\n'
        "[cosmic-ray.filters.operators-filter]\n"
        f"exclude-operators = {json.dumps(LEFT_OUT)}\n"
    )
    words = [sys.executable, ROOT / "script" / "_mutation_tests.py", socket]
    words += [rules.path, str(SECONDS), *PYTEST]
    server = subprocess.Popen(
        [*words, *rules.tests],
        cwd=TREE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        while not socket.exists() and server.poll() is None:
            time.sleep(0.1)
        if not run_tests(socket):
            sys.exit(f"The tests of {rules.path} fail before anything is changed.")
        # The control: where nothing is changed, cosmic-ray hears that nobody noticed.
        cosmic_ray("baseline", config)
        cosmic_ray("init", config, session)
        for filter in (["cr-filter-operators"], ["python", FILTER]):
            words = [TOOLS / filter[0], *filter[1:], session, config]
            subprocess.run(words, cwd=TREE, check=True)
        cosmic_ray("exec", config, session)
    finally:
        server.terminate()
        server.wait()
    return results(session)


def results(session: Path) -> tuple[int, list[dict]]:
    """Return how many were tried, and those no test noticed; those of 9 wait."""
    tried, survived = 0, []
    for line in cosmic_ray("dump", session).splitlines():
        work, result = json.loads(line)
        if result is None or result["worker_outcome"] == "skipped":
            continue
        if result["output"].startswith("9"):
            print(f"Not tried: {result['diff']}")
            continue
        tried += 1
        if result["test_outcome"] != "killed":
            survived.append(work["mutations"][0] | result)
    return tried, survived


def main() -> int:
    names = sys.argv[1:] or list(RULES)
    if unknown := set(names) - set(RULES):
        sys.exit(f"{', '.join(unknown)}: not one of {', '.join(RULES)}")
    PLACE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    words = [sys.executable, "-m", "pytest", "-q", "--reuse-db"]
    subprocess.run(
        [*words, f"{PEOPLE}test_roles.py"], cwd=TREE, check=True, capture_output=True
    )
    for name in names:
        tried, survived = mutate(name, RULES[name])
        for one in survived:
            print(f"{one['diff']}\n{one['output']}", flush=True)
        killed = tried - len(survived)
        print(f"{name}: {tried} changes, {killed} noticed, {len(survived)} not.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
