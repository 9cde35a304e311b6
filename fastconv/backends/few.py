"""The engine with forms of its own for few channels a group, which `fastconv.backends.plan_rows` plans."""

from fastconv.backends import plan_rows, plan_winograd, threads
from fastconv.backends.engine import Engine, past


class FewChannels(Engine):
    """Adds to the engine the range kernels ``multiply_rows`` and ``add_rows``, whose work items are chunks.

    Parameters
    ----------
    run, tile_bytes, address
        As of `Engine`.
    vector_bytes : int
        Bytes of a vector.
    dots : tuple of (int, int)
        Rows and columns of the tiles of the weight gradient.
    slides, slide_dots : tuple of (int, int, int, int), optional
        (taps down, taps across, stride, vectors) of the kernels that can slide, by pass: `plan_rows.forward`.
    fans : tuple of (int, int), optional
        (length of the sums, vectors) of the kernels that keep their operands in registers.
    """

    def __init__(self, run, tile_bytes, address, vector_bytes, dots, slides=(), slide_dots=(), fans=(), pairs=False,
                 kernels=(3,)):
        super().__init__(run, tile_bytes, address, pairs, kernels)
        self.fans = fans
        self.vector_bytes, self.dots, self.slides, self.slide_dots = vector_bytes, dots, slides, slide_dots

    def conv_forward(self, x, w, bias, y, g):
        product = plan_rows.forward(g, self._lanes(x), self._vectors(), self.slides, self.fans)
        if product is None or self._transformed(plan_winograd.forward, g, x):
            return super().conv_forward(x, w, bias, y, g)
        self._multiply_rows(x, w, bias, y, product)

    def conv_backward_input(self, dy, w, dx, g):
        product = plan_rows.backward_input(g, self._lanes(dy), self._vectors(), self.slides, self.fans)
        if product is None or self._transformed(plan_winograd.backward_input, g, dy):
            return super().conv_backward_input(dy, w, dx, g)
        self._multiply_rows(dy, w, None, dx, product)

    def conv_backward_weight(self, x, dy, dw, db, g):
        product = plan_rows.backward_weight(g, self._lanes(x), self.dots, self.slide_dots)
        if product is None or self._winograd(plan_winograd.apart, g, x):
            return super().conv_backward_weight(x, dy, dw, db, g)
        self._add_rows(x, dy, dw, db, product)

    def _transformed(self, planner, g, array):
        return self._winograd(plan_winograd.apart, g, array) or self._winograd(planner, g, array)

    def _lanes(self, array):
        return self.vector_bytes // array.itemsize

    def _vectors(self):
        return self.tile_bytes // self.vector_bytes

    def _multiply_rows(self, source, w, bias, out, product):
        chunks = min(threads.get_num_threads(), product.items)
        space = self._space(chunks * product.space, out.dtype)
        self._do("multiply_rows", chunks, (source, w, bias, out, space, product.col_a, product.col_b, product.phases),
                 (chunks, *product.args, past(out)), out.dtype, product.work, chunks)

    def _add_rows(self, x, dy, dw, db, product):
        chunks, splits = min(threads.get_num_threads(), product.items), product.splits
        space = self._space(chunks * product.space, dw.dtype)
        results = [dw] if db is None else [dw, db]
        parts = results if splits == 1 else [self._space(splits * out.size, out.dtype) for out in results]
        self._do("add_rows", chunks, (x, dy, parts[0], None if db is None else parts[1], space, product.taps),
                 (chunks, *product.args), dw.dtype, product.work, chunks)
        if splits > 1:
            for part, out in zip(parts, results, strict=True):
                self._add_up(part, splits, out)
