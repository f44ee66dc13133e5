"""Checks in deploy/ what no other checker knows: that it fits the relay, and that its parts fit each other.

`cargo xtask test --only deploy` runs it, with the packages that it needs. Prints a line per problem; exits with 1 if there is any.
"""

import json
import re
import sys
from pathlib import Path

import promql_parser
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
problems = []


def problem(file, text):
    problems.append(f"{file.relative_to(ROOT)}: {text}")


def variables():
    """Every variable that is set, or shown as an example, is one that the relay or its entry point reads."""
    sources = (ROOT / "crates/relay-bin/src").rglob("*.rs")
    known = {name for source in sources for name in re.findall(r'\benv = "([A-Z0-9_]+)"', source.read_text())}
    entry_point = (DEPLOY / "docker-init-relay.sh").read_text()
    known |= set(re.findall(r"^# ([A-Z][A-Z0-9_]+) ", entry_point, re.MULTILINE))

    used = []
    example = DEPLOY / "systemd/relay.env"
    used += [(example, name) for name in re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example.read_text(), re.MULTILINE)]
    for manifest in (DEPLOY / "kubernetes").rglob("daemon-set.yaml"):
        for container in yaml.safe_load(manifest.read_text())["spec"]["template"]["spec"]["containers"]:
            named = [entry["name"] for entry in container["env"]]
            values = " ".join(entry.get("value", "") for entry in container["env"])
            used += [(manifest, name) for name in named if f"$({name})" not in values]
    for file, name in used:
        if name not in known:
            problem(file, f"{name} is read by nobody")
    return f"{len(used)} variables"


def dashboard():
    """Every query is right PromQL, and every metric in it is one that docs/metrics.md lists."""
    file = DEPLOY / "observability/dashboard.json"
    metrics = ROOT / "docs/metrics.md"
    known = set(re.findall(r"^\| `\w+` \| `(\w+)` \|", metrics.read_text(), re.MULTILINE))
    queried = set()
    panels = json.loads(file.read_text())["panels"]
    queries = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    for title, query in queries:
        try:
            tree = promql_parser.parse(re.sub(r"\$__rate_interval", "5m", query))
        except ValueError as error:
            problem(file, f"{title}: {error}: {query}")
            continue
        names = selected(tree)
        queried |= names
        for name in names:
            if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known:
                problem(file, f"{title}: {name} is not in {metrics.relative_to(ROOT)}")
    for name in ("data_relayed_ebpf_bytes_total", "data_relayed_userspace_bytes_total", "active_allocations", "responses_total",
                 "dropped_datagrams_total"):
        if name not in queried:
            problem(file, f"no panel shows {name}")
    return f"{len(queries)} queries of {len(queried)} metrics"


def selected(tree):
    """The metrics that an expression selects."""
    if isinstance(tree, promql_parser.VectorSelector):
        return {tree.name}
    parts = [getattr(tree, part, None) for part in ("expr", "lhs", "rhs", "vector_selector", "param")]
    parts += getattr(tree, "args", [])
    return set().union(*(selected(part) for part in parts if part is not None))


def collector():
    """Every component that the collector's pipelines name is configured, and the other way round."""
    file = DEPLOY / "observability/collector.yaml"
    config = yaml.safe_load(file.read_text())
    service = config["service"]
    named = {("extensions", name) for name in service["extensions"]}
    for pipeline in service["pipelines"].values():
        named |= {(kind, name) for kind, names in pipeline.items() for name in names}
    configured = {(kind, name) for kind, parts in config.items() if kind != "service" for name in parts}
    for kind, name in sorted(named - configured):
        problem(file, f"{name} is used, but not configured under {kind}")
    for kind, name in sorted(configured - named):
        problem(file, f"{name} is configured under {kind}, but not used")
    return f"{len(configured)} parts of a collector"


def drain():
    """What ends the relay waits for longer than the relay drains."""
    unit = (DEPLOY / "systemd/firezone-relay.service").read_text()
    patience = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
    example = (DEPLOY / "systemd/relay.env").read_text()
    drains = int(re.search(r"^#DRAIN_TIMEOUT=(\d+)s$", example, re.MULTILINE)[1])
    if patience <= drains:
        problem(DEPLOY / "systemd/firezone-relay.service", f"TimeoutStopSec={patience} is not above DRAIN_TIMEOUT={drains}s")

    manifest = DEPLOY / "kubernetes/base/daemon-set.yaml"
    pod = yaml.safe_load(manifest.read_text())["spec"]["template"]["spec"]
    values = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    patience, drains = pod["terminationGracePeriodSeconds"], int(values["DRAIN_TIMEOUT"].removesuffix("s"))
    if patience <= drains:
        problem(manifest, f"terminationGracePeriodSeconds: {patience} is not above DRAIN_TIMEOUT={drains}s")
    return "drain times"


checked = [check() for check in (variables, dashboard, collector, drain)]
print("\n".join(problems) or f"{', '.join(checked)}: all fit")
sys.exit(1 if problems else 0)
