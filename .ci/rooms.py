#!/usr/bin/env python3
"""Draws the floors and rooms of the code with their includes: writes docs/rooms.svg.

One row per room, the lowest at the bottom. An arc leads from a room to one that it includes, wider
for more include lines. The text at the right counts the include lines into lower floors.
"""
import collections
import pathlib
import re
import sys

sys.dont_write_bytecode = True
import rules  # noqa: E402
import source  # noqa: E402

PICTURE = "docs/rooms.svg"
NAMES = {"core": ["core"], "comm": ["comm", "mpi", "nccl", "open"],
         "layers": ["layers", "trunk", "head"],
         "train": ["errors", "formats", "config", "model", "checkpoint", "data", "weights",
                   "evaluation", "report", "trainer", "plan", "commands"]}
COLORS = {"core": "#e8eef7", "comm": "#e9f5ea", "layers": "#fdf3dd", "train": "#f7e8ec"}
ROW, LEFT, BOX, ARCS, WIDTH = 30, 90, 210, 210, 680


def room_of(path):
    """(floor, name of the room) of a file; None outside of the floors."""
    floor = path.split("/")[0]
    if floor not in NAMES or not path.endswith(rules.CODE):
        return None
    return floor, "core" if floor == "core" else NAMES[floor][rules.room_of(path)[1]]


def count(files):
    """Files of each room, and include lines from room to room."""
    sizes, includes = collections.Counter(), collections.Counter()
    for name, text in files.items():
        room = room_of(name)
        if room is None:
            continue
        sizes[room] += 1
        for _, quoted, path in source.includes(text):
            other = room_of(path) if quoted and path in files else None
            if other and other != room:
                includes[room, other] += 1
    return sizes, includes


def text_at(x, y, words, more=""):
    return f'<text x="{x}" y="{y}" {more}>{words}</text>'


def arc(begin, end, number):
    """From row `begin` down to row `end`, to the right of the boxes."""
    x, top, bottom = LEFT + BOX, begin * ROW + ROW * 0.6, end * ROW + ROW * 0.4
    bend = min(ARCS, 14 + 16 * (end - begin))
    width = min(6, 0.8 + 0.25 * number)
    return (f'<path d="M{x} {top:.0f} C{x + bend} {top:.0f} {x + bend} {bottom:.0f} '
            f'{x + 5} {bottom:.0f}" stroke-width="{width:.2f}" marker-end="url(#tip)"/>')


def picture(files):
    """The SVG."""
    sizes, includes = count(files)
    rows = [(floor, room) for floor in reversed(rules.FLOORS) for room in reversed(NAMES[floor])]
    place = {room: row for row, room in enumerate(rows)}
    parts, arcs, texts = [], [], []
    for floor in rules.FLOORS:
        own = [place[floor, room] for room in NAMES[floor]]
        parts.append(f'<rect x="0" y="{min(own) * ROW}" width="{WIDTH}" height="{len(own) * ROW}" '
                     f'fill="{COLORS[floor]}"/>')
        texts.append(text_at(12, min(own) * ROW + 20, floor, 'font-weight="bold"'))
    for (floor, room), row in place.items():
        y = row * ROW
        parts.append(f'<rect x="{LEFT}" y="{y + 3}" width="{BOX}" height="{ROW - 6}" rx="4" '
                     f'fill="white" stroke="#667"/>')
        path = f"{floor}/" if room in (floor, "errors", "open") else f"{floor}/{room}/"
        label = {"errors": "train/errors.h", "open": "comm/open"}.get(room, path)
        files_of_room = sizes[floor, room]
        texts.append(text_at(LEFT + 10, y + 20, label))
        texts.append(text_at(LEFT + BOX - 10, y + 20,
                             f"{files_of_room} {'file' if files_of_room == 1 else 'files'}",
                             'text-anchor="end" fill="#667"'))
        below = collections.Counter()
        for (begin, end), number in sorted(includes.items()):
            if begin == (floor, room):
                if end[0] == floor:
                    arcs.append(arc(row, place[end], number))
                else:
                    below[end[0]] += number
        words = ", ".join(f"{other} {below[other]}" for other in reversed(rules.FLOORS)
                          if below[other])
        if words:
            texts.append(text_at(WIDTH - 12, y + 20, words, 'text-anchor="end" fill="#334"'))
    height = len(rows) * ROW
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#446"/></marker></defs>',
        *parts, '<g fill="none" stroke="#446" stroke-opacity="0.7">', *arcs, "</g>", *texts,
        "</svg>"]) + "\n"


def main():
    names = [str(path) for floor in rules.FLOORS for path in sorted(pathlib.Path(floor).rglob("*"))
             if path.is_file() and str(path).endswith(rules.CODE)]
    files = {re.sub(r"^\./", "", name): pathlib.Path(name).read_text() for name in names}
    pathlib.Path(PICTURE).write_text(picture(files))


if __name__ == "__main__":
    main()
