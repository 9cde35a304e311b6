"""The pictures that the demonstration writes."""

import os

from fastconv.inspection import plots

HARDEST = 12


def write(folder, model, history, test, probabilities):
    """Draw the course of the training, the first filters, the confusion matrix and the hardest digits.

    Parameters
    ----------
    folder : pathlib.Path
    model : Sequential
        Its first layer is a Conv2d.
    history : dict
        ``{"training": {"loss": [...], "accuracy": [...]}, "validation": ...}``, a number an epoch.
    test : (ndarray, ndarray)
        Images (N, 1, H, W) and labels (N,).
    probabilities : ndarray
        (N, classes), the model's, for the images of `test`.

    Yields
    ------
    pathlib.Path
        Of each picture when it is complete.
    """
    images, labels = test
    filters = model[0].weight.data
    drawn = {
        "curves": lambda: plots.curves(history["training"], history["validation"], title="Digits"),
        "filters": lambda: plots.filter_grid(filters, title=f"The {len(filters)} filters of the first convolution"),
        "confusion": lambda: plots.confusion(labels, probabilities.argmax(axis=1), title="Test digits"),
        "hardest": lambda: plots.hardest(images, labels, probabilities, count=HARDEST,
                                         title="The hardest test digits and the three best guesses (blue: right)"),
    }
    for name, draw in drawn.items():
        path = folder / f"{name}.png"
        part = path.with_suffix(".part")
        try:
            draw().savefig(part, format="png")
            # Complete or not there: an interruption leaves no half a picture.
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        yield path
