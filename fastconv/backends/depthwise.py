"""The engine with a form of its own for depthwise convolutions, which `fastconv.backends.plan_across` plans."""

from fastconv.backends import plan_across
from fastconv.backends.few import FewChannels


class Depthwise(FewChannels):
    """Adds the range kernels ``multiply_across`` and ``add_across``, whose work items are chunks.

    Parameters
    ----------
    turning : tuple of float
        Cycles that it takes to turn a vector of elements, of a product and of the weight gradient.
    """

    def __init__(self, *args, turning, **more):
        super().__init__(*args, **more)
        self.turning = turning

    def plan_conv_forward(self, p, g, x, w, bias, y):
        form = plan_across.forward(g, self._lanes(p))
        if form is None or self._slides(self._rows_forward(p, g), form, self.turning[0]):
            return super().plan_conv_forward(p, g, x, w, bias, y)
        self._multiply_across(p, form, x, w, bias, y)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        form = plan_across.backward_input(g, self._lanes(p))
        if form is None or self._slides(self._rows_backward_input(p, g), form, self.turning[0]):
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        self._multiply_across(p, form, dy, w, None, dx)

    def plan_conv_backward_weight(self, p, g, x, dy, dw, db, with_bias):
        form = plan_across.backward_weight(g, self._lanes(p))
        if form is None or self._slides(self._rows_backward_weight(p, g), form, self.turning[1]):
            return super().plan_conv_backward_weight(p, g, x, dy, dw, db, with_bias)
        self._add_rows(p, "add_across", (form.taps, form.places), x, dy, dw, db if with_bias else None, form)

    def _slides(self, product, form, turning):
        """Whether there is a kernel that slides down planes where they lie, in less time than turning them takes.

        On Zen 5 turned planes take 0.10 ms in place of 0.26 for 3 x 3 taps and 8 x 960 planes of 7 x 7, 0.49 in place
        of 0.96 for 7 x 7 taps and 8 x 128 of 28 x 28, and 1.05 in place of 0.52 for 3 x 3 taps and 8 x 144 of 56 x 56.
        """
        return product is not None and product.sliding < form.sums + turning * form.turned

    def _multiply_across(self, p, form, source, w, bias, out):
        chunks = min(p.most, form.items)
        space = p.space(chunks * form.space)
        p.do("multiply_across", chunks, (source, w, bias, out, space, form.col_a, form.col_b, form.phases, form.places),
             (chunks, *form.args), form.work, chunks)
