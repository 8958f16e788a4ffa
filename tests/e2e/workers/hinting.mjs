// SPDX-License-Identifier: Apache-2.0
// An h2c worker whose page pushes its style sheet and then thinks, until /go; the page tells what its
// browser did.  /hint sends a 103 instead and thinks until the style sheet has been asked for.
import http2 from 'node:http2';

const LINES = 2000;
const asked = []; // paths, in order
const reports = [];
let pushed = 0, go = null, asks = null;

const css = (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'text/css', 'cache-control': 'max-age=60' });
  stream.end('body { color: rgb(1, 2, 3) }');
};

const page = (stream) => {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, 'content-type': 'text/html' });
  stream.end(`<!doctype html><link rel=stylesheet href=/hinted.css>${'<p>line</p>\n'.repeat(LINES)}<script type=module>
const entry = performance.getEntriesByName(new URL('/hinted.css', location))[0];
const navigation = performance.getEntriesByType('navigation')[0];
fetch('/report', { method: 'POST', body: JSON.stringify({ initiator: entry?.initiatorType, protocol: navigation.nextHopProtocol,
  whole: document.querySelectorAll('p').length === ${LINES}, colour: getComputedStyle(document.body).color }) });
</script>`);
};

function push(stream, headers) {
  stream.pushStream({ ':method': 'GET', ':path': '/hinted.css', ':scheme': headers[':scheme'], ':authority': headers[':authority'] }, (error, promised) => {
    if (error) return;
    promised.on('error', () => {});
    pushed++;
    css(promised);
  });
}

const json = (stream, value) => {
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
  stream.end(JSON.stringify(value));
};

http2.createServer().on('stream', (stream, headers) => {
  const where = headers[':path'];
  stream.on('error', () => {});
  if (!['/go', '/result'].includes(where)) asked.push(where);
  switch (where) {
    case '/push':
      push(stream, headers);
      go = () => page(stream);
      break;
    case '/hint':
      stream.additionalHeaders({ ':status': 103, link: '</hinted.css>; rel=preload; as=style' });
      asks = () => page(stream);
      break;
    case '/hinted.css':
      css(stream);
      asks?.();
      asks = null;
      break;
    case '/go':
      go?.();
      go = null;
      json(stream, {});
      break;
    case '/report': {
      let text = '';
      stream.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => {
        reports.push(JSON.parse(text));
        json(stream, {});
      });
      break;
    }
    case '/result':
      json(stream, { asked, reports, pushed });
      break;
    default:
      stream.respond({ ':status': 404 }, { endStream: true });
  }
}).on('session', (session) => session.on('error', () => {})).listen(process.env.PORTICO_SOCKET);
