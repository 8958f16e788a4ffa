# SPDX-License-Identifier: Apache-2.0
"""Figures of what was measured.  Runs are {case: {about, rows}}; a row has who, kind, round, value."""

import statistics


def by_who(rows):
    """{who: {round: value}} in the order of the first round."""
    found = {}
    for row in rows:
        found.setdefault(row['who'], {})[row['round']] = row['value']
    return found


def kind_of(rows, who):
    return next(row['kind'] for row in rows if row['who'] == who)


def reference_of(case, runs):
    """(who, {round: value}) that the goal is a ratio to, or None."""
    best = None
    for name in case.against or (case.name,):
        rows = runs.get(name, {}).get('rows', [])
        for who, values in by_who(rows).items():
            wanted = (kind_of(rows, who) == 'peer' if case.reference == 'best peer' else who == case.reference)
            if wanted and (best is None or statistics.median(values.values()) < statistics.median(best[1].values())):
                best = (who if name == case.name else f'{who} in {name}', values)
    return best


def ratio(values, reference):
    """(median, lowest, highest) of the rounds' ratios."""
    common = sorted(set(values) & set(reference))
    found = [values[i] / reference[i] for i in common] if common else [
        statistics.median(values.values()) / statistics.median(reference.values())]
    return statistics.median(found), min(found), max(found)
