// Runs each case for every pair of clients, in a room of its own and with a limit.
import { after, before, test } from 'node:test';

import { ChromiumPeer, openBrowser } from './chromium.mjs';
import { startServer } from './server.mjs';
import { TramlinePeer } from './tramline.mjs';

const LIMIT_MS = 60_000;
const PAIRS = [
  ['chromium', 'chromium'],
  ['chromium', 'tramline'],
  ['tramline', 'chromium'],
];

/**
 * The cases of one file. `browserOptions` go to `openBrowser`, `pairs` are (publishing, subscribing) clients.
 *
 * Returns `each(name, body, options)`: `body` gets a room and runs once per pair.
 */
export function suite({ browserOptions = {}, pairs = PAIRS } = {}) {
  let server;
  let browser;
  let rooms = 0;
  before(async () => {
    server = await startServer();
    browser = await openBrowser(browserOptions);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  return function each(name, body, { limitMs = LIMIT_MS } = {}) {
    for (const [publishing, subscribing] of pairs) {
      test(`${name} (${publishing} to ${subscribing})`, { timeout: limitMs }, async () => {
        rooms += 1;
        const room = new Room({ server, browser, name: `room-${rooms}`, publishing, subscribing });
        try {
          await body(room);
        } finally {
          await room.close();
        }
      });
    }
  };
}

/** One room of the server, and the peers that a case puts in it. */
class Room {
  constructor(given) {
    Object.assign(this, given);
    this.peers = [];
  }

  async join(kind, identity, claims) {
    const options = { twoConnections: kind.endsWith('-v0') };
    const peer = kind.startsWith('chromium')
      ? await ChromiumPeer.open(this.browser, options)
      : await TramlinePeer.open(options);
    this.peers.push(peer);
    await peer.connect(this.server.url, this.server.token(this.name, identity, claims));
    return peer;
  }

  publisher(identity = 'publisher', claims = {}) {
    return this.join(this.publishing, identity, claims);
  }

  subscriber(identity = 'subscriber', claims = {}) {
    return this.join(this.subscribing, identity, claims);
  }

  /** Takes a peer out of the room in the middle of a case. */
  async leave(peer) {
    this.peers.splice(this.peers.indexOf(peer), 1);
    await peer.close();
  }

  async close() {
    await Promise.all(this.peers.map((peer) => peer.close()));
  }
}
