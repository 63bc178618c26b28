#!/usr/bin/env python3
"""make.py: writes the conformance vectors of mmts 1 into good/ and bad/ beside it.

The same bytes every time.  good/NAME.mmt must be accepted; good/NAME.txt says what it holds.
bad/NAME.mmt must be refused; bad/NAME.txt says why.
"""
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = dict(f64=8, f32=4, f16=2, bf16=2, i64=8, i32=4, i16=2, i8=1, u64=8, u32=4, u16=2, u8=1, bool=1, c64=8)


def pad(b):
    return b + bytes(-len(b) % 64)


def header(kind, lines):
    return pad(b"mmts 1 " + kind + b"\n" + b"".join(line + b"\n" for line in lines) + b"\n")


def body(data, crc=None):
    return pad(data + b"crc %08x\n" % (zlib.crc32(data) if crc is None else crc))


def record(kind, data=b"", *lines):
    return header(kind, [b"length: %d" % len(data)] + list(lines)) + body(data)


def tensor(dtype=b"f32", shape=b"[2,3]", data=bytes(range(24)), *lines):
    return record(b"tensor", data, b"dtype: " + dtype, b"shape: " + shape, *lines)


def text(s=b"hello\n", *lines):
    return record(b"text", s, *lines)


def packed(kind, data, *lines, size=None, stored=None):
    z = zlib.compress(data, 9) if stored is None else stored
    own = [b"encoding: zlib", b"size: %d" % (len(data) if size is None else size), b"length: %d" % len(z)]
    return header(kind, own + list(lines)) + body(z)


def end(n):
    return header(b"end", [b"records: %d" % n])


def swap(b, old, new):
    """b with old, which must be there, replaced once: for a defect inside a good record."""
    assert b.count(old) >= 1, old
    return b.replace(old, new, 1)


ONE = text()
GOOD = {
    "empty-section": (end(0), "no record"),
    "two-empty-sections": (end(0) + end(0), "no record, twice"),
    "text": (ONE + end(1), "one text"),
    "text-empty": (text(b"") + end(1), "a text of no bytes"),
    "text-nul": (text(b"a\0b") + end(1), "U+0000 inside a payload"),
    "text-utf8": (text("\u00e9\u20ac\U0001f600\ufeff".encode()) + end(1), "characters of 2, 3 and 4 bytes"),
    "text-51": (text(b"x" * 51) + end(1), "payload and trailer fill 64 bytes: no padding behind them"),
    "text-52": (text(b"x" * 52) + end(1), "one byte more: 63 bytes of padding"),
    "text-large": (text(b"0123456789abcdef" * 5000) + end(1), "80000 bytes"),
    "sections": (ONE + end(1) + ONE + ONE + end(2), "two sections"),
    "json": (record(b"json", b'{"a": [1, 2]}', b"kind: boxes") + end(1), "one json"),
    "bytes": (record(b"bytes", bytes(range(256)), b"content-type: application/octet-stream") + end(1), "one bytes"),
    "tensor": (tensor() + end(1), "f32 [2,3]"),
    "scalar": (tensor(b"f64", b"[]", struct.pack("<d", 2.5)) + end(1), "f64 of no dimension: 2.5"),
    "zero-dim": (tensor(b"f32", b"[0]", b"") + end(1), "f32 [0]"),
    "zero-inside": (tensor(b"f32", b"[4,0,7]", b"") + end(1), "f32 [4,0,7]"),
    "dims-8": (tensor(b"u8", b"[1,1,2,1,1,3,1,1]", b"abcdef") + end(1), "eight dimensions"),
    "zlib-text": (packed(b"text", b"hello " * 100) + end(1), "a compressed text"),
    "zlib-tensor": (packed(b"tensor", bytes(4000), b"dtype: f32", b"shape: [1000]") + end(1), "1000 zeros, compressed"),
    "zlib-empty": (packed(b"text", b"") + end(1), "a compressed text of no bytes"),
    "zlib-stored": (packed(b"bytes", bytes(range(200)), b"content-type: x/y", stored=zlib.compress(bytes(range(200)), 0))
                    + end(1), "a zlib stream of stored blocks"),
    "order": (header(b"tensor", [b"x-a: 1", b"shape: [3]", b"item: 0", b"length: 3", b"dtype: u8"]) + body(b"abc")
              + end(1), "the format's keys among the attributes"),
    "escapes": (text(b"t", rb"name: a\\b\nc\rd\te\x01\x1f\x7f", rb"x-e:  \x08\x0b\x0c\x0e\x0f ") + end(1),
                "every kind of escape, spaces at both ends of a value"),
    "value-empty": (text(b"t", b"name: ", b"x-colon: a: b: c") + end(1), "an empty value, and colons in one"),
    "value-utf8": (text(b"t", "source: \u00e9t\u00e9/\u6c34.png".encode()) + end(1), "UTF-8 in a value"),
    "unknown-key": (text(b"t", b"colour: red", b"x-1: y") + end(1), "an attribute no page knows: kept"),
    "key-64": (text(b"t", b"x" + b"-" * 63 + b": 1") + end(1), "a key of 64 bytes"),
    "item-large": (text(b"t", b"item: 9223372036854775807") + end(1), "the largest number"),
    "attributes": (text(b"t", b"item: 3", b"kind: text", b"modality: text", b"name: n", b"source: s", b"model: 0123456789abcdef",
                        b"rate: 16000", b"fps: 29.97", b"width: 640", b"height: 480", b"grid: [2,3]", b"layer: -2") + end(1),
                   "all the attributes"),
    "lines-1024": (text(b"t", *(b"x-%d: %d" % (i, i) for i in range(1023))) + end(1), "1024 header lines"),
    "header-65536": (text(b"t", b"x-long: " + b"a" * (65536 - 32)) + end(1), "a header of 65536 bytes"),
    "header-64": (text(b"t", b"x-long: " + b"a" * (64 - 32)) + end(1), "a header of 64 bytes: no padding"),
    "error": (text(b"no such file", b"kind: error", b"item: 1", b"source: a.png", b"reason: no such file") + end(1),
              "a record of a failed item"),
    "bool": (tensor(b"bool", b"[4]", b"\0\1\1\0") + end(1), "booleans"),
    "nan": (tensor(b"f32", b"[3]", struct.pack("<3f", float("nan"), float("inf"), -0.0)) + end(1), "NaN, infinity, -0"),
    "mixed": (tensor() + ONE + record(b"json", b"null") + packed(b"text", b"z" * 99) + end(4) + tensor() + end(1),
              "several types in two sections"),
}
for name, size in SIZES.items():
    GOOD["dtype-" + name] = (tensor(name.encode(), b"[2]", (b"\0\1" * 8)[:2 * size]) + end(1), "a tensor of " + name)
