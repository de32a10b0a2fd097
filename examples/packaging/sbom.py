"""Writes the SBOM of the command, CycloneDX as JSON: python3 examples/packaging/sbom.py FILE [TARGET], or `make sbom`.

The crate cargo-cyclonedx writes it, and lists what features that are off would bring too. Who watches for advisories would
be told of crates that are not in the program, so what `cargo tree` does not have is taken out, and so is the folder of the build.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FEATURES = os.environ.get("FEATURES", "cli")


def run(*command, **further):
    """What a program writes to stdout; it must succeed."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, **further).stdout


def built(target):
    """Each crate in the program, by name and version; lockgate itself is not among them."""
    tree = run("cargo", "tree", "--locked", "--features", FEATURES, "--edges", "normal", "--prefix", "none",
               "--format", "{p}", "--target", target)
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
    return {(name, version.removeprefix("v")) for name, version in crates if name != "lockgate"}


def main():
    out = Path(sys.argv[1]).resolve()
    target = sys.argv[2] if len(sys.argv) > 2 else re.search(r"(?m)^host: (.*)$", run("rustc", "-vV"))[1]
    made = ROOT / "lockgate-sbom.json"
    # The time of the sources, so that the file can be made again.
    environment = {"SOURCE_DATE_EPOCH": run("git", "log", "-1", "--format=%ct").strip()} | os.environ
    try:
        run("cargo", "cyclonedx", "--quiet", "--features", FEATURES, "--target", target, "--no-build-deps",
            "--spec-version", "1.5", "--format", "json", "--override-filename", made.stem, env=environment)
        bom = json.loads(made.read_text())
    finally:
        made.unlink(missing_ok=True)
    crates = built(target)
    bom["components"] = [part for part in bom["components"] if (part["name"], part["version"]) in crates]
    found = {(part["name"], part["version"]) for part in bom["components"]}
    assert found == crates, f"not in the SBOM: {sorted(crates - found)}"
    kept = {part["bom-ref"] for part in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    bom["dependencies"] = [
        entry | {"dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}
        for entry in bom["dependencies"] if entry["ref"] in kept
    ]
    text = json.dumps(bom, indent=2).replace(f"path+file://{ROOT}#", "")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    print(f"{out}: {len(crates)} crates")


main()
