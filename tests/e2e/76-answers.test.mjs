// SPDX-License-Identifier: Apache-2.0
// Whatever octets a worker answers with, its client gets one whole answer, or an error, or a break
// that it can see; and nobody's next request gets what the worker said beyond that.
import assert from 'node:assert/strict';
import net from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { Portico, check, until } from './lib.mjs';
import { judgeAnswers, judgeRequests } from './strict-h1.mjs';
import { Hpack, faultOfAnswer } from './strict-h2.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE, END_STREAM } = h2;
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
const CUT = 'cut', BAD = 502, OK = [200, 'ok'];

function same(got, wanted, what) {
  assert.ok(isDeepStrictEqual(got, wanted), `${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

// ---- what HTTP/1.1 workers answer: octets, verdict, {method, end, ask: fields of an HTTP/1.1 client} ----

const line = (text) => `${text}\r\nContent-Length: 2\r\n\r\nok`;
const head = (...lines) => `HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\n\r\n`;
const sized = (value) => `${head(`Content-Length:${value}`)}ok`;
const coded = (value) => `${head(`Transfer-Encoding:${value}`)}2\r\nok\r\n0\r\n\r\n`;
const chunked = (octets) => head('Transfer-Encoding: chunked') + octets;
const field = (text) => `${head('Content-Length: 2', text)}ok`;
const switched = (...lines) => `HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n${POISON}`;
// RFC 6455 1.3: a key and what a worker makes of it.
const WEBSOCKET = 'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const ACCEPT = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

const H1 = {
  length: [
    ['plain', sized(' 2'), OK],
    ['twice the same', sized(' 2\r\nContent-Length: 2'), OK],
    ['a list of the same, zeros before', sized(' 02, 2'), OK],
    ['twice, differing', sized(' 2\r\nContent-Length: 40'), BAD],
    ['twice, the other way', sized(' 40\r\nContent-Length: 2'), BAD],
    ['a list, differing', sized(' 2, 3'), BAD],
    ['a plus sign', sized(' +2'), BAD],
    ['a minus sign', sized(' -2'), BAD],
    ['hexadecimal', sized(' 0x2'), BAD],
    ['empty', sized(''), BAD],
    ['a word', sized(' two'), BAD],
    ['2^64 + 2', sized(' 18446744073709551618'), BAD],
    ['folded', sized('\r\n 2'), BAD],
    ['a space before the colon', `${head('Content-Length : 2')}ok`, BAD],
    ['a vertical tab', sized('\x0b2'), BAD],
    ['too few octets', `${head('Content-Length: 10')}ok`, CUT, { end: true }],
    ['none, to the end', `${head('X: y')}ok`, OK, { end: true }],
    ['octets behind', sized(' 2') + POISON, OK],
    ['octets behind, and the end', `${head('Content-Length: 2', 'Connection: close')}ok${POISON}`, OK, { end: true }],
    ['octets behind nothing', `${head('Content-Length: 0')}${POISON}`, [200, '']],
    ['none, to the end, and keep-alive', `${head('Connection: keep-alive')}ok`, OK, { end: true }],
    ['none, and an answer behind', `${head('X: y')}${POISON.replace('poison', 'strong')}`, [200, POISON.replace('poison', 'strong')], { end: true }],
    ['listed in Connection', `${head('Connection: Content-Length', 'Content-Length: 2')}ok${POISON}`, OK],
    ['an underscore for the hyphen', `${head('Content_Length: 40', 'Content-Length: 2')}ok`, OK],
    ['in HTTP/1.0 that persists, and octets behind', `${head('Connection: keep-alive', 'Content-Length: 2').replace('HTTP/1.1', 'HTTP/1.0')}ok${POISON}`, OK],
    ['behind an empty line', `${sized(' 2')}\r\n\r\n`, OK],
    ['beside Content-Encoding', `${head('Content-Encoding: chunked', 'Content-Length: 2')}ok`, OK],
    ['beside Content-Range', `${head('Content-Range: bytes 0-1/40', 'Content-Length: 2')}ok`, OK],
    ['a list with a hole', sized(' 2,,2'), BAD],
    ['a comma behind', sized(' 2,'), BAD],
    ['2^63', sized(' 9223372036854775808'), BAD],
  ],
  coding: [
    ['plain', coded(' chunked'), OK],
    ['in capitals', coded(' CHUNKED'), OK],
    ['before Content-Length', coded(' chunked\r\nContent-Length: 40'), BAD],
    ['behind Content-Length', `${head('Content-Length: 2', 'Transfer-Encoding: chunked')}2\r\nok\r\n0\r\n\r\n`, BAD],
    ['twice', coded(' chunked, chunked'), BAD],
    ['in two lines', coded(' chunked\r\nTransfer-Encoding: chunked'), BAD],
    ['identity', coded(' identity'), BAD],
    ['gzip first', coded(' gzip, chunked'), BAD],
    ['xchunked', coded(' xchunked'), BAD],
    ['empty', coded(''), BAD],
    ['folded', coded('\r\n chunked'), BAD],
    ['a vertical tab', coded(' \x0bchunked'), BAD],
    ['in HTTP/1.0', coded(' chunked').replace('HTTP/1.1', 'HTTP/1.0'), BAD],
    ['an answer behind', coded(' chunked') + POISON, OK],
    ['extensions', chunked('2;a="b"\r\nok\r\n0;c\r\n\r\n'), OK],
    ['no size', chunked('\r\nok\r\n0\r\n\r\n'), CUT],
    ['a size of letters', chunked('2\r\nok\r\nxyz\r\n\r\n'), CUT],
    ['a size with a sign', chunked('+2\r\nok\r\n0\r\n\r\n'), CUT],
    ['2^64 + 2', chunked('10000000000000002\r\nok\r\n0\r\n\r\n'), CUT],
    ['an LF ends the size', chunked('2\nok\r\n0\r\n\r\n'), CUT],
    ['an LF ends the octets', chunked('2\r\nok\n0\r\n\r\n'), CUT],
    ['an LF ends the answer', chunked('2\r\nok\r\n0\r\n\n'), CUT, { end: true }],
    ['more octets than the size', chunked(`2\r\nokHTTP/1.1 200 OK\r\n\r\npoison`), CUT],
    ['the end before the last chunk', chunked('2\r\nok\r\n'), CUT, { end: true }],
    ['the end in a chunk', chunked('a\r\nok'), CUT, { end: true }],
    ['framing in the trailer section', chunked('2\r\nok\r\n0\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\nSet-Cookie: poison\r\n\r\n'), OK],
    ['an LF in the trailer section', chunked('2\r\nok\r\n0\r\nX: y\nZ: a\r\n\r\n'), CUT],
    ['listed in Connection', head('Connection: Transfer-Encoding', 'Transfer-Encoding: chunked') + '2\r\nok\r\n0\r\n\r\n' + POISON, OK],
    ['a comma behind', coded(' chunked,'), BAD],
    ['quoted', coded(' "chunked"'), BAD],
    ['a parameter', coded(' chunked;a=b'), BAD],
    ['an underscore for the hyphen', `${head('Transfer_Encoding: chunked', 'Content-Length: 2')}ok`, OK],
    ['with Content-Length: 0', coded(' chunked\r\nContent-Length: 0'), BAD],
    ['to the end of HTTP/1.0', `${coded(' chunked').replace('HTTP/1.1', 'HTTP/1.0')}`, BAD, { end: true }],
    ['an LF in an extension', chunked('2;a\nb\r\nok\r\n0\r\n\r\n'), CUT],
    ['an LF ends an extension', chunked('2;a\nok\r\n0\r\n\r\n'), CUT],
    ['a CR in an extension', chunked('2;a\rb\r\nok\r\n0\r\n\r\n'), CUT],
    ['two CRs end the size', chunked('2\r\r\nok\r\n0\r\n\r\n'), CUT],
    ['CRLF in a quoted extension', chunked('2;a="\r\nok\r\n0\r\n\r\n'), CUT],
    ['a space behind the size', chunked('2 \r\nok\r\n0\r\n\r\n'), CUT],
    ['0x', chunked('0x2\r\nok\r\n0\r\n\r\n'), CUT],
    ['too many fields in the trailer section', chunked(`2\r\nok\r\n0\r\n${'X: y\r\n'.repeat(400)}\r\n`), CUT],
    ['a field behind the message', chunked(`2\r\nok\r\n0\r\n\r\nSet-Cookie: poison\r\n\r\n`), OK],
    ['what a head only may say in the trailer section', chunked('2\r\nok\r\n0\r\nConnection: close\r\nLocation: /\r\nSet-Cookie: poison\r\nWWW-Authenticate: poison\r\nContent-Type: poison\r\nUpgrade: poison\r\n\r\n'), OK],
  ],
  'no content': [
    ['HEAD, with octets', sized(' 2') + POISON, [200, ''], { method: 'HEAD' }],
    ['HEAD, chunked, with octets', coded(' chunked'), [200, ''], { method: 'HEAD' }],
    ['HEAD, without a length', head('X: y'), [200, ''], { method: 'HEAD' }],
    ['204, with octets', `HTTP/1.1 204 No Content\r\n\r\n${POISON}`, [204, '']],
    ['204, Content-Length: 0', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', [204, '']],
    ['204, a length', `HTTP/1.1 204 No Content\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, [204, '']],
    ['204, a length, and no more', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n', [204, '']],
    ['204, chunked', `HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`, [204, '']],
    ['304, with octets', `HTTP/1.1 304 Not Modified\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, [304, '']],
    ['304, chunked', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', [304, '']],
    ['304, length and coding', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n', BAD],
    ['304, chunked, with an answer behind', `HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n${POISON}`, [304, '']],
    ['204, length and coding', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n', BAD],
    ['205, with a length', sized(' 2').replace('200 OK', '205 Reset Content') + POISON, [205, 'ok']],
    ['205, without a length', 'HTTP/1.1 205 Reset Content\r\n\r\n', [205, ''], { end: true }],
    ['HEAD, length and coding', head('Content-Length: 2', 'Transfer-Encoding: chunked'), BAD, { method: 'HEAD' }],
    ['HEAD, lengths that differ', head('Content-Length: 2', 'Content-Length: 3'), BAD, { method: 'HEAD' }],
    ['HEAD, 1xx before', `HTTP/1.1 103 Early Hints\r\n\r\n${head('Content-Length: 6')}poison`, [200, ''], { method: 'HEAD' }],
    ['HEAD, 304', `HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison`, [304, ''], { method: 'HEAD' }],
    ['a method in lower case has content', sized(' 2') + POISON, OK, { method: 'head' }],
    ['OPTIONS has content', sized(' 2') + POISON, OK, { method: 'OPTIONS' }],
    ['200 without anything', head('Content-Length: 0'), [200, '']],
  ],
  informational: [
    ['one', `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${sized(' 2')}`, OK],
    ['Content-Length: 0', `HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n${sized(' 2')}`, OK],
    ['a length', `HTTP/1.1 103 Early Hints\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`, BAD],
    ['chunked', `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${sized(' 2')}`, BAD],
    ['a flood', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2000) + POISON, BAD],
    ['100 that nobody asked for', `HTTP/1.1 100 Continue\r\n\r\n${sized(' 2')}`, OK],
    ['101 that nobody asked for', `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n${POISON}`, BAD],
    ['101 without Upgrade', `HTTP/1.1 101 Switching Protocols\r\n\r\n${POISON}`, BAD],
    ['and nothing more', 'HTTP/1.1 103 Early Hints\r\n\r\n', BAD, { end: true }],
    ['of every number', [100, 102, 103, 104, 110, 150, 199].map((n) => `HTTP/1.1 ${n} x\r\n\r\n`).join('') + sized(' 2'), OK],
    ['that says close', `HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n${sized(' 2')}`, OK],
    ['in HTTP/1.0', `HTTP/1.0 103 Early Hints\r\n\r\n${sized(' 2')}`, OK],
    ['lengths that differ', `HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n${sized(' 2')}`, BAD],
    ['content behind it', `HTTP/1.1 103 Early Hints\r\n\r\npoison${sized(' 2')}`, BAD],
    ['behind the answer', `${sized(' 2')}HTTP/1.1 103 Early Hints\r\nX: poison\r\n\r\n`, OK],
    ['long ones', `HTTP/1.1 103 Early Hints\r\nX: ${'y'.repeat(9000)}\r\n\r\n`.repeat(10) + POISON, BAD],
    ['101 with Connection: upgrade alone', `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n${POISON}`, BAD],
    ['101 to h2c', `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n${POISON}`, BAD],
    ['101 behind a 103', `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n${POISON}`, BAD],
    ['426 that asks for another protocol', line('HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: h2c'), [426, 'ok']],
  ],
  'to who asked for a WebSocket': [
    ['no switch', sized(' 2'), OK],
    ['no switch, and an answer behind', sized(' 2') + POISON, OK],
    ['no switch, chunked, and an answer behind', coded(' chunked') + POISON, OK],
    ['another version is wanted', `${line('HTTP/1.1 426 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8')}${POISON}`, [426, 'ok']],
    ['another protocol', switched('Connection: upgrade', 'Upgrade: h2c', ACCEPT), BAD],
    ['two protocols', switched('Connection: upgrade', 'Upgrade: websocket, h2c', ACCEPT), BAD],
    ['two protocols in two lines', switched('Connection: upgrade', 'Upgrade: websocket', 'Upgrade: h2c', ACCEPT), BAD],
    ['no protocol', switched('Connection: upgrade', ACCEPT), BAD],
    ['not listed in Connection', switched('Upgrade: websocket', ACCEPT), BAD],
    ['no key', switched('Connection: upgrade', 'Upgrade: websocket'), BAD],
    ['another key', switched('Connection: upgrade', 'Upgrade: websocket', ACCEPT.toLowerCase()), BAD],
    ['a length', switched('Connection: upgrade', 'Upgrade: websocket', ACCEPT, `Content-Length: ${POISON.length}`), BAD],
    ['a coding', switched('Connection: upgrade', 'Upgrade: websocket', ACCEPT, 'Transfer-Encoding: chunked'), BAD],
    ['in HTTP/1.0', switched('Connection: upgrade', 'Upgrade: websocket', ACCEPT).replace('HTTP/1.1', 'HTTP/1.0'), BAD],
    ['folded', switched('Connection:\r\n upgrade', 'Upgrade: websocket', ACCEPT), BAD],
    ['101 behind the answer', sized(' 2') + switched('Connection: upgrade', 'Upgrade: websocket', ACCEPT), OK],
    ['nothing but 100', 'HTTP/1.1 100 Continue\r\n\r\n', BAD, { end: true }],
  ].map(([what, octets, wanted, how]) => [what, octets, wanted, { ...how, ask: WEBSOCKET }]),
  'status line': [
    ['no reason', line('HTTP/1.1 200'), OK],
    ['HTTP/1.0', line('HTTP/1.0 200 OK'), OK],
    ['a reason with high octets', line('HTTP/1.1 200 \xe9\xff'), OK],
    ['a reason that is an answer', line('HTTP/1.1 200 HTTP/1.1 200 poison'), OK],
    ['no space before the reason', line('HTTP/1.1 200OK'), BAD],
    ['two spaces', line('HTTP/1.1  200 OK'), BAD],
    ['two digits', line('HTTP/1.1 20 OK'), BAD],
    ['four digits', line('HTTP/1.1 2000 OK'), BAD],
    ['a sign', line('HTTP/1.1 +20 OK'), BAD],
    ['099', line('HTTP/1.1 099 OK'), BAD],
    ['HTTP/2', line('HTTP/2 200 OK'), BAD],
    ['HTTP/1.2', line('HTTP/1.2 200 OK'), BAD],
    ['lower case', line('http/1.1 200 OK'), BAD],
    ['another protocol', line('ICY 200 OK'), BAD],
    ['none', 'ok', BAD, { end: true }],
    ['an empty line before', `\r\n${sized(' 2')}`, BAD],
    ['a space before', ` ${sized(' 2')}`, BAD],
    ['a CR in the reason', line('HTTP/1.1 200 O\rK'), BAD],
    ['a NUL in the reason', line('HTTP/1.1 200 O\0K'), BAD],
    ['an LF for the end', line('HTTP/1.1 200 OK\nX: y'), BAD],
    ['LF for all ends', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', BAD],
    ['600', line('HTTP/1.1 600 x'), BAD],
    ['999', line('HTTP/1.1 999 x'), BAD],
    ['000', line('HTTP/1.1 000 x'), BAD],
    ['0x1', line('HTTP/1.1 0x1 x'), BAD],
    ['an unknown one', line('HTTP/1.1 299 x'), [299, 'ok']],
    ['a tab before the reason', line('HTTP/1.1 200\tOK'), BAD],
    ['a tab before the status', line('HTTP/1.1\t200 OK'), BAD],
    ['a tab in the reason', line('HTTP/1.1 200 O\tK'), OK],
    ['an escape in the reason', line('HTTP/1.1 200 O\x1bK'), BAD],
    ['two CRs at the end', line('HTTP/1.1 200 OK\r'), BAD],
    ['a version of two digits', line('HTTP/1.10 200 OK'), BAD],
    ['a version with zeros', line('HTTP/01.1 200 OK'), BAD],
    ['HTTP/0.9', line('HTTP/0.9 200 OK'), BAD],
    ['a long reason', line(`HTTP/1.1 200 ${'y'.repeat(20000)}`), BAD],
    ['a reason alone', line('HTTP/1.1 OK'), BAD],
    ['a byte order mark before', `\xef\xbb\xbf${sized(' 2')}`, BAD],
    ['an LF before', `\n${sized(' 2')}`, BAD],
    ['TLS', '\x15\x03\x01\x00\x02\x02\x50', BAD, { end: true }],
    ['HTTP/2', Buffer.concat([h2.frame(TYPE.SETTINGS, 0, 0, '')]).toString('latin1'), BAD, { end: true }],
  ],
  fields: [
    ['an LF in a value', field('X: y\nSet-Cookie: poison'), BAD],
    ['a CR in a value', field('X: y\rSet-Cookie: poison'), BAD],
    ['a NUL in a value', field('X: y\0'), BAD],
    ['a DEL in a value', field('X: y\x7f'), BAD],
    ['folded', field('X: y\r\n Set-Cookie: poison'), BAD],
    ['a space before the colon', field('X : y'), BAD],
    ['a space in the name', field('X Y: z'), BAD],
    ['no name', field(': y'), BAD],
    ['no colon', field('X'), BAD],
    ['a NUL in the name', field('X\0: y'), BAD],
    ['a request line', field('GET / HTTP/1.1'), BAD],
    ['what is for one hop', field('Connection: X-One, keep-alive\r\nKeep-Alive: timeout=5\r\nX-One: poison\r\nProxy-Connection: x\r\nUpgrade: h2c'), OK],
    ['too many', field('X: y\r\n'.repeat(400) + 'X: y'), BAD],
    ['as many as there may be', field('X: y\r\n'.repeat(254) + 'X-Last: z'), OK],
    ['one more', field('X: y\r\n'.repeat(255) + 'X-Last: z'), BAD],
    ['too long', field(`X: ${'y'.repeat(70000)}`), BAD],
    ['too many options in Connection', field(`Connection: ${Array.from({ length: 40 }, (_, i) => `x${i}`).join(', ')}`), BAD],
    ['commas in Connection', field(`X-One: poison\r\nConnection: ${','.repeat(60000)}X-One${'\r\na:'.repeat(200)}`), OK],
    ['a quote in Connection', field('Connection: "x, X-One, y"\r\nX-One: poison'), OK],
    ['a line of white space', field('X: y\r\n \r\nSet-Cookie: poison'), BAD],
    ['the first line begins with a space', `HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok`, BAD],
    ['an escape in a value', field('X: y\x1bz'), BAD],
    ['high octets in a value', field('X: \x80\xff'), OK],
    ['a high octet in the name', field('X\xe9: y'), BAD],
    ['a pseudo-header field', field(':status: 500'), BAD],
    ['an answer in a value', field('X: HTTP/1.1 200 OK'), OK],
    ['two CRs end a line', field('X: y\r'), BAD],
  ],
};

// ---- what h2c workers answer: frames by stream, verdict ----

const fields = (more, status = '200') => [[':status', status], ...more];
const whole = (more, content = 'ok') => (id) => [h2.head(id, fields(more)), h2.data(id, content, true)];
const bare = (status, more = []) => (id) => [h2.head(id, fields(more, status), true)];
const before = (more, status) => (id) => [h2.head(id, fields(more, status)), ...whole([])(id)];
const trailers = (more) => (id) => [h2.head(id, fields([])), h2.data(id, 'ok'), h2.head(id, more, true)];

const H2 = {
  length: [
    ['right', whole([['content-length', '2']]), OK],
    ['twice the same', whole([['content-length', '2'], ['content-length', '2']]), OK],
    ['a list of the same, zeros before', whole([['content-length', '02, 2']]), OK],
    ['twice, differing', whole([['content-length', '2'], ['content-length', '3']]), BAD],
    ['a list, differing', whole([['content-length', '2, 3']]), BAD],
    ['a plus sign', whole([['content-length', '+2']]), BAD],
    ['empty', whole([['content-length', '']]), BAD],
    ['more', whole([['content-length', '40']]), CUT],
    ['less', whole([['content-length', '1']]), CUT],
    // To an HTTP/1.1 client the answer was over with its head.
    ['zero, with content', whole([['content-length', '0']], 'poison'), { by1: [200, ''], by2: CUT }],
    ['content behind its length', (id) => [h2.head(id, fields([['content-length', '2']])), h2.data(id, 'ok'), h2.data(id, 'poison', true)],
      { by1: OK, by2: CUT }],
    ['more, and nothing comes', bare('200', [['content-length', '2']]), BAD],
    ['content behind the end', (id) => [...whole([])(id), h2.data(id, 'poison', true)], OK],
    ['a second answer', (id) => [...whole([])(id), ...whole([], 'poison')(id)], OK],
    ['content before the head', (id) => [h2.data(id, 'poison'), ...whole([])(id)], BAD],
    ['an answer in content', whole([], POISON.replace('poison', 'strong')), [200, POISON.replace('poison', 'strong')]],
    ['2^63', whole([['content-length', '9223372036854775808']]), BAD],
    ['a list with a hole', whole([['content-length', '2,,2']]), BAD],
    ['with a space', whole([['content-length', ' 2']]), BAD],
    ['right, in pieces', (id) => [h2.head(id, fields([['content-length', '2']])), h2.data(id, 'o'), h2.data(id, ''), h2.data(id, 'k', true)], OK],
    ['right, and trailers', (id) => [h2.head(id, fields([['content-length', '2']])), h2.data(id, 'ok'), h2.head(id, [['x', 'y']], true)], OK],
    ['more, and trailers', (id) => [h2.head(id, fields([['content-length', '3']])), h2.data(id, 'ok'), h2.head(id, [['x', 'y']], true)], CUT],
    ['none, in chunks', whole([], '2\r\nok\r\n0\r\n\r\n'), [200, '2\r\nok\r\n0\r\n\r\n']],
    ['content_length', whole([['content_length', '40'], ['content-length', '2']]), OK],
    ['transfer_encoding', whole([['transfer_encoding', 'chunked']]), OK],
  ],
  'no content': [
    ['HEAD', bare('200', [['content-length', '2']]), [200, ''], { method: 'HEAD' }],
    ['HEAD, with content', whole([], 'poison'), [200, ''], { method: 'HEAD' }],
    ['204, a length', bare('204', [['content-length', '2']]), [204, '']],
    ['204, with content', (id) => [h2.head(id, fields([], '204')), h2.data(id, 'poison', true)], [204, '']],
    ['304, a length', bare('304', [['content-length', '2']]), [304, '']],
    ['304, with content', (id) => [h2.head(id, fields([], '304')), h2.data(id, 'poison', true)], [304, '']],
    ['304, a length, with content', (id) => [h2.head(id, fields([['content-length', '6']], '304')), h2.data(id, 'poison', true)], [304, '']],
    ['204, zero', bare('204', [['content-length', '0']]), [204, '']],
    ['205, with content', (id) => [h2.head(id, fields([], '205')), h2.data(id, 'ok', true)], [205, 'ok']],
    ['HEAD, a length and content', whole([['content-length', '6']], 'poison'), [200, ''], { method: 'HEAD' }],
    ['HEAD, trailers', (id) => [h2.head(id, fields([])), h2.head(id, [['x', 'y']], true)], [200, ''], { method: 'HEAD' }],
    ['204, trailers', (id) => [h2.head(id, fields([], '204')), h2.head(id, [['x', 'y']], true)], [204, '']],
    ['a method in lower case has content', whole([['content-length', '2']]), OK, { method: 'head' }],
  ],
  informational: [
    ['one', before([['link', '</x>']], '103'), OK],
    ['a length', before([['content-length', '6']], '103'), OK],
    ['101', before([], '101'), BAD],
    ['that ends the stream', bare('103'), BAD],
    ['a flood', (id) => [...Array.from({ length: 100 }, () => h2.head(id, fields([], '102'))), ...whole([], 'poison')(id)], BAD],
    ['100 that nobody asked for', before([], '100'), OK],
    ['of every number', (id) => [...['102', '103', '104', '150', '199'].map((n) => h2.head(id, fields([], n))), ...whole([])(id)], OK],
    ['behind the head', (id) => [h2.head(id, fields([])), h2.head(id, fields([], '103')), h2.data(id, 'ok', true)], CUT],
    ['behind the content', (id) => [h2.head(id, fields([])), h2.data(id, 'ok'), h2.head(id, fields([], '103'))], CUT],
    ['content behind it', (id) => [h2.head(id, fields([], '103')), h2.data(id, 'poison'), ...whole([])(id)], BAD],
  ],
  'pseudo-header fields': [
    ['no :status', (id) => [h2.head(id, [['x', 'y']], true)], BAD],
    [':status twice', (id) => [h2.head(id, [[':status', '200'], [':status', '200']], true)], BAD],
    [':status behind a field', (id) => [h2.head(id, [['x', 'y'], [':status', '200']], true)], BAD],
    [':status of two digits', bare('20'), BAD],
    [':status of four digits', bare('2000'), BAD],
    [':status 099', bare('099'), BAD],
    [':status with a sign', bare('+20'), BAD],
    [':status with a reason', bare('200 OK'), BAD],
    [':status with CRLF', bare('200\r\nX: y'), BAD],
    [':status empty', bare(''), BAD],
    ['of a request', whole([[':path', '/']]), BAD],
    ['unknown', whole([[':x', 'y']]), BAD],
    [':status 600', bare('600'), BAD],
    [':status 999', bare('999'), BAD],
    [':status 101', bare('101'), BAD],
    [':status with a space', bare('200 '), BAD],
    [':status of letters', bare('2OO'), BAD],
    [':protocol', whole([[':protocol', 'websocket']]), BAD],
  ],
  fields: [
    ['CRLF in a value', whole([['x', 'y\r\nSet-Cookie: poison']]), BAD],
    ['an answer in a value', whole([['x', `y\r\n\r\n${POISON}`]]), BAD],
    ['an LF in a value', whole([['location', '/\nSet-Cookie: poison']]), BAD],
    ['a CR in a value', whole([['location', '/\rSet-Cookie: poison']]), BAD],
    ['a NUL in a value', whole([['x', 'y\0']]), BAD],
    ['a DEL in a value', whole([['x', 'y\x7f']]), BAD],
    ['a space before a value', whole([['x', ' y']]), BAD],
    ['a space behind a value', whole([['x', 'y ']]), BAD],
    ['CRLF in a name', whole([['x\r\nset-cookie', 'poison']]), BAD],
    ['a colon in a name', whole([['x: y', 'z']]), BAD],
    ['a space in a name', whole([['content-length ', '40']]), BAD],
    ['capitals', whole([['X', 'y']]), BAD],
    ['an empty name', whole([['', 'y']]), BAD],
    ['connection', whole([['connection', 'close']]), BAD],
    ['transfer-encoding', whole([['transfer-encoding', 'chunked']]), BAD],
    ['upgrade', whole([['upgrade', 'h2c']]), BAD],
    ['keep-alive', whole([['keep-alive', 'timeout=5']]), BAD],
    ['proxy-connection', whole([['proxy-connection', 'close']]), BAD],
    ['http2-settings', whole([['http2-settings', '']]), BAD],
    ['te', whole([['te', 'gzip']]), BAD],
    ['an escape in a value', whole([['x', 'y\x1b']]), BAD],
    ['a vertical tab in a value', whole([['x', 'y\x0b']]), BAD],
    ['high octets in a value', whole([['x', '\x80\xff']]), OK],
    ['an empty value', whole([['x', '']]), OK],
    ['LF in a name', whole([['x\ny', 'z']]), BAD],
    ['a NUL in a name', whole([['x\0', 'z']]), BAD],
    ['a high octet in a name', whole([['x\xe9', 'z']]), BAD],
    ['a status line in a name', whole([['http/1.1 200 ok', 'z']]), BAD],
    ['host and expect', whole([['host', 'a'], ['expect', '100-continue']]), OK],
    ['a cookie in crumbs', whole([['cookie', 'a=b'], ['cookie', 'c=d']]), OK],
    ['as many as there may be', whole(Array.from({ length: 256 }, () => ['x', 'y'])), OK],
    ['one more', whole(Array.from({ length: 257 }, () => ['x', 'y'])), BAD],
  ],
  trailers: [
    ['of its own', trailers([['x-sum', '1']]), OK],
    ['framing', trailers([['content-length', '40'], ['set-cookie', 'poison']]), OK],
    ['a pseudo-header field', trailers([[':status', '500']]), CUT],
    ['CRLF in a value', trailers([['x', `y\r\n\r\n${POISON}`]]), CUT],
    ['transfer-encoding', trailers([['transfer-encoding', 'chunked']]), CUT],
    ['connection', trailers([['connection', 'close']]), CUT],
    ['capitals', trailers([['X', 'y']]), CUT],
    ['a colon in a name', trailers([['x: y', 'z']]), CUT],
    ['an LF in a value', trailers([['x', 'y\nz']]), CUT],
    ['that do not end the stream', (id) => [h2.head(id, fields([])), h2.data(id, 'ok'), h2.head(id, [['x', 'y']])], CUT],
    ['twice', (id) => [...trailers([['x', 'y']])(id), h2.head(id, [['x', 'poison']], true)], OK],
    ['what a head only may say', trailers([['location', '/'], ['www-authenticate', 'poison'], ['content-type', 'poison'], ['te', 'trailers']]), OK],
  ],
};

// ---- the workers ----

const deeds = []; // by number: what a trick answers
const faults = []; // of requests that the HTTP/1.1 worker got
const sockets = new Set();
const last = {}; // app -> the connection that answered last
const answerTo = (method, target) => `${method} ${target}`;
const deedOf = (target) => deeds[/^\/deed-(\d+)/.exec(target)?.[1]];

function say(socket, [octets, { end } = {}]) {
  socket.write(octets, 'latin1');
  if (end) socket.end();
}

function h1Worker() {
  const server = net.createServer((socket) => {
    let rest = '';
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (part) => {
      const judged = judgeRequests(rest + part);
      rest = judged.rest;
      last.h1 = socket;
      if (judged.fault) faults.push(judged.fault);
      // An answer to a request of which only the head has come.
      const early = rest.startsWith('POST /early') && rest.includes('\r\n\r\n') && !socket.early;
      if (early) socket.write(sized(' 2'));
      socket.early ||= early;
      for (const { method, target } of judged.messages) {
        const deed = deedOf(target), text = answerTo(method, target);
        say(socket, deed ?? [`${head(`Content-Length: ${text.length}`)}${text}`]);
      }
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Reads no content: what came as such is its next request, which it answers when somebody asks.  What
 *  it answers to HEAD has content, which comes as late. */
function deafWorker() {
  const server = net.createServer((socket) => {
    let owed = 0;
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (part) => {
      socket.write(POISON.repeat(owed));
      const [first, ...others] = part.split('\r\n\r\n').slice(0, -1);
      const [method, target] = first.split(' '), text = answerTo(method, target);
      owed = others.length + (method === 'HEAD');
      socket.write(`${head(`Content-Length: ${text.length}`)}${method === 'HEAD' ? '' : text}`);
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function h2Worker() {
  return h2.h2cServer((send, f, socket) => {
    socket.hpack ??= new Hpack();
    sockets.add(socket);
    if (f.type !== TYPE.HEADERS) return;
    last.h2 = socket;
    const get = Object.fromEntries(socket.hpack.read(f.payload));
    const deed = deedOf(get[':path']);
    send(...(deed ?? [whole([], answerTo(get[':method'], get[':path']))])[0](f.id));
  });
}

// ---- the clients ----

let p, count = 0;
const servers = [];

/** Octets to the plain port, and all that comes back until the end. */
function exchange1(octets) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(p.ports.http, '127.0.0.1', () => socket.write(octets, 'latin1'));
    const timer = setTimeout(() => reject(new Error(`no end: ${JSON.stringify(got)}`)), 60_000);
    let got = '';
    socket.setEncoding('latin1').on('data', (part) => (got += part)).on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(got);
    });
  });
}

const request = (app, target, { method = 'GET', ask = '', close = false } = {}) => (
  `${method} ${target} HTTP/1.1\r\nHost: ${app}.localhost\r\n${ask}${close ? 'Connection: close\r\n' : ''}\r\n`);

async function innocent(app) {
  const target = `/innocent-${count++}`;
  const { messages: [answer], fault } = judgeAnswers(await exchange1(request(app, target, { close: true })));
  same([fault, answer?.status, answer?.body], [null, 200, answerTo('GET', target)], 'the innocent on another connection');
}

const accepts = (wanted, got) => (Array.isArray(wanted) ? isDeepStrictEqual(got, wanted) : wanted === (got === CUT ? CUT : got[0]));

/** What came of the trick: [status, content] or CUT. */
async function by1(app, target, { method = 'GET', ask } = {}) {
  const after = `/innocent-${count++}`;
  const text = await exchange1(request(app, target, { method, ask }) + request(app, after, { close: true }));
  assert.ok(!text.includes('poison'), text);
  const { messages: [first, ...others], rest, fault } = judgeAnswers(text, { methods: [method] });
  same(fault, null, `the judge of ${JSON.stringify(text)}`);
  if (!first) {
    assert.match(rest, /^(HTTP\/1\.1 103[^]*)?HTTP\/1\.1 200 /, 'a break that can be seen');
    return CUT;
  }
  same(rest, '', 'whole answers');
  if (first.close) same(others, [], 'answers behind it');
  else same(others.map(({ status, body }) => [status, body]), [[200, answerTo('GET', after)]], 'the innocent behind it');
  return [first.status, first.body];
}

async function by2(app, target, { method = 'GET' } = {}) {
  const after = `/innocent-${count++}`, answers = {};
  const c = await h2.h2Client(p.ports.http), hpack = new Hpack();
  const ask = (id, path, verb) => h2.head(id, h2.request(`${app}.localhost`, path, { ':method': verb }), true);
  const ended = (id) => (f) => f.type === TYPE.GOAWAY || (f.id === id && (f.type === TYPE.RST || (f.type < 2 && f.flags & END_STREAM)));
  c.send(ask(1, target, method));
  assert.ok(await c.until(ended(1)), 'an answer');
  c.send(ask(3, after, 'GET'));
  assert.ok(await c.until(ended(3)), 'an answer to the innocent');
  for (const f of c.frames) {
    const a = (answers[f.id] ??= { sections: [], content: '', reset: null });
    if (f.type === TYPE.HEADERS) a.sections.push(hpack.read(f.payload));
    if (f.type === TYPE.DATA) a.content += f.payload.toString('latin1');
    if (f.type === TYPE.RST) a.reset = f.payload.readUInt32BE(0);
  }
  c.socket.destroy();
  assert.ok(!JSON.stringify(answers).includes('poison'), 'poison');
  const statusOf = (section) => Number(section?.find(([name]) => name === ':status')?.[1]);
  same([statusOf(answers[3]?.sections[0]), answers[3]?.content], [200, answerTo('GET', after)], 'the innocent behind it');
  const trick = answers[1], at = trick.sections.findIndex((section) => statusOf(section) >= 200);
  for (const section of trick.sections.slice(0, Math.max(at, 0))) same(faultOfAnswer({ fields: section, content: '' }), null, 'the judge of 1xx');
  if (trick.reset !== null) return CUT;
  const one = { fields: trick.sections[at], content: trick.content, trailers: trick.sections[at + 1] ?? [], noContent: method === 'HEAD' };
  same(faultOfAnswer(one), null, 'the judge');
  return [statusOf(one.fields), one.content];
}

async function attempt(app, by, [, octets, wanted, how = {}]) {
  const number = deeds.push([octets, how]) - 1;
  const got = await by(app, `/deed-${number}`, how);
  const one = wanted[by.name] ?? wanted;
  assert.ok(accepts(one, got), `${JSON.stringify(got)}, not ${JSON.stringify(one)}`);
  await innocent(app);
}

check('starts', async () => {
  servers.push(await h1Worker(), await h2Worker(), await deafWorker());
  const upstream = (app, server, more) => ({ upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: [`${app}.localhost`], ...more });
  p = await Portico.start({
    apps: { h1: upstream('h1', servers[0]), h2: upstream('h2', servers[1], { http20ProxyFlag: 1 }), deaf: upstream('deaf', servers[2]),
      brief: upstream('brief', servers[0], { timeouts: { request: '2s' } }) }, loops: 1,
  }, { ready: false });
  for (const app of ['h1', 'h2', 'deaf', 'brief']) await until(`${app} is ready`, () => innocent(app).then(() => true));
});

for (const [app, groups] of [['h1', H1], ['h2', H2]]) {
  for (const [group, tricks] of Object.entries(groups)) {
    check(`worker ${app}, ${group}: ${tricks.length} tricks, to clients of both versions`, async () => {
      const failed = [];
      for (const trick of tricks) {
        for (const [version, by] of [['HTTP/1.1', by1], ['HTTP/2', by2]]) {
          if (trick[3]?.ask && by === by2) continue;
          await attempt(app, by, trick).catch((error) => failed.push(`${trick[0]} (${version}): ${error.message}`));
        }
      }
      assert.equal(failed.length, 0, `${failed.length} failed:\n${failed.join('\n')}`);
    }, 60);
  }
}

check('an answer that nobody asked for, on a connection at rest: it ends, and nobody gets it', async () => {
  const unasked = {
    h1: [POISON, 'HTTP/1.1 103 Early Hints\r\n\r\n', 'H', '\r\n', '\0'],
    h2: [whole([], 'poison')(1001), [h2.data(1001, 'poison', true)], [h2.head(2, fields([]), true)]].map((frames) => Buffer.concat(frames)),
  };
  for (const app of ['h1', 'h2']) {
    for (const octets of unasked[app]) {
      await innocent(app);
      const socket = last[app], closed = new Promise((resolve) => socket.once('close', resolve));
      socket.write(octets, 'latin1');
      await closed;
      await innocent(app);
      assert.notEqual(last[app], socket);
    }
  }
});

const CONTINUE = 'Expect: 100-continue\r\n';
for (const [what, head, begun, rest, app = 'h1', status = 200] of [
  ['content that has begun', 'Content-Length: 100\r\n', '0123456789', 'x'.repeat(90)],
  ['chunks that have begun', 'Transfer-Encoding: chunked\r\n', 'a\r\n0123456789\r\n', '0\r\n\r\n'],
  ['content that waits for 100', `${CONTINUE}Content-Length: 100\r\n`, '', 'x'.repeat(100)],
  ['content that waits for 100 and does not come', `${CONTINUE}Content-Length: 100\r\n`, '', ''],
  ['chunks that wait for 100 and do not come', `${CONTINUE}Transfer-Encoding: chunked\r\n`, '', ''],
  ['content that stands still until time is up', 'Content-Length: 100\r\n', '0123456789', 'x'.repeat(90), 'brief', 408],
  ['chunks that stand still until time is up', 'Transfer-Encoding: chunked\r\n', 'a\r\n0123', '456789\r\n0\r\n\r\n', 'brief', 408],
]) {
  check(`an answer before the content, ${what}: what comes behind it is nobody's request`, async () => {
    const c = net.connect(p.ports.http, '127.0.0.1');
    let got = '';
    c.setEncoding('latin1').on('data', (part) => (got += part)).on('error', () => {});
    const closed = new Promise((resolve) => c.once('close', resolve));
    c.write(`POST ${app === 'h1' ? '/early' : '/late'} HTTP/1.1\r\nHost: ${app}.localhost\r\n${head}\r\n${begun}`);
    await until('the early answer is there', () => judgeAnswers(got).messages.length);
    await innocent(app);
    c.write(rest + request(app, '/behind'));
    await closed;
    const { messages, fault } = judgeAnswers(got);
    same([fault, messages.map((answer) => answer.status)], [null, [status]], 'one answer');
    await innocent(app);
  });
}

