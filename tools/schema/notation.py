"""Reads engine/schema into objects and checks what can be checked without the bytes."""
import dataclasses
import re

ENDLESS = 32767
NUMBERS = {"bool", "int8", "int16", "int32", "int64", "uint16", "uint32", "float64"}
SIMPLE = NUMBERS | {"string", "bytes", "records", "uuid"}
KINDS = {"request", "response", "header", "metadata", "coordinator-key", "coordinator-value", "data"}
# Names that C++ or the generated code keeps for itself.
RESERVED = {"operator", "default", "namespace", "class", "struct", "new", "delete", "private", "public", "template",
            "this", "export", "union", "switch", "case", "register", "unknown_tags"}


class SchemaError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Versions:
    low: int
    high: int

    def has(self, v): return self.low <= v <= self.high
    def empty(self): return self.low > self.high
    def meets(self, other): return max(self.low, other.low) <= min(self.high, other.high)
    def covers(self, other): return self.low <= other.low and other.high <= self.high


NONE = Versions(0, -1)


def versions(text):
    """"3+", "2-7", "4" or "none"."""
    if text in ("none", "-"):
        return NONE
    if not re.fullmatch(r"\d+(\+|-\d+)?", text):
        raise SchemaError(f"not a range of versions: {text}")
    low, _, high = text.rstrip("+").partition("-")
    return Versions(int(low), ENDLESS if text.endswith("+") else int(high or low))


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()
    return name + "_" if name in RESERVED else name


class Field:
    """`Name type versions attributes`: ClusterId string? 12+ tag=0 default=null ignorable."""

    def __init__(self, words):
        self.name, self.member, self.json = words[0], snake(words[0]), words[0][0].lower() + words[0][1:]
        match = re.fullmatch(r"(\w+)(\[\])?(?:(\?)(\S*))?", words[1])
        if not match:
            raise SchemaError(f"not a type: {words[1]}")
        self.type, self.list = match[1], bool(match[2])
        rest = words[2:]
        self.versions = versions(rest.pop(0)) if rest and rest[0][0].isdigit() else Versions(0, ENDLESS)
        self.null = NONE if not match[3] else versions(match[4]) if match[4] else self.versions
        attributes = dict(w.partition("=")[::2] for w in rest)
        self.tag = int(attributes["tag"]) if "tag" in attributes else None
        self.default = attributes.get("default")
        self.ignorable = "ignorable" in attributes
        self.key = "key" in attributes
        self.rigid = attributes.get("flexible") == "none"  # keeps the old encoding in flexible versions
        self.fields = []   # of a struct declared in place
        self.struct = None  # resolved by Message
        unknown = attributes.keys() - {"tag", "default", "ignorable", "key", "flexible", "entity"}
        if unknown:
            raise SchemaError(f"unknown attribute {unknown.pop()}")
        if self.type not in SIMPLE and not self.type[0].isupper():
            raise SchemaError(f"unknown type {self.type}")


class Struct:
    def __init__(self, name, fields):
        self.name, self.fields = name, fields


