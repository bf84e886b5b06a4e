"""Pictures of measurements, as the documentation keeps them: SVG without trailing spaces."""


def subplots(rows, columns, **how):
    """matplotlib's, of a figure that `save` writes. Debian's python3-matplotlib will do."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    return pyplot.subplots(rows, columns, **how)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
