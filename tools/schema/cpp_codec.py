"""Straight-line codecs: one read and one write function per struct, with a branch for what differs between versions."""
from . import cpp_struct
from .notation import NUMBERS

READ = {"bool": "boolean", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint16": "u16", "uint32": "u32",
        "float64": "f64", "uuid": "uuid"}
LISTS = {"int8": "numbers", "int16": "numbers", "int32": "numbers", "int64": "numbers", "uuid": "uuids", "string": "strings"}


def within(r, m):
    """The condition under which version `v` of message m lies in range r: "" for always, None for never."""
    if not r.meets(m.versions):
        return None
    parts = [f"v >= {r.low}"] if r.low > m.versions.low else []
    parts += [f"v <= {r.high}"] if r.high < m.versions.high else []
    return f"v == {r.low}" if r.low == r.high and len(parts) == 2 else " && ".join(parts)


def truth(condition): return "false" if condition is None else condition or "true"


class Codec:
    def __init__(self, m):
        self.m, self.tags, self.lines = m, m.ever_flexible(), []
        self.flex = truth(within(m.flexible, m))

    def type_of(self, s): return f"{self.m.name}::{s.name}" if s else self.m.name

    def flexible(self, f): return "false" if f.rigid else "true" if f.tag is not None else "true" if self.flex == "true" else \
        "false" if self.flex == "false" else "flexible"

    def style(self, f):
        """The trailing arguments (flexible, nullable) of the wire functions."""
        null = within(f.null, self.m)
        return self.flexible(f) + ("" if null is None else f", {null or 'true'}")

    def put(self, depth, text): self.lines.append("  " * depth + text)

    def tail(self, depth, condition, lines):
        """`lines` under a condition ("" for none)."""
        if condition:
            self.put(depth, f"if ({condition}) {{")
            for x in lines: self.put(depth + 1, x)
            self.put(depth, "}")
        else:
            for x in lines: self.put(depth, x)

    # ---- read

    def least(self, f):
        """An expression: the least number of bytes of an element of the list in version v."""
        first, *later = self.m.minima(f)
        return "".join(f"v >= {low} ? {size} : " for low, size in reversed(later)) + str(first[1])

    def read_lines(self, f):
        to = f"x.{f.member}"
        if f.list and f.struct:
            n = self.least(f)
            null = within(f.null, self.m)
            args = self.flexible(f) + ("" if null is None else f", {null or 'true'}")
            return [f"const int32_t n_{f.member} = wire::read_list(r, {to}, {n}, {args});",
                    f"for (int32_t i = 0; i < n_{f.member} && r.ok(); ++i) read(r, a, v, wire::next(a, {to}, n_{f.member}));"]
        if f.list:
            return [f"wire::read_{LISTS[f.type]}(r, a, {to}, {self.style(f)});"]
        if f.struct:
            if f.null.empty():
                return [f"read(r, a, v, {to});"]
            mark = "r.uvarint() == 0" if f.tag is not None else "r.i8() < 0"
            condition = within(f.null, self.m)
            lines = [f"{to}.null = {mark};" if condition == "" else f"{to}.null = ({condition}) && {mark};"]
            return lines + [f"if (!{to}.null) read(r, a, v, {to}.value);"]
        if f.type in READ:
            return [f"{to} = r.{READ[f.type]}();"]
        arena = "a, " if f.type == "string" else ""
        return [f"{to} = wire::read_{f.type}(r, {arena}{self.style(f)});"]

    def reader(self, name, fields):
        self.put(0, f"static void read(Reader& r, Arena& a, int16_t v, {name}& x) {{")
        self.locals(fields)
        for f in fields:
            if f.tag is None:
                self.tail(1, within(f.versions, self.m), self.read_lines(f))
        tagged = [f for f in fields if f.tag is not None]
        if self.tags:
            flexible = within(self.m.flexible, self.m)
            if not tagged:
                self.tail(1, flexible, ["wire::skip_tags(r, a, x.unknown_tags);"])
            else:
                lines = ["for (wire::TagReader t(r); t.next();) {"]
                for f in tagged:
                    condition = within(f.versions, self.m)
                    test = f"t.tag() == {f.tag}" + (f" && {condition}" if condition else "")
                    lines += [f"  if ({test}) {{"] + ["    " + x for x in self.read_lines(f)] + ["    continue;", "  }"]
                self.tail(1, flexible, lines + ["  t.unknown(a, x.unknown_tags);", "}"])
        self.put(0, "}")

    def locals(self, fields):
        used = self.flex not in ("true", "false") and any(
            not f.rigid and f.tag is None and (f.list or f.type in ("string", "bytes", "records")) for f in fields)
        if used:
            self.put(1, f"const bool flexible = {self.flex};")

    # ---- write

    def write_lines(self, f):
        of = f"x.{f.member}"
        if f.list and f.struct:
            return [f"wire::write_list(w, {of}, {self.style(f)});", f"for (const auto& e : {of}) write(w, v, e);"]
        if f.list:
            return [f"wire::write_{LISTS[f.type]}(w, {of}, {self.style(f)});"]
        if f.struct:
            if f.null.empty():
                return [f"write(w, v, {of});"]
            mark = f"w.uvarint({of}.null ? 0 : 1);" if f.tag is not None else f"w.i8({of}.null ? -1 : 1);"
            condition = within(f.null, self.m)
            lines = [mark] if condition == "" else [f"if ({condition}) {mark}", f'else if ({of}.null) w.fail("{self.where(f)}: null where none is allowed");']
            return lines + [f"if (!{of}.null) write(w, v, {of}.value);"]
        if f.type in READ:
            return [f"w.{READ[f.type]}({of});"]
        return [f"wire::write_{f.type}(w, {of}, {self.style(f)});"]

    def where(self, f): return f"{self.m.name}.{f.json}"

    def is_default(self, f):
        """An expression: whether the field is at its default."""
        of, value = f"x.{f.member}", cpp_struct.default(f)
        if f.list:
            return f"{of}.is_null()" if value else f"wire::is_empty({of})"
        if f.struct:
            if f.null.empty():
                return f"at_default({of})"
            return f"{of}.null" if value else f"(!{of}.null && at_default({of}.value))"
        if f.type == "string":
            return f"is_null({of})" if value == "kNullStr" else f"wire::same({of}, {value})"
        if f.type in ("bytes", "records"):
            return f"wire::is_empty({of})" if value else f"{of}.is_null()"
        if f.type == "uuid":
            return f"{of}.zero()"
        return f"!{of}" if value == "false" else of if value == "true" else f"{of} == {value}"

    def default_test(self, name, fields):
        tests = [self.is_default(f) for f in fields] + (["x.unknown_tags == nullptr"] if self.tags else [])
        self.put(0, f"static bool at_default(const {name}& x) {{ return {' && '.join(tests)}; }}")

    def writer(self, name, fields):
        self.put(0, f"static void write(Writer& w, int16_t v, const {name}& x) {{")
        self.locals(fields)
        for f in fields:
            condition = within(f.versions, self.m)
            if f.tag is None:
                self.tail(1, condition, self.write_lines(f))
            if condition and not f.ignorable:
                refuse = f'w.fail("{self.where(f)}: this version has no such field");'
                test = f"!({self.is_default(f)})"
                self.put(1, f"else if ({test}) {refuse}" if f.tag is None else f"if (!({condition}) && {test}) {refuse}")
        if self.tags:
            tagged = sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
            lines = ["wire::write_tags(w, x.unknown_tags);"] if not tagged else self.write_tagged(tagged)
            self.tail(1, within(self.m.flexible, self.m), lines)
        self.put(0, "}")

    def write_tagged(self, tagged):
        lines = []
        for f in tagged:
            condition = within(f.versions, self.m)
            lines.append(f"const bool has_{f.member} = {condition + ' && ' if condition else ''}!({self.is_default(f)});")
        lines.append("const RawTag* kept = x.unknown_tags;")
        lines.append("w.uvarint(wire::count_tags(kept)" + "".join(f" + has_{f.member}" for f in tagged) + ");")
        for f in tagged:
            lines += [f"if (has_{f.member}) {{", f"  const auto size = wire::begin_tag(w, kept, {f.tag});"]
            lines += ["  " + x for x in self.write_lines(f)] + ["  w.end_sized(size);", "}"]
        return lines + ["wire::write_rest(w, kept);"]

    def message(self):
        m = self.m
        needed = self.structs_with_default_test()
        for s in m.structs:
            name = self.type_of(s)
            self.reader(name, s.fields)
            if s.name in needed:
                self.default_test(name, s.fields)
            self.writer(name, s.fields)
        self.reader(m.name, m.fields)
        self.writer(m.name, m.fields)
        self.put(0, f"bool decode(Reader& r, Arena& a, int16_t version, {m.name}& out) {{")
        self.put(1, f"out = {m.name}();")
        self.put(1, f'if (version < out.kLowest || version > out.kHighest) r.fail("{m.name} has no such version");')
        self.put(1, "if (r.ok()) read(r, a, version, out);")
        self.put(1, "return r.ok();")
        self.put(0, "}")
        self.put(0, f"void encode(Writer& w, int16_t version, const {m.name}& in) {{")
        self.put(1, f'if (version < in.kLowest || version > in.kHighest) return w.fail("{m.name} has no such version");')
        self.put(1, "write(w, version, in);")
        self.put(0, "}")
        return "\n".join(self.lines)

    def structs_with_default_test(self):
        def wanted(f): return f.struct and not f.list and (f.tag is not None or (within(f.versions, self.m) and not f.ignorable))
        needed, todo = set(), [f for s in [self.m, *self.m.structs] for f in s.fields if wanted(f)]
        while todo:
            f = todo.pop()
            needed.add(f.struct.name)
            todo += [g for g in f.struct.fields if g.struct and not g.list]
        return needed


def unit(files):
    body = "\n\n".join(Codec(m).message() for f in files for m in f.messages)
    includes = "".join(f'#include "{f.header}"\n' for f in files)
    return (cpp_struct.GENERATED.format(source="engine/schema") + includes + '#include "engine/protocol/wire.h"\n\n'
            "#pragma GCC diagnostic ignored \"-Wunused-parameter\"\n\nnamespace klamm::protocol {\n\n" + body + "\n\n}  // namespace klamm::protocol\n")
