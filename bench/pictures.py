"""Plots for the documentation: SVG files without trailing spaces."""


def subplots(rows, columns, **how):
    """matplotlib's subplots, to be written by `save`. Debian's python3-matplotlib suffices."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    return pyplot.subplots(rows, columns, **how)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
