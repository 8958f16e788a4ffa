// SPDX-License-Identifier: Apache-2.0
// A judge of HTTP/2 messages (RFC 9113 8) and an HPACK reader (RFC 7541), for tests: they share
// nothing with the engine under test.
const STATIC = `:authority|;:method|GET;:method|POST;:path|/;:path|/index.html;:scheme|http;:scheme|https;:status|200;:status|204;:status|206;
:status|304;:status|400;:status|404;:status|500;accept-charset|;accept-encoding|gzip, deflate;accept-language|;accept-ranges|;accept|;
access-control-allow-origin|;age|;allow|;authorization|;cache-control|;content-disposition|;content-encoding|;content-language|;
content-length|;content-location|;content-range|;content-type|;cookie|;date|;etag|;expect|;expires|;from|;host|;if-match|;
if-modified-since|;if-none-match|;if-range|;if-unmodified-since|;last-modified|;link|;location|;max-forwards|;proxy-authenticate|;
proxy-authorization|;range|;referer|;refresh|;retry-after|;server|;set-cookie|;strict-transport-security|;transfer-encoding|;
user-agent|;vary|;via|;www-authenticate|`.replaceAll('\n', '').split(';').map((row) => row.split('|'));

// Bits of each symbol's code, in base 36; codes of one length are consecutive, in the symbols' order.
const LENGTHS = `
dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca
d67777777777777777777777878djde6f56565666577666567655677777fbeds
kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn
qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq
u`.replaceAll('\n', '');
const CODES = new Map(); // '0101...' -> octet
for (let bits = 5, code = 0; bits <= 30; bits++, code *= 2) {
  [...LENGTHS].forEach((length, symbol) => {
    if (parseInt(length, 36) === bits) CODES.set((code++).toString(2).padStart(bits, '0'), symbol);
  });
}

function unhuffman(octets) {
  let code = '', out = '';
  for (const octet of octets) {
    for (let bit = 7; bit >= 0; bit--) {
      code += (octet >> bit) & 1;
      const symbol = CODES.get(code);
      if (symbol === undefined) continue;
      if (symbol === 256) throw new Error('HPACK: EOS');
      out += String.fromCharCode(symbol);
      code = '';
    }
  }
  if (!/^1{0,7}$/.test(code)) throw new Error('HPACK: padding');
  return out;
}

/** One direction of one connection: read(block) gives [[name, value], ...]. */
export class Hpack {
  #table = [];

  read(block) {
    let at = 0;
    const number = (prefix) => {
      const max = (1 << prefix) - 1;
      let n = block[at++] & max;
      for (let scale = 1; n >= max;) {
        const octet = block[at++];
        n += (octet & 127) * scale;
        if (octet < 128) break;
        scale *= 128;
      }
      return n;
    };
    const text = () => {
      const huffman = block[at] & 128, length = number(7);
      const octets = block.subarray(at, at += length);
      return huffman ? unhuffman(octets) : octets.toString('latin1');
    };
    const row = (index) => {
      const found = index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1];
      if (!found) throw new Error(`HPACK: index ${index}`);
      return found;
    };
    const fields = [];
    while (at < block.length) {
      const first = block[at];
      if (first & 128) {
        fields.push(row(number(7)));
        continue;
      }
      if ((first & 0xe0) === 0x20) {
        if (number(5) === 0) this.#table = []; // smaller sizes than the default are not used here
        continue;
      }
      const index = number(first & 64 ? 6 : 4);
      const field = [index ? row(index)[0] : text(), text()];
      if (first & 64) {
        this.#table.unshift(field);
        let octets = 0;
        const kept = this.#table.findIndex(([name, value]) => (octets += name.length + value.length + 32) > 4096);
        if (kept >= 0) this.#table.length = kept;
      }
      fields.push(field);
    }
    return fields;
  }
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/, VALUE = /^(|[!-~\x80-\xff]([ \t!-~\x80-\xff]*[!-~\x80-\xff])?)$/;
const HOP = /^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade|http2-settings)$/;

function faultOfFields(fields, { pseudo }) {
  let regular = false;
  const seen = new Set();
  for (const [name, value] of fields) {
    if (!VALUE.test(value)) return `value of ${name}: ${JSON.stringify(value)}`;
    if (name.startsWith(':')) {
      if (regular || seen.has(name) || !pseudo.includes(name)) return `${name} out of place`;
      seen.add(name);
      continue;
    }
    regular = true;
    if (!NAME.test(name)) return `name ${JSON.stringify(name)}`;
    if (HOP.test(name)) return `${name} in HTTP/2`;
    if (name === 'te' && value !== 'trailers') return `te: ${value}`;
  }
  return null;
}

function faultOfLength(fields, octets) {
  const lengths = fields.filter(([name]) => name === 'content-length').map(([, value]) => value);
  if (lengths.length > 1) return 'content-length twice';
  if (lengths.length && !/^(0|[1-9][0-9]{0,14})$/.test(lengths[0])) return `content-length: ${lengths[0]}`;
  return lengths.length && octets !== null && Number(lengths[0]) !== octets ? `content-length ${lengths[0]} of ${octets} octets` : null;
}

const TRAILERS = /^(content-length|host|te|trailer|expect|authorization|cookie|set-cookie|content-(type|encoding|range)|max-forwards|x-forwarded-.*)$/;

/** What is wrong with a whole request, or null.  content: its octets as latin1. */
export function faultOfRequest({ fields, content, trailers = [] }) {
  const get = (wanted) => fields.find(([name]) => name === wanted)?.[1];
  const wrong = faultOfFields(fields, { pseudo: [':method', ':scheme', ':authority', ':path'] })
    ?? faultOfFields(trailers, { pseudo: [] }) ?? faultOfLength(fields, content.length);
  if (wrong) return wrong;
  if (!NAME.test(get(':method')?.toLowerCase() ?? '')) return `:method ${get(':method')}`;
  if (!/^https?$/.test(get(':scheme'))) return `:scheme ${get(':scheme')}`;
  if (!/^(\/[!-"$-~\x80-\xff]*|\*)$/.test(get(':path') ?? '')) return `:path ${get(':path')}`;
  if (get(':path') === '*' && get(':method') !== 'OPTIONS') return ':path *';
  if (!/^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~!$&'()*+,;=%]+)(:[0-9]*)?$/.test(get(':authority') ?? '')) return `:authority ${get(':authority')}`;
  if (get('host') !== undefined) return 'host beside :authority';
  const late = trailers.find(([name]) => TRAILERS.test(name));
  return late ? `${late[0]} in the trailer section` : null;
}

/** What is wrong with a whole answer, or null; noContent: to HEAD. */
export function faultOfAnswer({ fields, content, trailers = [], noContent = false }) {
  const status = Number(fields.find(([name]) => name === ':status')?.[1]);
  const bare = status < 200 || status === 204;
  if (!(status >= 100 && status < 600) || status === 101) return `:status ${status}`;
  if (bare && fields.some(([name]) => name === 'content-length')) return `content-length with ${status}`;
  if (bare && content.length) return `content with ${status}`;
  return faultOfFields(fields, { pseudo: [':status'] }) ?? faultOfFields(trailers, { pseudo: [] })
    ?? faultOfLength(fields, noContent || status === 304 ? null : content.length);
}
