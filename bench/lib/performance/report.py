# SPDX-License-Identifier: Apache-2.0
"""Tables of what was measured: medians with the lowest and the highest run, ratios round by round."""

import json
import statistics

from . import plot
from .cases import CASES
from .figures import by_who, kind_of, ratio, reference_of

TIE = 0.15


def load(directory):
    """{case: {about, rows}} of earlier runs."""
    file = directory / 'runs.json'
    return json.loads(file.read_text()) if file.exists() else {}


def keep(directory, runs):
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(runs, separators=(',', ':')).replace('{"case"', '\n{"case"').replace('{"about"', '\n{"about"')
    (directory / 'runs.json').write_text(text + '\n')
    (directory / 'table.md').write_text(table(runs, runs) + '\n')
    about = [run['about'] for run in runs.values()]
    subtitle = '; '.join(dict.fromkeys(f"{one['date']}, {machine_line(one)}" for one in about))
    (directory / 'ratios.svg').write_text(plot.ratios(runs, subtitle))
    (directory / 'costs.svg').write_text(plot.costs(runs, subtitle))


def verdict(case, value, found):
    """Whether the goal is met, and what may be said of it."""
    said = []
    if case.goal_value is not None:
        said.append(f"{'met' if value <= case.goal_value else 'not met'}: {case.goal_value:g} {case.unit}")
    elif found:
        said.append(f"{'met' if found[0] <= case.goal else 'not met'}: {case.goal:.2f}")
    if found and case.reference == 'best peer':
        said.append('a tie' if abs(found[0] - 1) < TIE else 'ahead' if found[0] < 1 else 'behind')
    return ', '.join(said)


def spread(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f'{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})'


def case_table(case, runs):
    rows = runs[case.name]['rows']
    reference = reference_of(case, runs)
    has_rate = any('rate' in row for row in rows)
    floor = by_who(rows).get('floor')
    lines = [f'### {case.name}: {case.title}', '',
             f"| | {case.unit} | ratio to {reference[0] if reference else 'nobody'} | goal |"
             + (' above the floor |' if floor else '') + (' requests/s |' if has_rate else ''),
             '|---|---|---|---|' + '---|' * (bool(floor) + has_rate)]
    found_by_who = by_who(rows)
    for who, values in sorted(found_by_who.items(), key=lambda pair: statistics.median(pair[1].values())):
        found = ratio(values, reference[1]) if reference else None
        value = statistics.median(values.values())
        is_ours = kind_of(rows, who) == 'ours'
        cells = [f'**{who}**' if is_ours else who, spread(values.values(), case.digits),
                 f'{found[0]:.2f} ({found[1]:.2f}–{found[2]:.2f})' if found else '',
                 verdict(case, value, found) if is_ours else '']
        if floor:
            cells.append(f'{value - statistics.median(floor.values()):.{case.digits}f}')
        if has_rate:
            cells.append(f"{statistics.median(row['rate'] for row in rows if row['who'] == who):,.0f}")
        lines.append('| ' + ' | '.join(cells) + ' |')
    about = runs[case.name]['about']
    lines += ['', f"{about['date']}, {about['commit']}: `{about['command']}`"]
    return '\n'.join(lines)


def machine_line(about):
    return (f"{about['cpu']}, {about['processors']} processors, {about['kernel']}; "
            + ', '.join(f'{name} {version}' for name, version in about['versions'].items()))


def table(wanted, runs):
    """Markdown of the cases wanted; runs: all there are, to compare with."""
    if not wanted:
        return 'Nothing was measured.'
    machines = dict.fromkeys(machine_line(run['about']) for run in wanted.values())
    parts = ['\n'.join(machines)]
    parts += [case_table(case, runs) for name, case in CASES.items() if name in wanted]
    return '\n\n'.join(parts)
