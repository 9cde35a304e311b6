"""PTX run on the host: what Numba's compiler made of a kernel, tried without a GPU.

The simulator runs the Python of a kernel, with plain twins in the place of what is written in LLVM. Here the compiled
code itself runs, those parts included: all threads of a block at once, each register an array with an element a
thread. Of the threads at different places in the code, those furthest behind go on first. Every access to memory is
checked for its bounds and its alignment.

It knows the instructions that the kernels use; their meaning is that of the PTX ISA manual, chapter 9. It knows no
time: a missing barrier shows only where the order of the threads does.
"""

import re

import numpy as np

SHARED = 1 << 40   # where shared memory begins, and the arena of device memory: far from each other and from 0
ARENA = 1 << 44
GAP = 256          # bytes between two arrays, which nothing may touch
LANES = 32

TYPES = {"b8": np.uint8, "u8": np.uint8, "s8": np.int8, "b16": np.uint16, "u16": np.uint16, "s16": np.int16,
         "f16": np.float16, "b32": np.uint32, "u32": np.uint32, "s32": np.int32, "f32": np.float32, "b64": np.uint64,
         "u64": np.uint64, "s64": np.int64, "f64": np.float64, "pred": np.bool_}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
           "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal}
UNORDERED = {"equ": np.equal, "neu": np.not_equal, "ltu": np.less, "leu": np.less_equal, "gtu": np.greater,
             "geu": np.greater_equal}


