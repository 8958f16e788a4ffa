# SPDX-License-Identifier: Apache-2.0
"""What a file of callgrind's says: instructions by part of the program, and calls of a function."""

import re
from collections import Counter

ALLOCATORS = ('malloc', 'calloc', 'realloc')
# By library or, within the program, by the folder of the source.
PARTS = (('OpenSSL', r'/lib(ssl|crypto)\.so'), ('libc', r'/lib(c|pthread|m)\.so|/ld-linux|vgpreload|under\.so'))


class Profile:
    """instructions, and allocations (calls of malloc and the like, but from within): Counters by part;
    functions: instructions by function."""

    def __init__(self, file):
        self.instructions, self.functions, self.allocations = Counter(), Counter(), Counter()
        names = {}  # (kind, number) -> name: each is written out once
        of = {'ob': '', 'fl': '', 'fn': ''}
        callee, is_call = '', False

        def named(kind, text):
            found = re.match(r'\((\d+)\)(?: (.*))?$', text)
            if found[2]:
                names[kind, found[1]] = found[2]
            return names[kind, found[1]]

        for line in file.open(errors='replace'):
            line = line.rstrip('\n')
            found = re.match(r'(ob|cob|fl|fi|fe|cfi|cfl|fn|cfn)=(.*)', line)
            if found:
                kind = found[1]
                space = 'ob' if kind.endswith('ob') else 'fn' if kind.endswith('fn') else 'fl'
                name = named(space, found[2])
                if kind == 'cfn':
                    callee = name
                elif kind in ('ob', 'fn'):
                    of[kind] = name
                elif kind in ('fl', 'fi', 'fe'):
                    of['fl'] = name
            elif line.startswith('calls='):
                is_call = True
                if self._function(callee) in ALLOCATORS and self._function(of['fn']) not in ALLOCATORS:
                    self.allocations[self._part(of)] += int(line[6:].split()[0])
            elif re.match(r'[+\-*\d]', line):
                if not is_call:
                    cost = int(line.split()[1])
                    self.instructions[self._part(of)] += cost
                    self.functions[self._function(of['fn'])] += cost
                is_call = False

    @staticmethod
    def _function(name):
        return name.partition("'")[0].partition('@')[0]

    @staticmethod
    def _part(of):
        for part, pattern in PARTS:
            if re.search(pattern, of['ob']):
                return part
        found = re.search(r'(?:^|/)src/(\w+)/(\w+)\.[ch]$', of['fl'])
        if not found:
            return 'portico' if of['ob'].endswith('/portico') else 'other'  # without debug information
        room, file = found.groups()
        if room == 'http':
            return next((part for part in ('hpack', 'h1', 'h2') if file.startswith(part)),
                        'hpack' if file == 'huffman' else 'http')
        return room
