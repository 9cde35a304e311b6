"""The engine with forms of its own for few channels a group, which `fastconv.backends.plan_rows` plans."""

from fastconv.backends import plan_rows, plan_winograd
from fastconv.backends.engine import Engine, past


class FewChannels(Engine):
    """Adds to the engine the range kernels ``multiply_rows`` and ``add_rows``, whose work items are chunks.

    Parameters
    ----------
    run, tile_bytes, address, **more
        As of `Engine`.
    vector_bytes : int
        Bytes of a vector.
    dots : tuple of (int, int)
        Rows and columns of the tiles of the weight gradient.
    slides, slide_dots : tuple of (int, int, int, int), optional
        (taps down, taps across, stride, vectors) of the kernels that can slide, by pass: `plan_rows.forward`.
    fans : tuple of (int, int), optional
        (length of the sums, vectors) of the kernels that keep their operands in registers.
    joins : float, optional
        How many times as fast as the other tile joined rows of results must be expected to be; 0 where the kernels
        cannot join them.
    """

    def __init__(self, run, tile_bytes, address, vector_bytes, dots, slides=(), slide_dots=(), fans=(), joins=0,
                 **more):
        super().__init__(run, tile_bytes, address, **more)
        self.fans, self.joins = fans, joins
        self.vector_bytes, self.dots, self.slides, self.slide_dots = vector_bytes, dots, slides, slide_dots

    def plan_conv_forward(self, p, g, x, w, bias, y):
        product = self._rows_forward(p, g)
        if product is None or self._transform(p, self._winograd_forward, g)[1]:
            return super().plan_conv_forward(p, g, x, w, bias, y)
        self._multiply_rows(p, x, w, bias, y, product)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        product = self._rows_backward_input(p, g)
        if product is None or self._transform(p, plan_winograd.backward_input, g)[1]:
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        self._multiply_rows(p, dy, w, None, dx, product)

    def plan_conv_backward_weight(self, p, g, x, dy, dw, db, with_bias):
        product = self._rows_backward_weight(p, g)
        if product is None or self._transform(p, self._winograd_weight, g)[1]:
            return super().plan_conv_backward_weight(p, g, x, dy, dw, db, with_bias)
        self._add_rows(p, "add_rows", (product.taps,), x, dy, dw, db if with_bias else None, product)

    def _rows_forward(self, p, g):
        return plan_rows.forward(g, self._lanes(p), self._vectors(), self.slides, self.fans, self.joins)

    def _rows_backward_input(self, p, g):
        return plan_rows.backward_input(g, self._lanes(p), self._vectors(), self.slides, self.fans, self.joins)

    def _rows_backward_weight(self, p, g):
        return plan_rows.backward_weight(g, self._lanes(p), self.dots, self.slide_dots, self.joins)

    def _lanes(self, p):
        return self.vector_bytes // p.dtype.itemsize

    def _vectors(self):
        return self.tile_bytes // self.vector_bytes

    def _multiply_rows(self, p, source, w, bias, out, product):
        chunks = min(p.most, product.items)
        space = p.space(chunks * product.space)
        p.do("multiply_rows", chunks, (source, w, bias, out, space, product.col_a, product.col_b, product.phases),
             (chunks, *product.args, past(p, out)), product.work, chunks)

    def _add_rows(self, p, kernel, tables, x, dy, dw, db, product):
        chunks, splits = min(p.most, product.items), product.splits
        space = p.space(chunks * product.space)
        results = [dw] if db is None else [dw, db]
        parts = results if splits == 1 else [p.space(splits * out.size) for out in results]
        p.do(kernel, chunks, (x, dy, parts[0], None if db is None else parts[1], space, *tables),
             (chunks, *product.args), product.work, chunks)
        if splits > 1:
            for part, out in zip(parts, results, strict=True):
                self._add_up(p, part, splits, out)
