"""Small networks that courses on convolution train."""

from fastconv.models.cnn import digits_cnn, small_rgb_cnn

__all__ = ["digits_cnn", "small_rgb_cnn"]