class Message:
    def __init__(self, words):
        self.kind, self.name, self.versions = words[0], words[1], versions(words[2])
        attributes = dict(w.partition("=")[::2] for w in words[3:])
        self.flexible = versions(attributes.get("flexible", "none"))
        self.id = int(attributes.get("id", -1))
        self.frame = attributes.get("frame", "none")
        self.api = None
        self.fields, self.shared, self.structs = [], {}, []  # structs: in order of use, each after what it needs

    def resolve(self):
        """Drops fields that no version has, gives every struct field its struct, and orders the structs."""
        self.fields = self.prepare(self.fields, {})

    def prepare(self, fields, done):
        out = []
        for f in fields:
            if not f.versions.meets(self.versions):
                continue
            if f.tag is not None and not (f.versions.low >= self.flexible.low and not self.flexible.empty()):
                raise SchemaError(f"{f.name} is tagged in versions that are not flexible")
            if f.type not in SIMPLE:
                f.struct = done.get(f.type)
                if f.struct is None:
                    inner = f.fields or (self.shared[f.type] if f.type in self.shared else [])
                    if not inner:
                        raise SchemaError(f"struct {f.type} is not declared")
                    f.struct = done[f.type] = Struct(f.type, self.prepare(inner, done))
                    self.structs.append(f.struct)
                elif f.fields:
                    raise SchemaError(f"struct {f.type} is declared twice")
            out.append(f)
        members = [f.member for f in out]
        if len(set(members)) != len(members):
            raise SchemaError("two fields of one name")
        return out

    def ever_flexible(self): return not self.flexible.empty() and self.flexible.meets(self.versions)

    def minima(self, f):
        """(first version, the least number of bytes of an element) of the list `f`, for each run of versions that are alike."""
        runs = []
        for v in range(max(f.versions.low, self.versions.low), min(f.versions.high, self.versions.high) + 1):
            size = max(1, self.minimum_in(f.struct.fields, v))
            if not runs or runs[-1][1] != size:
                runs.append((v, size))
        return runs

    def minimum_in(self, fields, v):
        flexible = self.flexible.has(v)
        size = 1 if flexible else 0
        for f in fields:
            if not f.versions.has(v) or f.tag is not None:
                continue
            if f.list or f.type in ("bytes", "records"):
                size += 1 if flexible else 4
            elif f.struct:
                size += 1 if f.null.has(v) else self.minimum_in(f.struct.fields, v)
            else:
                size += {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8,
                         "uuid": 16, "string": 1 if flexible else 2}[f.type]
        return size


class Api:
    """The line `api key Name attributes` at the head of an API's file."""

    def __init__(self, words):
        self.key, self.name = int(words[1]), words[2]
        attributes = dict(w.partition("=")[::2] for w in words[3:])
        self.broker, self.controller = versions(attributes.get("broker", "-")), versions(attributes.get("controller", "-"))
        self.broker_advertised = versions(attributes.get("broker_advertised", attributes.get("broker", "-")))
        self.controller_advertised = versions(attributes.get("controller_advertised", attributes.get("controller", "-")))
        self.latest_unstable = "latest-unstable" in attributes
        self.cluster_action, self.forwardable = "cluster-action" in attributes, "forwardable" in attributes


class File:
    def __init__(self, path, records):
        self.path, self.api, self.messages = path, None, []
        self.read()
        name = path.stem.replace("-", "_") if records else snake(self.api.name)
        self.header = f"engine/protocol/{'records' if records else 'messages'}/{name}.h"

    def read(self):
        stack, fields, number = [], None, 0
        try:
            for number, line in enumerate(self.path.read_text(encoding="utf-8").split("\n"), 1):
                words = line.partition("#")[0].split()
                if not words:
                    continue
                depth = (len(line) - len(line.lstrip(" "))) // 2
                if depth:
                    f = Field(words)
                    if depth > len(stack):
                        raise SchemaError("indented too far")
                    stack = stack[:depth] + [f.fields]
                    stack[depth - 1].append(f)
                elif words[0] == "api":
                    self.api = Api(words)
                elif words[0] == "struct":
                    fields = self.messages[-1].shared[words[1]] = []
                    stack = [fields]
                elif words[0] in KINDS:
                    self.messages.append(Message(words))
                    stack = [self.messages[-1].fields]
                else:
                    raise SchemaError(f"unknown word {words[0]}")
            for m in self.messages:
                m.api = self.api
                if self.api:
                    m.id = self.api.key
                m.resolve()
            self.messages = [m for m in self.messages if not m.versions.empty()]
        except (SchemaError, ValueError, IndexError) as e:
            raise SchemaError(f"{self.path}:{number}: {e}") from e

    def weight(self):
        return sum(10 + len(m.fields) + sum(4 + len(s.fields) for s in m.structs) for m in self.messages)


def load(folder):
    files = [File(p, False) for p in sorted(folder.glob("*.msg"))]
    files += [File(p, True) for p in sorted(folder.glob("records/*.msg"))]
    names = [m.name for f in files for m in f.messages]
    if len(set(names)) != len(names):
        raise SchemaError("two messages of one name")
    return files
