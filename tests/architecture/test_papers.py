"""What is written beside the code is true of it: requirements, addresses, words, links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("server", "miniprogram_api", "wallet", "migrations")
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PAPERS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
# Put together from parts, lest this file finds itself.
INDEX_ADDRESS = re.compile(
    "|".join((r"pypi" r"\.org", r"pythonhosted" r"\.org", r"--(?:extra-)?index" r"-url[ =]\S", r"find" r"-links[ =]"))
)
HOME_FOLDER = re.compile(r"/(?:home|Users)/[a-z]\w*/|/(?:root|work)/\w|/opt/[a-z]")


def tracked() -> list[Path]:
    """Files that git knows or would take; those of the folder when there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return [path for folder in (*CODE, "docs", "tests", "requirements") for path in (ROOT / folder).rglob("*.*")]
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def test_no_file_names_a_package_index() -> None:
    assert lines_with(INDEX_ADDRESS) == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(HOME_FOLDER) == []


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    entries = [entry for entry in re.split(r"\n(?=[^\s#])", text) if entry and not entry.startswith("#")]
    assert entries
    for entry in entries:
        name = entry.split()[0]
        assert re.match(r"^[A-Za-z0-9._-]+(\[[\w,-]+\])?==", name), f"{name} is not pinned"
        assert "--hash=sha256:" in entry, f"{name} has no hash"


def test_demo_and_dev_install_the_versions_of_the_service() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+)", text, re.MULTILINE))

    base = pins("base.txt")
    for name in ("demo.txt", "dev.txt"):
        other = pins(name)
        assert {package: other.get(package) for package in base} == base, name


def test_every_word_of_the_glossary_exists_in_the_code() -> None:
    files = [path for folder in CODE for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sql")]
    code = "\n".join(path.read_text() for path in files)
    words: set[str] = set()
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines():
        cells = line.split("|")
        if len(cells) == 5 and "`" in cells[2]:
            words |= set(re.findall(r"`([^`]+)`", cells[2]))
    assert len(words) > 100
    whole = set(re.findall(r"[\w-]+", code))
    assert [word for word in sorted(words) if word not in (whole if re.fullmatch(r"[\w-]+", word) else code)] == []


def rows_of(paper: str, columns: int) -> list[list[str]]:
    """The cells of the rows of a paper's tables that have so many columns."""
    rows = [line.split("|")[1:-1] for line in (ROOT / paper).read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if len(row) == columns]


def test_the_readme_tells_every_setting_with_its_default() -> None:
    from server.config import Settings

    defaults: dict[str, str] = {}
    for settings, default, _ in rows_of("README.md", 3):
        defaults |= {name.lower(): default for name in re.findall(r"`([A-Z_]+)`", settings)}
    assert set(Settings.model_fields) - set(defaults) == {"worker_index"}, "the supervisor sets that one"
    assert set(defaults) - set(Settings.model_fields) == set()
    for name, field in Settings.model_fields.items():
        in_words = name in ("worker_index", "wechat_api_base") or field.is_required() or field.default in ("", None)
        assert in_words or re.search(rf"(?<![\w,]){re.escape(str(field.default))}(?!\w)", defaults[name]), name


def test_operations_tells_every_step_of_the_worker_with_its_pace() -> None:
    from server.worker import PACES, Worker

    told = {step: every for every, step, _ in rows_of("docs/operations.md", 3) if re.match(r"^[\d.]+ (s|min)$", every)}
    assert told == {
        step: f"{pause_s:g} s" if pause_s < 600 else f"{pause_s / 60:g} min" for step, pause_s in PACES.items()
    }
    assert all(callable(getattr(Worker, step)) for step in PACES)


def test_operations_tells_every_command_and_every_metric() -> None:
    from prometheus_client import REGISTRY

    import server.app
    from server.cli import main

    assert server.app.all_routes(), "with the routes come all metrics"
    text = (ROOT / "docs" / "operations.md").read_text()
    metrics = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("chengxin_")}
    assert [name for name in sorted(metrics) if f"`{name}" not in text] == []
    text += (ROOT / "README.md").read_text()
    told_by_demo = {"demo", "load-sample"}
    assert [name for name in sorted(set(main.commands) - told_by_demo) if f"chengxin {name}" not in text] == []


def test_every_address_in_the_papers_is_served() -> None:
    from server.app import all_routes

    def bare(path: str) -> str:
        return re.sub(r"\{[^}]*\}|<[^>]*>", "{}", path.partition("?")[0])

    served = {(route.method, bare(route.path)) for route in all_routes()}
    served |= {("GET", page) for page in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")}
    missing = []
    for paper in PAPERS:
        for method, path in re.findall(r"\b(GET|POST|PUT|DELETE)\s+(…?/[^\s`,;]*)", paper.read_text()):
            end = bare(path.removeprefix("…").rstrip("."))
            whole = end.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi", "/docs"))
            if not any(verb == method and (there == end if whole else there.endswith(end)) for verb, there in served):
                missing.append(f"{paper.name}: {method} {path}")
    assert missing == []


def test_the_map_of_the_architecture_has_every_room() -> None:
    map_ = " ".join(row[0] for row in rows_of("docs/architecture.md", 2))
    told = set(re.findall(r"`([\w.]+)`", map_))
    folders = {
        path.parent for folder in ("server", "wallet", "miniprogram_api") for path in (ROOT / folder).rglob("*.py")
    }
    rooms = {".".join(path.relative_to(ROOT).parts) for path in folders}
    parts = {"server", "server.people.wechat", "server.sandbox.wechat", "server.sandbox.year"}
    parts |= {room for room in rooms if room.endswith(".schemas") or room.startswith("miniprogram_api.")}
    assert rooms - parts - told == set()
    assert {name for name in told if not (ROOT / name.replace(".", "/")).is_dir()} == set()


def test_the_map_of_the_incentives_has_every_file() -> None:
    import server.incentives

    room = ROOT / "server" / "incentives"
    told = set(re.findall(r"`(\w+)`", server.incentives.__doc__ or ""))
    there = {path.stem for path in room.glob("*.py")} | {path.parent.name for path in room.glob("*/__init__.py")}
    assert there - {"__init__"} - told == set()
    assert told - there == set()


def anchors(paper: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", paper.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_papers_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (path.parent / name).resolve() if name else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(len(numbers)))


def test_every_decision_that_code_cites_by_number_is_written_down() -> None:
    founding = ROOT / "docs" / "decisions" / "0000-founding-decisions.md"
    written = set(re.findall(r"\*\*(D\d+)\*\*", founding.read_text()))
    sources = [*ROOT.glob("wallet/**/*.py"), *ROOT.glob("server/**/*.py"), *ROOT.glob("miniprogram_api/**/*.py")]
    sources += [*ROOT.glob("tests/**/*.py"), *ROOT.glob("migrations/**/*.sql"), *ROOT.glob("docs/**/*.md")]
    cited = {number for path in sources for number in re.findall(r"\bD\d{1,2}\b", path.read_text())}
    assert cited - written == set()


def test_the_ledger_paper_names_every_status_and_every_proof() -> None:
    from wallet.audit import CHECKS
    from wallet.statuses import STATUSES

    text = (ROOT / "docs" / "ledger.md").read_text()
    for number, status in STATUSES.items():
        row = rf"^\| {number} \| `{status.code}` \| {status.http}\b"
        assert re.search(row, text, re.MULTILINE), f"status {number} {status.code}"
    assert [name for name, *_ in CHECKS if f"`{name}`" not in text] == []
