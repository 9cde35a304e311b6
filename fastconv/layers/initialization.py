"""Initial values of parameters."""

import math

from fastconv.layers.parameter import Parameter


def weight_and_bias(weight_shape, bias_size, bias, dtype, generator):
    """(weight, bias or None), uniform within 1 / sqrt(fan-in) of 0 as torch initialises its layers.

    That is the uniform initialisation of He et al., "Delving Deep into Rectifiers" (2015), section 2.2, for a leaky
    ReLU of slope sqrt(5), and the interval of LeCun et al., "Efficient BackProp" (1998), narrowed by sqrt(3), for the
    bias. The fan-in is the product of all axes of the weight but the first.
    """
    bound = 1 / math.sqrt(math.prod(weight_shape[1:]))

    def uniform(shape):
        values = generator.random(shape, dtype=dtype)
        values *= 2 * bound
        values -= bound
        return Parameter(values)

    return uniform(weight_shape), uniform((bias_size,)) if bias else None
