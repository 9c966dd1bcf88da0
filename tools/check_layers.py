#!/usr/bin/env python3
"""Walks the includes of engine/, sim/, server/, cli/ and bindings/, and fails where one points up or sideways.

The floors are those of docs/architecture.md: a folder may include itself, what is listed for it here, and its own
corner of the standard library.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORES = ("raft", "metadata", "controller", "group", "share", "transaction", "security")
SHELL_LOW = ("net", "log", "parked")
SHELL_HIGH = ("quorum", "replication", "coordinator")
ENGINE = ("base", "env", "protocol") + CORES + SHELL_LOW + SHELL_HIGH + ("broker", "client")


def engine(*names):
    return {f"engine/{name}" for name in names}


ALLOWED = {"engine/base": set(), "engine/env": engine("base"), "engine/protocol": engine("base")}
for core in CORES:
    ALLOWED[f"engine/{core}"] = engine("base", "protocol", "metadata")
for module in SHELL_LOW:
    ALLOWED[f"engine/{module}"] = engine("base", "protocol", "env")
for module in SHELL_HIGH:
    ALLOWED[f"engine/{module}"] = engine("base", "protocol", "env", *SHELL_LOW, *CORES)
ALLOWED["engine/broker"] = engine(*(set(ENGINE) - {"client"}))
ALLOWED["engine/client"] = engine(*(set(ENGINE) - {"broker"}))
ALLOWED["sim"] = engine(*ENGINE)
ALLOWED["server"] = engine(*ENGINE)
ALLOWED["cli"] = engine(*ENGINE) | {"sim", "server"}
ALLOWED["bindings"] = ALLOWED["cli"]

# Pure rules may not see the door, whatever floor their module is on.
RULES_ALLOWED = engine("base", "protocol", "metadata")

BANNED = {  # header -> who may include it none the less
    "chrono": ("server", "cli", "bindings", "sim"),
    "thread": ("server", "cli", "bindings"),
    "mutex": ("server", "cli", "bindings"),
    "atomic": ("server", "cli", "bindings"),
    "random": (),
    "unordered_map": (),
    "unordered_set": (),
    "iostream": ("server", "cli", "bindings", "sim"),
    "filesystem": ("server", "cli", "bindings"),
    "fstream": ("server", "cli", "bindings"),
}
BANNED_ON_THE_GROUND = {"functional"}  # for engine/base and engine/env: it is slow to compile

# A replicated service states its operations in the runtime's values, and one file of it ties core and runtime together.
TIES = (
    ("engine/group/", "engine/coordinator/operation.h"),
    ("engine/group/coordinator.", "engine/coordinator/runtime.h"),
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(path):
    parts = pathlib.PurePosixPath(path).parts
    return "/".join(parts[:2]) if parts[0] == "engine" and len(parts) > 2 else parts[0]


def faults_in(path):
    name = path.relative_to(ROOT).as_posix()
    folder = folder_of(name)
    allowed = ALLOWED.get(folder, set()) | {folder}
    if path.stem == "rules":
        allowed = RULES_ALLOWED | {folder}
    for kind, header in INCLUDE.findall(path.read_text()):
        if kind == "<":
            if header in BANNED and folder not in BANNED[header]:
                yield f"{name}: <{header}> is not for {folder}"
            if header in BANNED_ON_THE_GROUND and folder in ("engine/base", "engine/env"):
                yield f"{name}: <{header}> is not for {folder}"
            if header.startswith("boost/") and not (folder == "server" and path.suffix == ".cc"):
                yield f"{name}: Boost is for server/*.cc"
        elif any(name.startswith(who) and header == what for who, what in TIES):
            continue
        elif folder_of(header) not in allowed:
            yield f"{name}: {folder} must not include {header}"


def main():
    checked, faults = 0, []
    for top in ("engine", "sim", "server", "cli", "bindings"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".h", ".cc"):
                checked += 1
                faults += faults_in(path)
    print("\n".join(faults) if faults else f"{checked} files include only what their floor allows")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
