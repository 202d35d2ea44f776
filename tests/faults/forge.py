# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that lie: taken apart, changed at random, and sealed again with right checksums, so that
nothing but the checks of meaning stands between them and a restore. docs/IMAGE.md is the format."""

import ctypes
import struct

PREAMBLE, HEADER = 32, 32
SEAL, INDEX = 1, 2
CRITICAL, BULK = 1, 2
HEADER_FIELDS = struct.Struct("<QIHBBII")	# all but the header's own hash
# Numbers that programs get wrong.
NUMBERS = [0, 1, 2, 3, 7, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 2**24, 2**31 - 1, 2**31,
           2**32 - 1, 2**32, 2**47, 2**63 - 1, 2**63, 2**64 - 4096, 2**64 - 1]

library = ctypes.CDLL("libxxhash.so.0")
library.XXH3_64bits.restype = ctypes.c_uint64
library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def digest(data):
    return library.XXH3_64bits(bytes(data), len(data))


class Record:
    def __init__(self, kind, codec, flags, payload, size):
        self.kind, self.codec, self.flags = kind, codec, flags
        self.payload, self.size = payload, size


def parse(data):
    """The records before the seal. The image must be whole."""
    records, at = [], PREAMBLE
    while True:
        _, _, kind, codec, flags, stored, size = HEADER_FIELDS.unpack_from(data, at + 8)
        if kind == SEAL:
            return records
        at += HEADER
        records.append(Record(kind, codec, flags, bytes(data[at:at + stored]), size))
        at += stored


def build(preamble, records):
    """An image of these records, sealed, without an index."""
    out, total = bytearray(preamble), struct.unpack_from("<Q", preamble, 24)[0]

    def append(number, record):
        size = len(record.payload) if record.codec == 0 else record.size
        tail = HEADER_FIELDS.pack(digest(record.payload), number, record.kind, record.codec,
                                  record.flags, len(record.payload), size)
        check = digest(tail)
        out.extend(struct.pack("<Q", check) + tail + record.payload)
        return check

    for number, record in enumerate(records):
        total += append(number, record)
    seal = struct.pack("<QQQQ", len(records), total % 2**64, len(out), 0)
    append(len(records), Record(SEAL, 0, CRITICAL | BULK, seal, len(seal)))
    return bytes(out)


# ---- protobuf without its schema ----

def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError


def write_varint(value):
    out = bytearray()
    value %= 2**64
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse_message(data):
    """[[number, wire type, value]]; ValueError or IndexError if it is none."""
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 2000:
            raise ValueError
        if wire == 0:
            value, at = read_varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if at + size > len(data):
                raise ValueError
            value, at = data[at:at + size], at + size
        elif wire == 2:
            size, at = read_varint(data, at)
            if at + size > len(data):
                raise ValueError
            value, at = data[at:at + size], at + size
        else:
            raise ValueError
        fields.append([number, wire, value])
    return fields


def build_message(fields):
    out = bytearray()
    for number, wire, value in fields:
        out += write_varint(number << 3 | wire)
        if wire == 0:
            out += write_varint(value)
        else:
            out += (write_varint(len(value)) if wire == 2 else b"") + value
    return bytes(out)


def change_bytes(data, pick):
    data = bytearray(data)
    for _ in range(pick.choice([1, 1, 1, 3])):
        what = pick.randrange(5)
        if what == 0 or not data:
            data.insert(pick.randrange(len(data) + 1), pick.randrange(256))
        elif what == 1:
            del data[pick.randrange(len(data))]
        elif what == 2:
            del data[pick.randrange(len(data)):]
        else:
            data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
    return bytes(data)


def other_number(value, pick):
    return pick.choice([pick.choice(NUMBERS), value + 1, value - 1, value + 4096,
                        value ^ 1 << pick.randrange(64)])


def change_field(field, pick):
    wire, value = field[1], field[2]
    if wire == 0:
        field[2] = other_number(value, pick)
    elif wire != 2:
        field[2] = pick.choice(NUMBERS).to_bytes(8, "little")[:len(value)]
    else:
        try:
            if pick.random() < 0.15:
                raise ValueError
            field[2] = change_message(value, pick)
        except (ValueError, IndexError):
            field[2] = change_bytes(value, pick)


def change_message(data, pick):
    fields = parse_message(data)
    if not fields:
        raise ValueError
    at = pick.randrange(len(fields))
    what = pick.randrange(12)
    if what == 0:
        del fields[at]
    elif what == 1:
        fields.insert(pick.randrange(len(fields) + 1), list(fields[at]))
    elif what == 2:
        other = pick.randrange(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    elif what == 3:
        fields[at][0] = pick.randrange(1, 30)
    else:
        change_field(fields[at], pick)
    return build_message(fields)


def change_pages(data, pick):
    """The head of a page record: space, number of ranges, ranges."""
    data = bytearray(data)
    if len(data) < 32:
        return change_bytes(data, pick)
    at, size = pick.choice([(0, 8), (8, 4), (12, 4), (16, 8), (24, 4), (28, 4)])
    new = other_number(int.from_bytes(data[at:at + size], "little"), pick)
    data[at:at + size] = (new % 2**(8 * size)).to_bytes(size, "little")
    return bytes(data)


def change_records(records, pick):
    """Changes one thing; returns a few words about it."""
    at = pick.randrange(1, len(records)) if pick.random() < 0.95 else 0
    record = records[at]
    where = f"record {at} of kind {record.kind:#x}"
    what = pick.randrange(24)
    if what == 0:
        del records[at]
        return where + " left out"
    if what == 1:
        records.insert(pick.randrange(len(records) + 1), record)
        return where + " twice"
    if what == 2:
        records.insert(pick.randrange(len(records)), records.pop(at))
        return where + " moved"
    changed = Record(record.kind, record.codec, record.flags, record.payload, record.size)
    records[at] = changed
    if what == 3:
        changed.kind = pick.choice([pick.choice(records).kind, pick.randrange(1 << 16)])
        return where + f" made {changed.kind:#x}"
    if what == 4:
        changed.flags ^= pick.choice([CRITICAL, BULK])
        return where + " with other flags"
    if record.flags & BULK:
        changed.payload = change_pages(record.payload, pick)
        return where + ": other pages"
    try:
        changed.payload = change_message(record.payload, pick)
        return where + ": another message"
    except (ValueError, IndexError):
        changed.payload = change_bytes(record.payload, pick)
        return where + ": other bytes"