class Memory:
    """The device memory of a run: copies of arrays, with gaps that may not be touched between them."""

    def __init__(self):
        self.bytes = np.zeros(0, np.uint8)
        self.valid = np.zeros(0, bool)
        self.places = []

    def add(self, array, offset=0):
        """The address of a copy of `array`, `offset` bytes from a multiple of 256; None is at 0."""
        if array is None:
            return 0
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        first = -(-(self.bytes.size + GAP) // 256) * 256 + offset
        grown = first + data.size + GAP
        self.bytes = np.concatenate((self.bytes, np.full(grown - self.bytes.size, 0xFF, np.uint8)))
        self.valid = np.concatenate((self.valid, np.zeros(grown - self.valid.size, bool)))
        self.bytes[first:first + data.size] = data
        self.valid[first:first + data.size] = True
        self.places.append(first)
        return ARENA + first

    def get(self, address, shape, dtype):
        """The array of that address, as it is now."""
        first = address - ARENA
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.bytes[first:first + size].copy().view(dtype).reshape(shape)


class Kernel:
    """A kernel of a PTX module, the only one of it."""

    def __init__(self, text):
        self.text = text
        _, body = re.split(r"\.entry", text, maxsplit=1)
        self.shared, self.shared_bytes = {}, 0
        for align, kind, name, count in re.findall(r"\.shared \.align (\d+) \.(\w+) (\w+)(?:\[(\d+)\])?", text):
            self.shared_bytes = -(-self.shared_bytes // int(align)) * int(align)
            self.shared[name] = self.shared_bytes
            self.shared_bytes += int(count or 1) * np.dtype(TYPES[kind]).itemsize
        self.limit = int((re.search(r"\.maxntid (\d+)", body) or [0, 1024])[1])
        signature, body = body.split("{", 1)
        self.parameters = [(kind, name) for kind, name in re.findall(r"\.param \.(\w+) (\w+)", signature)]
        self.kinds, self.code, self.labels = {}, [], {}
        self._parse(body)

    def _parse(self, body):
        scopes = [{}]
        for number, piece in enumerate(_pieces(body)):
            if piece == "{":
                scopes.append({})
            elif piece == "}":
                scopes.pop()
            elif piece.endswith(":"):
                self.labels[piece[:-1]] = len(self.code)
            elif piece.startswith(".reg"):
                kind, names = re.match(r"\.reg \.(\w+) (.*)", piece).groups()
                for one in names.split(","):
                    name, many = re.match(r"\s*([%\w]+)(?:<(\d+)>)?", one).groups()
                    for each in [name] if many is None else [f"{name}{i}" for i in range(int(many))]:
                        # A name may stand for another register within braces.
                        scopes[-1][each] = each if len(scopes) == 1 else f"{each}'{number}"
                        self.kinds[scopes[-1][each]] = TYPES[kind]
            elif not piece.startswith("."):
                def unique(match, scopes=tuple(scopes)):
                    return next((scope[match[0]] for scope in reversed(scopes) if match[0] in scope), match[0])

                guard, operation, rest = re.match(r"(?:@(!?[%\w]+)\s+)?([a-z][\w.]*)\s*(.*)", piece).groups()
                rest, guard = (part and re.sub(r"%?[A-Za-z_]\w*", unique, part) for part in (rest, guard))
                operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest)
                self.code.append((guard, operation.split("."), [operand.strip() for operand in operands]))

    def run(self, blocks, threads, arguments, memory):
        """Run blocks of so many threads, one after the other."""
        assert threads <= self.limit and len(arguments) == len(self.parameters)
        with np.errstate(all="ignore"):
            for block in range(blocks):
                _Block(self, block, blocks, threads, arguments, memory).run()


def _pieces(body):
    """The statements, labels and braces of a function; the braces of a vector belong to its statement."""
    body, piece, vector, depth = re.sub(r"//[^\n]*", "", body), "", False, 1
    for character in body:
        if character == "{" and not piece.strip():
            yield character
            depth += 1
        elif character == "}" and not vector:
            depth -= 1
            if not depth:
                return
            yield character
        elif character == ";" or (character == ":" and piece.strip().startswith("$")):
            text = " ".join(piece.split())
            piece = ""
            if text:
                yield text + ":" * (character == ":")
        else:
            vector = character == "{" or (vector and character != "}")
            piece += character


class _Block:
    def __init__(self, kernel, block, blocks, threads, arguments, memory):
        self.kernel, self.memory, self.threads = kernel, memory, threads
        self.registers = {}
        self.shared = np.full(kernel.shared_bytes, 0xFF, np.uint8)
        self.arguments = {name: np.array([value], TYPES[kind]) for (kind, name), value in
                          zip(kernel.parameters, arguments, strict=True)}
        everywhere = np.zeros(threads, np.uint32)
        self.special = {"%tid.x": np.arange(threads, dtype=np.uint32), "%ctaid.x": everywhere + np.uint32(block),
                        "%ntid.x": everywhere + np.uint32(threads), "%nctaid.x": everywhere + np.uint32(blocks),
                        "%laneid": np.arange(threads, dtype=np.uint32) % LANES}
        for name in ("%tid", "%ctaid"):
            self.special |= {f"{name}.y": everywhere, f"{name}.z": everywhere}

    def run(self):
        code, end = self.kernel.code, len(self.kernel.code)
        self.at = np.zeros(self.threads, np.int64)
        self.waiting = np.zeros(self.threads, bool)
        while True:
            live = self.at < end
            if not live.any():
                return
            if (self.waiting == live).all():
                self._meet(live)
                continue
            ready = live & ~self.waiting
            place = self.at[ready].min()
            now = np.flatnonzero(ready & (self.at == place))
            guard, operation, operands = code[place]
            self.at[now] += 1
            if guard:
                wanted = self.read(guard.lstrip("!"), "pred", now) != guard.startswith("!")
                now = now[wanted]
            if now.size:
                getattr(self, f"do_{operation[0]}")(operation, operands, now)

    # Operands

    def read(self, operand, kind, lanes):
        """The values of an operand, for some of the threads."""
        dtype = TYPES[kind]
        if operand in self.kernel.kinds:
            values = self.registers.get(operand)
            if values is None:
                raise ValueError(f"{operand} is read before it is written")
            if dtype is np.bool_:
                return values[lanes]
            # Of a wider register, the lower bits.
            return values[lanes].astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
        if operand in self.special:
            return self.special[operand][lanes].view(dtype)
        if operand in self.kernel.shared:
            value = SHARED + self.kernel.shared[operand]
        elif operand.startswith(("0f", "0d")):
            bits = np.array([int(operand[2:], 16)], np.uint32 if operand[1] == "f" else np.uint64)
            return np.repeat(bits.view(np.float32 if operand[1] == "f" else np.float64), lanes.size).view(dtype)
        else:
            value = int(operand, 0)
        if dtype is np.bool_:
            return np.full(lanes.size, bool(value))
        width = np.dtype(dtype).itemsize
        return np.full(lanes.size, value & (1 << 8 * width) - 1, f"u{width}").view(dtype)

    def write(self, operand, values, lanes):
        if operand == "_":
            return
        dtype = self.kernel.kinds[operand]
        values = np.asarray(values)
        if dtype is not np.bool_:
            dtype = np.dtype(f"u{np.dtype(dtype).itemsize}")
            assert values.dtype.itemsize <= dtype.itemsize, (operand, values.dtype)
            if values.dtype.itemsize < dtype.itemsize:
                values = values.astype(np.int64 if values.dtype.kind == "i" else np.uint64)
            values = values.view(f"u{values.dtype.itemsize}").astype(dtype)
        register = self.registers.get(operand)
        if register is None:
            register = self.registers[operand] = np.zeros(self.threads, dtype)
        register[lanes] = values

    def place(self, operand, lanes):
        """The addresses that ``[register + offset]`` names."""
        base, sign, offset = re.match(r"\[\s*([%\w.']+)\s*([+-]?)\s*(-?\w*)\s*\]", operand).groups()
        offset = int(offset, 0) if offset else 0
        return self.read(base, "s64", lanes) + (-offset if sign == "-" else offset)

    def memory_at(self, addresses, width):
        """(the bytes, the positions in them) of an access of `width` bytes."""
        if (addresses % width).any():
            raise ValueError(f"an access of {width} bytes at {addresses[addresses % width != 0][0] % 256} of 256")
        if (addresses < ARENA).all():
            positions = addresses - SHARED
            if (positions < 0).any() or (positions + width > self.shared.size).any():
                raise IndexError("an access outside of shared memory")
            return self.shared, positions
        positions = addresses - ARENA
        valid = self.memory.valid
        if (positions < 0).any() or (positions + width > valid.size).any() or not valid[positions].all() \
                or not valid[positions + width - 1].all():
            raise IndexError("an access outside of the arrays")
        return self.memory.bytes, positions

    # Instructions

    def do_ld(self, operation, operands, now):
        kind = operation[-1]
        if operation[1] == "param":
            name, _, offset = operands[1].strip("[] ").partition("+")
            first = int(offset or 0)
            part = self.arguments[name].view(np.uint8)[first:first + np.dtype(TYPES[kind]).itemsize]
            self.write(operands[0], np.repeat(part.view(TYPES[kind]), now.size), now)
            return
        names = [name.strip() for name in operands[0].strip("{}").split(",")]
        each = np.dtype(TYPES[kind]).itemsize
        data, positions = self.memory_at(self.place(operands[1], now), each * len(names))
        for i, name in enumerate(names):
            found = data[positions[:, None] + np.arange(i * each, (i + 1) * each)]
            self.write(name, np.ascontiguousarray(found).view(TYPES[kind]).ravel(), now)

    def do_st(self, operation, operands, now):
        kind = operation[-1]
        names = [name.strip() for name in operands[1].strip("{}").split(",")]
        each = np.dtype(TYPES[kind]).itemsize
        data, positions = self.memory_at(self.place(operands[0], now), each * len(names))
        for i, name in enumerate(names):
            values = np.ascontiguousarray(self.read(name, kind, now)).view(np.uint8).reshape(now.size, each)
            data[positions[:, None] + np.arange(i * each, (i + 1) * each)] = values

    def do_atom(self, operation, operands, now):
        assert operation[-2:] == ["min", "s32"]
        data, positions = self.memory_at(self.place(operands[1], now), 4)
        whole = data.view(np.int32)
        self.write(operands[0], whole[positions // 4].copy(), now)
        np.minimum.at(whole, positions // 4, self.read(operands[2], "s32", now))

    def do_mov(self, operation, operands, now):
        to, from_ = ([name.strip() for name in operand.strip("{}").split(",")] for operand in operands)
        if len(to) == len(from_):
            self.write(operands[0], self.read(operands[1], operation[-1], now), now)
            return
        # A register taken apart, or put together, lower bits first.
        parts = max(len(to), len(from_))
        unsigned = f"u{np.dtype(TYPES[operation[-1]]).itemsize // parts}"
        if len(to) > 1:
            bits = np.ascontiguousarray(self.read(from_[0], operation[-1], now)).view(unsigned).reshape(-1, parts)
            for name, part in zip(to, bits.T, strict=True):
                self.write(name, np.ascontiguousarray(part), now)
        else:
            kind = "b" + str(8 * np.dtype(unsigned).itemsize)
            bits = np.stack([self.read(name, kind, now) for name in from_], axis=1)
            self.write(to[0], np.ascontiguousarray(bits).view(TYPES[operation[-1]]).ravel(), now)

    def _both(self, operation, operands, now, function):
        kind = operation[-1]
        self.write(operands[0], function(*(self.read(operand, kind, now) for operand in operands[1:])).astype(
            TYPES[kind]), now)

    def do_add(self, *rest):
        self._both(*rest, np.add)

    def do_sub(self, *rest):
        self._both(*rest, np.subtract)

    def do_min(self, *rest):
        self._both(*rest, np.minimum)

    def do_max(self, *rest):
        self._both(*rest, np.maximum)

    def do_and(self, *rest):
        self._both(*rest, np.bitwise_and)

    def do_or(self, *rest):
        self._both(*rest, np.bitwise_or)

    def do_xor(self, *rest):
        self._both(*rest, np.bitwise_xor)

    def do_not(self, *rest):
        self._both(*rest, np.invert)

    def do_neg(self, *rest):
        self._both(*rest, np.negative)

    def do_abs(self, *rest):
        self._both(*rest, np.abs)

    def do_div(self, operation, operands, now):
        self._both(operation, operands, now, np.divide if operation[-1][0] == "f" else _truncated)

    def do_rem(self, *rest):
        self._both(*rest, np.fmod)

    def do_mul(self, operation, operands, now):
        if "wide" in operation or "hi" in operation:
            kind = operation[-1]
            a, b = (self.read(operand, kind, now).astype(object) for operand in operands[1:])
            width = 8 * np.dtype(TYPES[kind]).itemsize
            product = a * b if "wide" in operation else np.array([v >> width for v in a * b], object)
            bits = 2 * width if "wide" in operation else width
            self.write(operands[0], np.array([int(v) & (1 << bits) - 1 for v in product], f"u{bits // 8}"), now)
        else:
            self._both(operation, operands, now, np.multiply)

    def do_mad(self, operation, operands, now):
        assert "lo" in operation
        self._both(operation, operands, now, lambda a, b, c: a * b + c)

    def do_fma(self, operation, operands, now):
        wide = np.longdouble if operation[-1] == "f64" else np.float64
        self._both(operation, operands, now, lambda a, b, c: a.astype(wide) * b.astype(wide) + c.astype(wide))

    def do_shl(self, operation, operands, now):
        self._shift(operation, operands, now, np.left_shift)

    def do_shr(self, operation, operands, now):
        self._shift(operation, operands, now, np.right_shift)

    def _shift(self, operation, operands, now, function):
        dtype = TYPES[operation[-1]]
        by = self.read(operands[2], "u32", now)
        assert (by < 8 * np.dtype(dtype).itemsize).all()
        self.write(operands[0], function(self.read(operands[1], operation[-1], now), by.astype(dtype)).astype(dtype),
                   now)

    def do_selp(self, operation, operands, now):
        kind = operation[-1]
        self.write(operands[0], np.where(self.read(operands[3], "pred", now), self.read(operands[1], kind, now),
                                         self.read(operands[2], kind, now)), now)

    def do_setp(self, operation, operands, now):
        comparison, kind = operation[1], operation[-1]
        a, b = self.read(operands[1], kind, now), self.read(operands[2], kind, now)
        if comparison in ("nan", "num"):
            found = (np.isnan(a) | np.isnan(b)) == (comparison == "nan")
        elif comparison in UNORDERED:
            found = UNORDERED[comparison](a, b) | np.isnan(a) | np.isnan(b)
        else:
            found = COMPARE[comparison](a, b)
            if comparison == "ne" and kind[0] == "f":
                found &= ~(np.isnan(a) | np.isnan(b))
        if len(operation) == 4:
            other = self.read(operands[3], "pred", now)
            found = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[operation[2]](found, other)
        self.write(operands[0], found, now)

    def do_cvt(self, operation, operands, now):
        to, from_ = operation[-2:]
        values = self.read(operands[1], from_, now)
        if to == "tf32":
            # To 10 bits of mantissa, the nearest, ties away from zero.
            self.write(operands[0], (values.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000), now)
        else:
            self.write(operands[0], values.astype(TYPES[to]), now)

    def do_bra(self, operation, operands, now):
        self.at[now] = self.kernel.labels[operands[0]]

    def do_ret(self, operation, operands, now):
        self.at[now] = len(self.kernel.code)

    def do_bar(self, operation, operands, now):
        self.waiting[now] = True

    def do_mma(self, operation, operands, now):
        """``mma.sync.aligned``: m16n8k8 of tf32, m16n8k16 of f16; its fragments are laid out as in section 9.7.14."""
        shape, kind = operation[3], operation[7]
        assert now.size == self.threads and now.size % LANES == 0, "threads of a warp are at different places"
        d, a, b, c = ([name.strip() for name in operand.strip("{}").split(",")] for operand in operands)
        per = {"m16n8k8": 1, "m16n8k16": 2}[shape]
        left = np.zeros((now.size // LANES, 16, 8 * per))
        right = np.zeros((now.size // LANES, 8 * per, 8))
        sums = np.zeros((now.size // LANES, 16, 8), np.float32)
        warp, lane = np.divmod(now, LANES)
        group, inner = np.divmod(lane, 4)

        def parts(name):
            bits = np.ascontiguousarray(self.read(name, "b32", now))
            if kind == "tf32":
                assert not (bits & 0x1FFF).any(), "an operand was not rounded to TF32"
                return bits.view(np.float32).reshape(-1, 1)
            return bits.view(np.float16).reshape(-1, 2)

        for i, name in enumerate(a):
            for j, values in enumerate(parts(name).T):
                left[warp, group + 8 * (i % 2), inner * per + j + 4 * per * (i // 2)] = values
        for i, name in enumerate(b):
            for j, values in enumerate(parts(name).T):
                right[warp, inner * per + j + 4 * per * i, group] = values
        for i, name in enumerate(c):
            sums[warp, group + 8 * (i // 2), 2 * inner + i % 2] = self.read(name, "f32", now)
        sums = (sums + left @ right).astype(np.float32)
        for i, name in enumerate(d):
            self.write(name, sums[warp, group + 8 * (i // 2), 2 * inner + i % 2], now)

    def _meet(self, live):
        """All threads have reached a barrier; one that counts tells each of them how many."""
        lanes = np.flatnonzero(live)
        places = self.at[lanes] - 1
        counts = [self.kernel.code[place][1][1] == "red" for place in places]
        if any(counts):
            assert all(counts), "threads at different barriers"
            total = sum(bool(self.read(self.kernel.code[place][2][-1], "pred", np.array([lane]))[0])
                        for place, lane in zip(places, lanes, strict=True))
            for place in set(places):
                here = lanes[places == place]
                self.write(self.kernel.code[place][2][0], np.full(here.size, total, np.uint32), here)
        self.waiting[:] = False


def _truncated(a, b):
    """Division of integers as in C."""
    if a.dtype.kind == "u":
        return a // b
    quotient = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -quotient, quotient)
