// SPDX-License-Identifier: Apache-2.0
// A judge of HTTP/1.1 octets (RFC 9112) that shares nothing with the engine under test.  It reads
// what a well-behaved sender may write, and nothing else: whatever two readers could understand in
// two ways is a fault.  Octets are handled as latin1 text, one character an octet.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(|[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*$/;
// RFC 3986 3.2.2: a name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?$/;
// Browsers leave some octets unencoded that RFC 3986 wants encoded; they end no target.
const TARGET = /^(?:\/[!-"$-~\x80-\xff]*|\*)$/;

class Fault extends Error {}
const fail = (why) => {
  throw new Fault(why);
};
/** There may be more to come. */
const MORE = Symbol('more');
const more = () => {
  throw MORE;
};

/** The line that begins at `at`: {line, next}.  A line ends with CRLF; neither octet stands alone. */
function lineAt(text, at) {
  const end = text.indexOf('\r\n', at);
  const line = text.slice(at, end < 0 ? undefined : end);
  const alone = /[\0\n\x0b\x0c\x7f]|\r(?!$)/.exec(line);
  if (alone) fail(`octet ${alone[0].charCodeAt(0)} inside a line: ${JSON.stringify(line)}`);
  if (end < 0) more();
  if (line.includes('\r')) fail('CR before CRLF');
  return { line, next: end + 2 };
}

function fieldsAt(text, at) {
  const fields = [];
  for (;;) {
    const { line, next } = lineAt(text, at);
    at = next;
    if (line === '') return { fields, next };
    const found = LINE.exec(line);
    if (!found) fail(`no field line: ${JSON.stringify(line)}`);
    fields.push([found[1].toLowerCase(), found[2]]);
  }
}

const valuesOf = (fields, name) => fields.filter(([key]) => key === name).map(([, value]) => value);

/** The one way in which the content is delimited: 'chunked', a number, or null. */
function framingOf(fields, version) {
  const lengths = valuesOf(fields, 'content-length'), codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length && codings.length) fail('Content-Length and Transfer-Encoding');
  if (lengths.length > 1) fail('Content-Length twice');
  if (codings.length > 1) fail('Transfer-Encoding twice');
  if (codings.length && version === '1.0') fail('Transfer-Encoding in HTTP/1.0');
  if (codings.length && codings[0] !== 'chunked') fail(`Transfer-Encoding: ${codings[0]}`);
  if (lengths.length && !/^(0|[1-9][0-9]{0,14})$/.test(lengths[0])) fail(`Content-Length: ${lengths[0]}`);
  return codings.length ? 'chunked' : lengths.length ? Number(lengths[0]) : null;
}

const NOT_IN_TRAILERS = /^(content-length|transfer-encoding|host|te|trailer|connection|upgrade|expect|authorization|cookie|set-cookie|content-(type|encoding|range)|max-forwards|x-forwarded-.*)$/;

function chunksAt(text, at) {
  let body = '';
  for (;;) {
    const { line, next } = lineAt(text, at);
    // Extensions are for one hop: a proxy that writes its own chunks has none to write.
    if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) fail(`chunk line ${JSON.stringify(line)}`);
    const size = parseInt(line, 16);
    if (size === 0) {
      const { fields, next: end } = fieldsAt(text, next);
      const wrong = fields.find(([name]) => NOT_IN_TRAILERS.test(name));
      if (wrong) fail(`${wrong[0]} in the trailer section`);
      return { body, trailers: fields, next: end };
    }
    if (text.length < next + size + 2) more();
    body += text.slice(next, next + size);
    if (text.slice(next + size, next + size + 2) !== '\r\n') fail('no CRLF after a chunk');
    at = next + size + 2;
  }
}

function bodyAt(text, at, framing) {
  if (framing === 'chunked') return chunksAt(text, at);
  const length = framing ?? 0;
  if (text.length < at + length) more();
  return { body: text.slice(at, at + length), trailers: [], next: at + length };
}

function requestAt(text, at) {
  const { line, next } = lineAt(text, at);
  const parts = line.split(' ');
  if (parts.length !== 3) fail(`request line ${JSON.stringify(line)}`);
  const [method, target, version] = parts;
  if (!TOKEN.test(method)) fail(`method ${JSON.stringify(method)}`);
  if (!TARGET.test(target) || (target === '*' && method !== 'OPTIONS')) fail(`target ${JSON.stringify(target)}`);
  if (version !== 'HTTP/1.1') fail(`version ${version}`);
  const head = fieldsAt(text, next);
  const hosts = valuesOf(head.fields, 'host');
  if (hosts.length !== 1 || !HOST.test(hosts[0])) fail(`Host: ${JSON.stringify(hosts)}`);
  const framing = framingOf(head.fields, '1.1');
  const hops = head.fields.filter(([name]) => /^(keep-alive|proxy-connection|http2-settings|te|trailer)$/.test(name));
  if (hops.length) fail(`${hops[0][0]} is for one hop`);
  const upgrade = valuesOf(head.fields, 'upgrade');
  if (upgrade.length && (upgrade.length > 1 || upgrade[0] !== 'websocket' || framing)) fail(`Upgrade: ${upgrade}`);
  for (const option of valuesOf(head.fields, 'connection')) if (option !== 'close' && option !== 'upgrade') fail(`Connection: ${option}`);
  return { method, target, fields: head.fields, host: hosts[0], framing, ...bodyAt(text, head.next, framing) };
}

function answerAt(text, at, method, ended) {
  const informational = [];
  for (;;) {
    const { line, next } = lineAt(text, at);
    const found = /^HTTP\/1\.([01]) ([1-5][0-9][0-9]) [\t -~\x80-\xff]*$/.exec(line);
    if (!found) fail(`status line ${JSON.stringify(line)}`);
    const status = Number(found[2]), head = fieldsAt(text, next);
    const framing = framingOf(head.fields, `1.${found[1]}`);
    if ((status < 200 || status === 204) && framing !== null) fail(`${status} with framing`);
    if (status < 200 && status !== 101) {
      informational.push({ status, fields: head.fields });
      at = head.next;
      continue;
    }
    const close = valuesOf(head.fields, 'connection').includes('close');
    const one = { status, fields: head.fields, informational, close };
    if (method === 'HEAD' || status === 204 || status === 304 || status === 101) return { ...one, body: '', trailers: [], next: head.next };
    if (framing === null) {
      if (!close) fail('content without a length on a connection that persists');
      if (!ended) more();
      return { ...one, body: text.slice(head.next), trailers: [], next: text.length };
    }
    return { ...one, ...bodyAt(text, head.next, framing) };
  }
}

function readAll(text, one) {
  const messages = [];
  let at = 0;
  try {
    while (at < text.length) {
      messages.push(one(text, at, messages.length));
      messages.at(-1).raw = text.slice(at, messages.at(-1).next);
      at = messages.at(-1).next;
    }
  } catch (error) {
    if (error !== MORE && !(error instanceof Fault)) throw error;
    return { messages, rest: text.slice(at), fault: error === MORE ? null : error.message };
  }
  return { messages, rest: '', fault: null };
}

/** What a worker got: whole requests, the octets of one that is not whole (yet), and what is wrong. */
export const judgeRequests = (text) => readAll(text, requestAt);

/** What a client got; methods: of the requests that are answered, 'GET' where there is none. */
export const judgeAnswers = (text, { methods = [], ended = true } = {}) => (
  readAll(text, (all, at, i) => answerAt(all, at, methods[i] ?? 'GET', ended)));
