"""What the functions are built from, as one hash: package.py writes it beside the zips, and infra/deploy.py says where
the zips are of other sources than those that lie here.
"""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("initializer", "inference", "summarizer", "launcher")
# Folders of a crate that no function is built from.
NO_PART = ("tests", "benches", "examples")


def sources_sha256(root: Path = ROOT) -> str:
    """The SHA-256 of the names and contents of all files that the functions are built from."""
    files = [root / "Cargo.toml", root / "Cargo.lock", root / ".cargo/config.toml"]
    for crate in sorted(crates_of_functions(root / "crates")):
        folder = root / "crates" / crate
        files += [file for file in folder.rglob("*") if file.relative_to(folder).parts[0] not in NO_PART]
    hash_ = hashlib.sha256()
    for file in sorted(filter(Path.is_file, files)):
        contents = hashlib.sha256(file.read_bytes()).hexdigest()
        hash_.update(f"{file.relative_to(root)} {contents}\n".encode())
    return hash_.hexdigest()


def crates_of_functions(crates: Path) -> set[str]:
    """The functions' crates and those of ours that they depend on, directly or through each other."""
    ours = {folder.name for folder in crates.iterdir() if (folder / "Cargo.toml").is_file()}
    found, queue = set(), list(FUNCTIONS)
    while queue:
        crate = queue.pop()
        if crate not in found:
            found.add(crate)
            # Names at the start of a line, as dependencies are: `bill.workspace = true`.
            named = re.findall(r"^([\w-]+)", (crates / crate / "Cargo.toml").read_text(), re.MULTILINE)
            queue += ours & set(named)
    return found
