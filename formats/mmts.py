"""mmts.py: an independent reader of mmts 1 (see mmts.md): read(f) yields (type, fields, payload) of each record of a
binary file, or raises ValueError or zlib.error.  As a program it lists a stream; status 65 if malformed."""
import re
import sys
import zlib

SIZES = dict(f64=8, f32=4, f16=2, bf16=2, i64=8, i32=4, i16=2, i8=1, u64=8, u32=4, u16=2, u8=1, bool=1, c64=8)
LETTERS = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
ESCAPE = re.compile(r"\\([nrt\\]|x(?:0[1-8bcef]|1[0-9a-f]|7f))|\\|[\x00-\x1f\x7f]")


def need(condition, reason):
    if not condition:
        raise ValueError(reason)
    return condition


def number(text):
    return int(need(re.fullmatch("0|[1-9][0-9]{0,18}", text, re.A) and int(text) < 1 << 63 and text, "no number"))


def unescape(m):
    return LETTERS.get(need(m[1], "bad escape or control character")) or chr(int(m[1][1:], 16))


def read_header(f):
    magic = line = f.readline(64)
    m = re.fullmatch(rb"mmts 1 (tensor|text|json|bytes|end)\n", magic)
    need(m or not magic, "no magic line of mmts 1")
    fields, size = {}, len(magic)
    while m and line != b"\n":
        line = f.readline(65537 - size)
        size += len(line)
        need(line.endswith(b"\n") and size <= 65536, "header truncated or too long")
        if line != b"\n":
            kv = need(re.fullmatch(rb"([a-z][a-z0-9-]{0,63}): (.*)\n", line, re.S), "no 'key: value' line")
            need(kv[1].decode() not in fields and len(fields) < 1024, "a key twice or too many")
            fields[kv[1].decode()] = ESCAPE.sub(unescape, kv[2].decode())
    need(f.read(-size % 64) == bytes(-size % 64), "padding")
    return m and m[1].decode(), fields


def read_payload(f, kind, a, limit):
    need("length" in a and (kind != "bytes" or "content-type" in a), "no length or no content-type")
    need("records" not in a and ("encoding" in a) == ("size" in a), "records, encoding or size")
    need((kind == "tensor") == ("dtype" in a) and ("dtype" in a) == ("shape" in a), "dtype or shape")
    length, size, _ = number(a["length"]), number(a.get("size", a["length"])), number(a.get("item", "0"))
    need(max(length, size) <= limit, "record larger than the limit")
    if kind == "tensor":
        need(a["dtype"] in SIZES and re.fullmatch(r"\[([0-9]+(,[0-9]+){0,7})?\]", a["shape"], re.A), "dtype or shape")
        count = filled = SIZES[a["dtype"]]
        for n in map(number, filter(None, a["shape"][1:-1].split(","))):
            count, filled = count * n, filled * (n or 1)
        need(filled < 1 << 63 and count == size, "length is not that of dtype and shape")
    data, rest = f.read(length), 13 + -(length + 13) % 64
    need(len(data) == length and f.read(rest) == (b"crc %08x\n" % zlib.crc32(data)).ljust(rest, b"\0"), "crc or padding")
    if "encoding" in a:
        z = zlib.decompressobj()
        data = z.decompress(data, size + 1)
        need(a["encoding"] == "zlib" and z.eof and not z.unused_data and len(data) == size, "encoding")
    need(a.get("dtype") != "bool" or max(data, default=0) < 2, "bool other than 0 or 1")
    return data.decode() if kind in ("text", "json") else data


def read(f, limit=1 << 30):
    count, kind = 0, ""
    for kind, fields in iter(lambda: read_header(f), (None, {})):
        if kind != "end":
            yield kind, fields, read_payload(f, kind, fields, limit)
        need(kind != "end" or (list(fields) == ["records"] and number(fields["records"]) == count), "end miscounts")
        count = 0 if kind == "end" else count + 1
    need(kind == "end", "no end record")


if __name__ == "__main__":
    try:
        for kind, fields, data in read(open(sys.argv[1], "rb") if len(sys.argv) > 1 else sys.stdin.buffer):
            print(kind, len(data), *("%s=%r" % field for field in sorted(fields.items())))
    except (ValueError, zlib.error) as e:
        sys.exit(print("mmts.py: %s" % e, file=sys.stderr) or 65)
