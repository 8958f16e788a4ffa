# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG text, for light and dark pages: ratios.svg, a row a case, and costs.svg, a panel a
case."""

import math
import statistics
from html import escape

from .cases import CASES
from .figures import by_who, kind_of, ratio, reference_of

STYLE = '''
  .page { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .small { font-size: 11px; fill: #59636e } .title { font-size: 15px; font-weight: 600 } .name { font-weight: 600 }
  .grid { stroke: #d1d9e0 } .axis { stroke: #59636e } .goal { stroke: #1a7f37; stroke-width: 3 }
  .ours { fill: #0969da; stroke: #0969da } .peer, .base { fill: #8c959f; stroke: #8c959f }
  .build { fill: #8250df; stroke: #8250df } .floor { fill: none; stroke: #bc4c00; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 } .grid { stroke: #3d444d }
    .axis { stroke: #9198a1 } .goal { stroke: #3fb950 } .ours { fill: #4493f8; stroke: #4493f8 }
    .peer, .base { fill: #6e7681; stroke: #6e7681 } .build { fill: #ab7df8; stroke: #ab7df8 } .floor { stroke: #f0883e }
  }'''

WIDTH, MARGIN = 760, 16


def text(x, y, what, kind='', anchor='start'):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(what)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def mark(x, y, kind):
    """A dot; the floor is a diamond."""
    if kind == 'floor':
        return f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" class="floor"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if kind == "ours" else 4.5}" class="{kind}"/>'


def document(height, title, subtitle, parts):
    """subtitle: its lines, at most two."""
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}">', f'<style>{STYLE}\n</style>',
        f'<rect width="{WIDTH}" height="{height:.0f}" class="page"/>', text(MARGIN, 26, title, 'title'),
        *(text(MARGIN, 44 + 15 * i, one, 'small') for i, one in enumerate(subtitle)), *parts, '</svg>', ''])


def ticks(top):
    """Steps of 1, 2 or 5 so that about four fit."""
    rough = top / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
    return [i * step for i in range(int(top / step) + 1)]


def medians(rows):
    return {who: statistics.median(values.values()) for who, values in by_who(rows).items()}


def ratios(runs, subtitle):
    """Each contestant's cost by the best peer's; 1 is the best peer."""
    left, right, top, row_height, most = 280, WIDTH - 44, 116, 34, 2.5
    names = [name for name, case in CASES.items() if name in runs and reference_of(case, runs)]
    bottom = top + row_height * len(names)

    def at(value):
        return left + min(value, most) / most * (right - left)

    parts = []
    for tick in (0, 0.5, 1, 1.5, 2, 2.5):
        parts += [line(at(tick), top, at(tick), bottom, 'axis' if tick == 1 else 'grid'),
                  text(at(tick), bottom + 16, f'{tick:g}' if tick < most else f'{tick:g} or more', 'small', 'middle')]
    parts.append(text(at(1), top - 6, 'what it is compared with', 'small', 'middle'))
    legend = [('ours', 'Portico'), ('peer', 'a peer'), ('floor', 'floor'), ('goal', 'goal')]
    for i, (kind, label) in enumerate(legend):
        x = left + 90 * i
        parts += [line(x, 76, x, 88, 'goal') if kind == 'goal' else mark(x, 82, kind), text(x + 12, 86, label)]
    for i, name in enumerate(names):
        case, y = CASES[name], top + row_height * (i + 0.5)
        _who, reference = reference_of(case, runs)
        parts += [text(MARGIN, y - 2, name, 'name'), text(MARGIN, y + 12, case.title, 'small')]
        best = statistics.median(reference.values())
        goal = case.goal_value / best if case.goal_value else case.goal
        parts.append(line(at(goal), y - 11, at(goal), y + 11, 'goal'))
        rows = runs[name]['rows']
        drawn = sorted(by_who(rows).items(), key=lambda pair: kind_of(rows, pair[0]) == 'ours')
        for who, values in drawn:
            parts.append(mark(at(ratio(values, reference)[0]), y, kind_of(rows, who)))
    return document(bottom + 32, 'Cost by that of the best peer: less is better', subtitle, parts)


def costs(runs, subtitle):
    """What each costs, medians and ranges."""
    across, label, row_height, head, foot = 2, 84, 18, 30, 40
    panel_width = (WIDTH - MARGIN) / across
    names = [name for name in CASES if name in runs]
    parts, y = [], 78.0
    for first in range(0, len(names), across):
        line_of_panels = names[first:first + across]
        for i, name in enumerate(line_of_panels):
            parts += panel(MARGIN + i * panel_width, y, panel_width - MARGIN, label, row_height, head, name, runs)
        y += head + foot + row_height * max(len(medians(runs[name]['rows'])) for name in line_of_panels)
    return document(y, 'What each costs: median and range', subtitle, parts)


def panel(x, y, width, label, row_height, head, name, runs):
    case, rows = CASES[name], runs[name]['rows']
    found = sorted(medians(rows).items(), key=lambda pair: pair[1])
    top = max(max(values.values()) for values in by_who(rows).values()) * 1.02
    left, bottom = x + label, y + head + row_height * len(found)

    def at(value):
        return left + value / top * (width - label - 44)

    parts = [text(x, y + 12, name, 'name'), text(x + 8 + 7.8 * len(name), y + 12, case.title, 'small'),
             text(x + width, bottom + 26, case.unit, 'small', 'end')]
    for tick in ticks(top):
        parts += [line(at(tick), y + head - 8, at(tick), bottom, 'grid'), text(at(tick), bottom + 12, f'{tick:g}', 'small', 'middle')]
    for i, (who, value) in enumerate(found):
        middle, values, kind = y + head + (i + 0.5) * row_height, by_who(rows)[who].values(), kind_of(rows, who)
        parts += [text(left - 8, middle + 4, who, 'name' if kind == 'ours' else '', 'end'),
                  f'<rect x="{left:.1f}" y="{middle - 5:.1f}" width="{max(at(value) - left, 1):.1f}" height="10" '
                  f'class="{kind}"/>', line(at(min(values)), middle, at(max(values)), middle, 'axis'),
                  text(max(at(max(values)), at(value)) + 5, middle + 4, f'{value:.{case.digits}f}', 'small')]
    return parts
