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


def rounded(value):
    """Six digits are more than any of these figures has."""
    if isinstance(value, float):
        return float(f'{value:.6g}')
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def keep(directory, runs):
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(runs), separators=(',', ':')).replace('{"case"', '\n{"case"').replace('{"about"', '\n{"about"')
    (directory / 'runs.json').write_text(text + '\n')
    (directory / 'table.md').write_text(table(runs, runs) + '\n')
    about = list(runs.values())[-1]['about']
    subtitle = (f"{about['date']}, {hardware(about)}", software(about))
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


def median_of(rows, who, key):
    return statistics.median(row[key] for row in rows if row['who'] == who)


def extra_columns(case, rows):
    """[(heading, function of who)] of what these rows have beside the value."""
    columns, keys, floor = [], set(rows[0]), by_who(rows).get('floor')
    if floor:
        base = statistics.median(floor.values())
        columns.append(('above the floor', lambda who: f"{median_of(rows, who, 'value') - base:.{case.digits}f}"))
    if 'rate' in keys:
        columns.append(('a second', lambda who: f"{median_of(rows, who, 'rate'):,.0f}"))
    if case.load == 'resume':
        columns.append(('resumed', lambda who: f"{100 * median_of(rows, who, 'resumed') / median_of(rows, who, 'answered'):.0f} %"))
    if 'latency_us' in keys:
        columns.append(('load busy', lambda who: f"{100 * median_of(rows, who, 'load_s') / median_of(rows, who, 'wall_s'):.0f} %"))
        for heading, at in (('p50', 0), ('p99 of all', 2)):
            columns.append((heading, lambda who, at=at: f"{statistics.median(row['latency_us'][at] for row in rows if row['who'] == who):.0f}"))
    if 'longest_us' in keys:
        columns.append(('longest request meanwhile, ms', lambda who: f"{median_of(rows, who, 'longest_us') / 1e3:.1f}"))
        columns.append(('without', lambda who: f"{median_of(rows, who, 'longest_without_us') / 1e3:.1f}"))
    return columns


def case_table(case, runs):
    rows = runs[case.name]['rows']
    reference = reference_of(case, runs)
    extra = extra_columns(case, rows)
    headings = ['', case.unit, f"ratio to {reference[0] if reference else 'nobody'}", 'goal', *(name for name, _ in extra)]
    lines = [f'### {case.name}: {case.title}', '', '| ' + ' | '.join(headings) + ' |', '|---' * len(headings) + '|']
    for who, values in sorted(by_who(rows).items(), key=lambda pair: statistics.median(pair[1].values())):
        found = ratio(values, reference[1]) if reference else None
        is_ours = kind_of(rows, who) == 'ours'
        cells = [f'**{who}**' if is_ours else who, spread(values.values(), case.digits),
                 f'{found[0]:.2f} ({found[1]:.2f}–{found[2]:.2f})' if found else '',
                 verdict(case, statistics.median(values.values()), found) if is_ours else '',
                 *(text(who) for _, text in extra)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    about = runs[case.name]['about']
    lines += ['', f"{about['date']}, {about['commit']}: `{about['command']}`"]
    return '\n'.join(lines)


def hardware(about):
    return f"{about['cpu']}, {about['processors']} processors, {about['kernel']}"


def software(about):
    return ', '.join([f"Portico {about['commit']}", *(f'{name} {one}' for name, one in about['versions'].items())])


def summary(wanted, runs):
    """One row a case: ours, what it is compared with, the floor."""
    lines = ['| case | unit | portico | compared with | its | ratio | floor | goal |', '|---|---|---|---|---|---|---|---|']
    for name, case in CASES.items():
        if name not in wanted:
            continue
        rows, found, reference = runs[name]['rows'], by_who(runs[name]['rows']), reference_of(case, runs)
        ours = next((values for who, values in found.items() if kind_of(rows, who) == 'ours'), None)
        if not ours:
            continue
        middle = statistics.median(ours.values())
        to = ratio(ours, reference[1]) if reference else None
        lines.append('| ' + ' | '.join([
            f'{name}: {case.title}', case.unit, f'{middle:.{case.digits}f}', reference[0] if reference else '',
            f'{statistics.median(reference[1].values()):.{case.digits}f}' if reference else '',
            f'**{to[0]:.2f}** ({to[1]:.2f}–{to[2]:.2f})' if to else '',
            f"{median_of(rows, 'floor', 'value'):.{case.digits}f}" if 'floor' in found else '',
            verdict(case, middle, to)]) + ' |')
    return '\n'.join(lines)


def table(wanted, runs):
    """Markdown of the cases wanted; runs: all there are, to compare with."""
    if not wanted:
        return 'Nothing was measured.'
    about = dict.fromkeys(f"{hardware(run['about'])}; {software(run['about'])}" for run in wanted.values())
    parts = ['\n\n'.join(about)]
    if len(wanted) > 1:
        parts.append(summary(wanted, runs))
    parts += [case_table(case, runs) for name, case in CASES.items() if name in wanted]
    return '\n\n'.join(parts)
