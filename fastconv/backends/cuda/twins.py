"""The words that kernels are written in, in plain Python, for the simulator.

They check what a GPU does not: every access against the array's bounds, and 16-byte accesses for their alignment.
"""

import numpy as np

from fastconv.backends.cuda import tables


class Memory:
    """An address: a place in a flat array, or a number of elements away from one."""

    def __init__(self, array, first=0):
        self.array = array
        self.first = first

    def at(self, index, count=1):
        """The position of element `index` after this place, of `count` that must be there."""
        found = self.first + int(index)
        if not 0 <= found <= self.array.size - count:
            raise IndexError(f"elements {found} to {found + count - 1} of an array of {self.array.size}")
        if found % count:
            raise ValueError(f"{count} elements at once from element {found} on, which is no multiple")
        return found

    def check(self, size):
        """Raise ValueError unless the elements have `size` bytes."""
        if self.array.itemsize != size:
            raise ValueError(f"an access of {size} bytes to elements of {self.array.itemsize}")


def computed(array):
    """The type in which elements of `array` are computed with."""
    return tables.COMPUTED[array.itemsize]


def whole(value, wide):
    value = int(value)
    if not wide and not -2**31 <= value < 2**31:
        raise OverflowError(f"{value} does not fit 32 bits")
    return value


def shift(place, count, size):
    place.check(size)
    return Memory(place.array, place.first + int(count))


def load(place, index, size):
    place.check(size)
    return computed(place.array)(place.array[place.at(index)])


load_again = load


def load_if(place, index, wanted, size):
    return load(place, index, size) if wanted else computed(place.array)(0)


def load4(place, index, size):
    place.check(size)
    first = place.at(index, 4)
    return tuple(computed(place.array)(value) for value in place.array[first:first + 4])


def load4_if(place, index, wanted, array, size):
    return load4(place, index, size) if wanted else tuple(0 * value for value in load4(array, 0, size))


def store(place, index, value, size):
    place.check(size)
    place.array[place.at(index)] = value


def store4(place, index, values, size):
    place.check(size)
    first = place.at(index, 4)
    place.array[first:first + 4] = values


def store2(place, index, first, second, size):
    place.check(size)
    position = place.at(index, 2)
    place.array[position:position + 2] = first, second


def integer(place, index):
    return int(place.array[place.at(index)])


def keep(place, index, value):
    place.array[place.at(index)] = value


field = late = integer


def entry(table, index, wide):
    table.check(8 if wide else 4)
    first = table.at(4 * int(index), 4)
    return tuple(map(int, table.array[first:first + 4]))


def inside(position, size):
    return 0 <= position < size


def divided(value, divisor, wide):
    return whole(value, wide) // whole(divisor, wide)


def split(phase, pixel, wide):
    parts = []
    for name in (tables.PIXELS, tables.PLANE, tables.ROW):
        divisor, magic, by = (field(phase, name + i) for i in range(3))
        found = pixel // divisor if wide else pixel * magic >> by
        parts.append(found)
        pixel -= found * divisor
    return (*parts, pixel)


def target_of(place, phase, pixel, size, wide):
    steps = tables.TARGET_IMAGE, *(tables.TARGET_STEP + i for i in range(3))
    parts = split(phase, pixel, wide)
    return shift(place, field(phase, tables.TARGET) + sum(part * field(phase, step) for part, step in
                                                          zip(parts, steps, strict=True)), size)


def reach(start, phase, axis, counted):
    lowest = -field(phase, tables.BEFORE + axis) * counted
    highest = field(phase, tables.WINDOW_SIZE + axis) + field(phase, tables.AFTER + axis) * counted
    return min(start + field(phase, tables.KERNEL + axis), highest) - max(start, lowest)


def floating(value, size):
    return tables.COMPUTED[size](value)


least, most = min, max


def given(place):
    return place is not None


def shared(array, size):
    return array.view(tables.COMPUTED[size])


def registers(count, size):
    return tables.COMPUTED[size](0).repeat(count)


def put(shelf, index, value):
    shelf[_on(shelf, index)] = value


def take(shelf, index):
    return shelf[_on(shelf, index)]


def put4(shelf, index, values):
    first = _on(shelf, index, 4)
    shelf[first:first + 4] = values


def take4(shelf, index):
    first = _on(shelf, index, 4)
    return tuple(shelf[first:first + 4])


def _on(shelf, index, count=1):
    return Memory(shelf).at(index, count)


def multiply(sums, a, first_a, step_a, b, first_b, step_b, depth, rows, columns):
    def line(shelf, first, k, step, length):
        values = []
        for group in range(length // 4):
            values += take4(shelf, first + k * step + group * (step // 8 * 8 // (length // 4)))
        return values

    for k in range(depth):
        left, right = line(a, first_a, k, step_a, rows), line(b, first_b, k, step_b, columns)
        for i in range(rows):
            for j in range(columns):
                sums[i * columns + j] += left[i] * right[j]


def slide(sums, place, offset, h, height, w, width, weights, r, s, step, py, size):
    for i in range(r):
        for j in range(s):
            weight = load(weights, i * s + j, max(size, 4))
            for p in range(py):
                y, x = i + p * step, j
                sums[p] += weight * load_if(place, offset + y * width + x, inside(h + y, height) and
                                            inside(w + x, width), size)


def tf32(value):
    # To the nearest, ties away from zero.
    return ((np.float32(value).view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def multiply_tensor(sums, a, first_a, step_a, b, first_b, step_b, lane, depth, rows, columns):
    for at in range(rows * columns // 32):
        square, c = divmod(at, 4)
        row = square // (columns // 8) * 16 + lane // 4 + 8 * (c // 2)
        column = square % (columns // 8) * 8 + 2 * (lane % 4) + c % 2
        for k in range(depth):
            sums[at] += a[first_a + k * step_a + row] * b[first_b + k * step_b + column]