check('content that a worker may well leave unread is not its next request, nor that of HEAD the next answer', async () => {
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: other.example\r\n\r\n';
  const sized = [`Content-Length: ${hidden.length}\r\n`, hidden];
  const chunks = ['Transfer-Encoding: chunked\r\n', `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`];
  for (const [method, ask, content] of [
    ...['GET', 'HEAD', 'OPTIONS', 'TRACE', 'DELETE', 'PROPFIND', 'QUERY', 'MADE-UP', 'post'].flatMap((method) => [[method, ...sized], [method, ...chunks]]),
    ['HEAD', '', ''],
    ['POST', CONTINUE + sized[0], sized[1]], ['PUT', CONTINUE + chunks[0], chunks[1]],
  ]) {
    const { messages: [answer] } = judgeAnswers(await exchange1(request('deaf', '/x', { method, ask, close: true }) + content), { methods: [method] });
    same(answer.status, 200, method);
    await innocent('deaf');
  }
});

check('a final answer in place of 100: the content that comes late is nobody\'s request', async () => {
  const content = 'GET /smuggled HTTP/1.1\r\nHost: h1.localhost\r\n\r\n';
  for (const expect of ['100-continue', '100-Continue', 'x, 100-continue', 'x 100-continue']) {
    const c = net.connect(p.ports.http, '127.0.0.1');
    let got = '';
    c.setEncoding('latin1').on('data', (part) => (got += part)).on('error', () => {});
    const closed = new Promise((resolve) => c.once('close', resolve));
    c.write(`POST /early HTTP/1.1\r\nHost: h1.localhost\r\nExpect: ${expect}\r\nContent-Length: ${content.length}\r\n\r\n`);
    await until('the early answer is there', () => got.endsWith('ok'));
    const asked = last.h1;
    await innocent('h1');
    assert.notEqual(last.h1, asked, 'its connection is not used again');
    c.write(content + request('h1', '/behind'));
    await closed;
    const { messages, fault } = judgeAnswers(got);
    same([fault, messages.map(({ status }) => status)], [null, [200]], expect);
  }
});

check('the worker got nothing odd, and it ends clean', async () => {
  for (const server of servers) server.close();
  for (const socket of sockets) socket.destroy();
  await p.stop();
  assert.deepEqual(faults, []);
});