assert all(b % 64 == 0 for b in (len(v[0]) for v in GOOD.values()))

H = b"length: 6"
Z = zlib.compress(b"hello " * 100, 9)
BAD = {
    "empty": (b"", "zero bytes: a truncated stream"),
    "no-end": (ONE, "no end record"),
    "no-end-second": (ONE + end(1) + ONE, "no end record in the second section"),
    "magic-cut": (b"mmts 1", "truncated in the magic line"),
    "header-cut": (ONE[:20], "truncated in the header"),
    "header-pad-cut": (ONE[:40], "truncated in the padding behind the header"),
    "payload-cut": (ONE[:67], "truncated in the payload"),
    "trailer-cut": (ONE[:75], "truncated in the trailer"),
    "tail-pad-cut": (ONE[:100], "truncated in the padding behind the trailer"),
    "tail-pad-missing": (ONE[:83], "no padding behind the trailer at the end of input"),
    "end-pad-cut": (ONE + end(1)[:-1], "truncated in the padding of the end record"),
    "end-pad-missing": (ONE + b"mmts 1 end\nrecords: 1\n\n", "no padding behind the end record"),
    "large-cut": (text(b"0123456789abcdef" * 5000)[:70000], "a large payload, truncated"),
    "end-low": (ONE + ONE + end(1), "end counts 1 record of 2"),
    "end-high": (ONE + end(2), "end counts 2 records of 1"),
    "end-total": (ONE + end(1) + ONE + end(2), "end counts the records of both sections"),
    "end-attribute": (ONE + header(b"end", [b"records: 1", b"kind: text"]), "end with an attribute"),
    "end-length": (ONE + header(b"end", [b"records: 1", b"length: 0"]) + body(b""), "end with a length"),
    "end-no-records": (ONE + header(b"end", []), "end without records"),
    "end-records-sign": (ONE + header(b"end", [b"records: +1"]), "records is no number"),
    "garbage-front": (b"\n" + ONE + end(1), "a byte before the first record"),
    "garbage-between": (ONE + bytes(64) + end(1), "64 zero bytes between records"),
    "garbage-behind": (ONE + end(1) + b"x", "a byte behind the last end"),
    "zeros-behind": (ONE + end(1) + bytes(64), "64 zero bytes behind the last end"),
    "other-format": (b"\x89PNG\r\n\x1a\n" + bytes(56), "not a stream at all"),
    "version-2": (swap(ONE, b"mmts 1", b"mmts 2") + end(1), "another version"),
    "version-10": (header(b"text", [H]).replace(b"mmts 1 ", b"mmts 10 ") + body(b"hello\n") + end(1), "another version"),
    "magic-upper": (swap(ONE, b"mmts", b"MMTS") + end(1), "magic in capitals"),
    "magic-two-spaces": (pad(b"mmts 1  text\nlength: 6\n\n") + body(b"hello\n") + end(1), "two spaces in the magic line"),
    "magic-trailing-space": (pad(b"mmts 1 text \nlength: 6\n\n") + body(b"hello\n") + end(1), "a space behind the type"),
    "type-unknown": (header(b"table", [H]) + body(b"hello\n") + end(1), "an unknown type"),
    "type-none": (header(b"", [H]) + body(b"hello\n") + end(1), "no type"),
    "crlf": (pad(b"mmts 1 text\r\nlength: 6\r\n\r\n") + body(b"hello\n") + end(1), "lines that end in CR LF"),
    "no-empty-line": (pad(b"mmts 1 text\nlength: 6\n") + body(b"hello\n") + end(1), "no empty line behind the header"),
    "no-colon": (text(b"t", b"kind text") + end(1), "a line without colon"),
    "no-space": (text(b"t", b"kind:text") + end(1), "no space behind the colon"),
    "tab-after-colon": (text(b"t", b"kind:\ttext") + end(1), "a tab behind the colon"),
    "key-empty": (text(b"t", b": x") + end(1), "an empty key"),
    "key-upper": (text(b"t", b"Kind: x") + end(1), "a capital in a key"),
    "key-underscore": (text(b"t", b"x_a: x") + end(1), "an underscore in a key"),
    "key-digit-first": (text(b"t", b"1x: x") + end(1), "a key that begins with a digit"),
    "key-space": (text(b"t", b"kind : x") + end(1), "a space in a key"),
    "key-65": (text(b"t", b"x" * 65 + b": 1") + end(1), "a key of 65 bytes"),
    "key-twice": (text(b"t", b"name: a", b"name: a") + end(1), "an attribute twice"),
    "length-twice": (text(b"t", b"length: 1") + end(1), "length twice"),
    "value-control": (text(b"t", b"name: a\x01b") + end(1), "a control character in a value"),
    "value-tab": (text(b"t", b"name: a\tb") + end(1), "a tab in a value"),
    "value-nul": (text(b"t", b"name: a\0b") + end(1), "NUL in a value"),
    "value-del": (text(b"t", b"name: a\x7fb") + end(1), "U+007F in a value"),
    "value-utf8": (text(b"t", b"name: \xff") + end(1), "a value that is no UTF-8"),
    "value-surrogate": (text(b"t", b"name: \xed\xa0\x80") + end(1), "a surrogate in a value"),
    "value-overlong": (text(b"t", b"name: \xc0\xaf") + end(1), "an overlong form in a value"),
    "escape-unknown": (text(b"t", rb"name: \q") + end(1), "an unknown escape"),
    "escape-nul": (text(b"t", rb"name: \x00") + end(1), "an escape for NUL"),
    "escape-letter": (text(b"t", rb"name: \x41") + end(1), "an escape for a letter"),
    "escape-newline": (text(b"t", rb"name: \x0a") + end(1), "a second spelling of \\n"),
    "escape-upper": (text(b"t", rb"name: \x1F") + end(1), "a capital digit in an escape"),
    "escape-cut": (text(b"t", b"name: a\\") + end(1), "a backslash at the end of a value"),
    "escape-short": (text(b"t", rb"name: \x1") + end(1), "an escape with one digit"),
    "lines-1025": (text(b"t", *(b"x-%d: %d" % (i, i) for i in range(1024))) + end(1), "1025 header lines"),
    "header-65537": (text(b"t", b"x-long: " + b"a" * (65536 - 31)) + end(1), "a header of 65537 bytes"),
    "header-endless": (b"mmts 1 text\nx-long: " + b"a" * 70000, "a header without end"),
    "length-missing": (header(b"text", []) + body(b"hello\n") + end(1), "no length"),
    "length-negative": (header(b"text", [b"length: -6"]) + body(b"hello\n") + end(1), "a negative length"),
    "length-zeros": (header(b"text", [b"length: 06"]) + body(b"hello\n") + end(1), "a leading zero"),
    "length-empty": (header(b"text", [b"length: "]) + body(b"hello\n") + end(1), "an empty length"),
    "length-space": (header(b"text", [b"length:  6"]) + body(b"hello\n") + end(1), "a space before a number"),
    "length-hex": (header(b"text", [b"length: 0x6"]) + body(b"hello\n") + end(1), "a number that is not decimal"),
    "length-2-63": (header(b"text", [b"length: 9223372036854775808"]) + body(b"hello\n"), "a length of 2^63"),
    "length-huge": (header(b"text", [b"length: 9223372036854775807"]) + body(b"hello\n"), "a length of 2^63-1"),
    "length-20": (header(b"text", [b"length: 18446744073709551622"]) + body(b"hello\n") + end(1), "2^64+6: wraps to 6"),
    "length-short": (header(b"text", [b"length: 5"]) + body(b"hello\n") + end(1), "a length one too small"),
    "length-long": (header(b"text", [b"length: 7"]) + body(b"hello\n") + end(1), "a length one too large"),
    "crc-wrong": (header(b"text", [H]) + body(b"hello\n", 0x12345678) + end(1), "another checksum"),
    "crc-upper": (header(b"text", [H]) + pad(b"hello\ncrc %08X\n" % zlib.crc32(b"hello\n")) + end(1), "capitals in the crc"),
    "crc-missing": (header(b"text", [H]) + pad(b"hello\n") + end(1), "no trailer"),
    "crc-no-newline": (header(b"text", [H]) + pad(b"hello\ncrc %08x" % zlib.crc32(b"hello\n")) + end(1), "a trailer without LF"),
    "payload-flipped": (swap(ONE, b"hello", b"jello") + end(1), "a payload that changed"),
    "header-pad-nonzero": (ONE[:63] + b"\1" + ONE[64:] + end(1), "padding behind the header that is not zero"),
    "tail-pad-nonzero": (ONE[:-1] + b" " + end(1), "padding behind the trailer that is not zero"),
    "end-pad-nonzero": (ONE + end(1)[:-1] + b"\n", "padding of the end record that is not zero"),
    "no-alignment": (b"mmts 1 text\nlength: 6\n\n" + body(b"hello\n") + end(1), "a payload that is not aligned"),
    "align-32": (b"mmts 1 text\nlength: 6\n\n" + bytes(9) + body(b"hello\n") + end(1), "aligned to 32"),
    "pad-64-more": (header(b"text", [H]) + bytes(64) + body(b"hello\n") + end(1), "64 bytes of padding too many"),
    "dtype-missing": (record(b"tensor", b"abcd", b"shape: [4]") + end(1), "a tensor without dtype"),
    "shape-missing": (record(b"tensor", b"abcd", b"dtype: u8") + end(1), "a tensor without shape"),
    "dtype-in-text": (text(b"t", b"dtype: u8") + end(1), "dtype outside a tensor"),
    "shape-in-text": (text(b"t", b"shape: [1]") + end(1), "shape outside a tensor"),
    "records-in-text": (text(b"t", b"records: 1") + end(1), "records outside an end"),
    "dtype-unknown": (tensor(b"f8") + end(1), "an unknown dtype"),
    "dtype-upper": (tensor(b"F32") + end(1), "a dtype in capitals"),
    "dtype-quantised": (tensor(b"q4_0", b"[32]", bytes(18)) + end(1), "a block type: not on the stream"),
    "shape-small": (tensor(b"f32", b"[2,2]") + end(1), "a length larger than the shape's"),
    "shape-large": (tensor(b"f32", b"[2,4]") + end(1), "a length smaller than the shape's"),
    "shape-no-brackets": (tensor(b"f32", b"2,3") + end(1), "a shape without brackets"),
    "shape-space": (tensor(b"f32", b"[2, 3]") + end(1), "a space in a shape"),
    "shape-comma": (tensor(b"f32", b"[2,3,]") + end(1), "a comma at the end of a shape"),
    "shape-hole": (tensor(b"f32", b"[2,,3]") + end(1), "an empty size"),
    "shape-negative": (tensor(b"f32", b"[-2,-3]") + end(1), "negative sizes"),
    "shape-9": (tensor(b"u8", b"[1,1,1,1,1,1,1,1,1]", b"a") + end(1), "nine dimensions"),
    "shape-overflow": (tensor(b"u8", b"[4294967296,4294967296]", b"") + end(1), "2^64 elements: wraps to 0"),
    "shape-overflow-bytes": (tensor(b"f32", b"[4611686018427387904]", b"") + end(1), "2^64 bytes: wraps to 0"),
    "shape-overflow-zero": (tensor(b"u8", b"[4294967296,4294967296,0]", b"") + end(1), "sizes overflow beside a 0"),
    "shape-overflow-zero-bytes": (tensor(b"f32", b"[4611686018427387904,0]", b"") + end(1), "2^64 bytes beside a 0"),
    "bool-2": (tensor(b"bool", b"[2]", b"\0\2") + end(1), "a bool of 2"),
    "text-utf8": (text(b"\xff") + end(1), "a text that is no UTF-8"),
    "text-utf8-cut": (text(b"a\xe2\x82") + end(1), "a text that ends inside a character"),
    "json-utf8": (record(b"json", b'"\xff"') + end(1), "a json that is no UTF-8"),
    "bytes-no-type": (record(b"bytes", b"abc") + end(1), "bytes without content-type"),
    "item-negative": (text(b"t", b"item: -1") + end(1), "a negative item"),
    "item-word": (text(b"t", b"item: one") + end(1), "an item that is no number"),
    "encoding-unknown": (header(b"text", [H, b"encoding: gzip", b"size: 6"]) + body(b"hello\n") + end(1), "another encoding"),
    "encoding-alone": (header(b"text", [H, b"encoding: zlib"]) + body(b"hello\n") + end(1), "encoding without size"),
    "size-alone": (header(b"text", [H, b"size: 6"]) + body(b"hello\n") + end(1), "size without encoding"),
    "zlib-size-low": (packed(b"text", b"hello " * 100, size=599) + end(1), "inflates to more than size"),
    "zlib-size-high": (packed(b"text", b"hello " * 100, size=601) + end(1), "inflates to less than size"),
    "zlib-bomb": (packed(b"text", bytes(1000000), size=10) + end(1), "inflates to far more than size"),
    "zlib-size-zero": (packed(b"text", b"hello " * 100, size=0) + end(1), "inflates to more than a size of 0"),
    "zlib-cut": (packed(b"text", b"hello " * 100, stored=Z[:-5]) + end(1), "a zlib stream without its end"),
    "zlib-no-check": (packed(b"text", b"hello " * 100, stored=Z[:-4]) + end(1), "a zlib stream without its checksum"),
    "zlib-check": (packed(b"text", b"hello " * 100, stored=Z[:-1] + bytes([Z[-1] ^ 1])) + end(1), "zlib's checksum differs"),
    "zlib-more": (packed(b"text", b"hello " * 100, stored=Z + b"x") + end(1), "a byte behind the zlib stream"),
    "zlib-two": (packed(b"text", b"hello " * 200, stored=Z + Z) + end(1), "two zlib streams"),
    "zlib-none": (packed(b"text", b"hello ", stored=b"hello ") + end(1), "no zlib stream"),
    "zlib-empty": (packed(b"text", b"", stored=b"") + end(1), "a zlib stream of no bytes"),
    "zlib-shape": (packed(b"tensor", bytes(4000), b"dtype: f32", b"shape: [999]") + end(1), "size is not that of the shape"),
    "zlib-utf8": (packed(b"text", b"\xff" * 100) + end(1), "a compressed text that is no UTF-8"),
}


def write(folder, cases):
    path = os.path.join(HERE, folder)
    os.makedirs(path, exist_ok=True)
    for name, (data, remark) in sorted(cases.items()):
        with open(os.path.join(path, name + ".mmt"), "wb") as f:
            f.write(data)
        with open(os.path.join(path, name + ".txt"), "w") as f:
            f.write(remark + "\n")


write("good", GOOD)
write("bad", BAD)
