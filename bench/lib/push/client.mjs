// SPDX-License-Identifier: Apache-2.0
// The client's side of the path.
import { Chromium } from './chromium.mjs';
import { measureLoss, measureRate, measureRtt } from './path.mjs';
import { serve } from './rpc.mjs';
import { Visitor } from './visit.mjs';

let server, chromium, visitor;

serve({
  /** at: what the server said of itself */
  async start({ at, browser }) {
    server = at;
    chromium = browser ? await Chromium.open(server) : undefined;
  },

  /** A scripted visit of one who was never there. */
  visit({ app, accepts }) {
    visitor = new Visitor(server, server.hosts[app], accepts);
    return visitor.visit();
  },

  /** The same one's next. */
  revisit: () => visitor.visit(),

  browse: ({ app }) => chromium.visit(server.hosts[app]),

  stop: () => chromium?.close(),

  rtt: measureRtt,
  loss: measureLoss,
  rate: measureRate,
});
