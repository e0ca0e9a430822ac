// Runs each case for every pair of clients, in a room of its own and with a limit.
import { after, before, test } from 'node:test';

import { startServer } from '../../browser/harness/server.mjs';
import { TramlinePeer } from '../../browser/harness/tramline.mjs';
import { NODE, NodePeer, disposeLibrary } from './node.mjs';

const LIMIT_MS = 60_000;
const PAIRS = [
  [NODE, NODE],
  [NODE, 'tramline'],
  ['tramline', NODE],
];

/** The cases of one file. Returns `each(name, body)`: `body` gets a room and runs once per (publishing, subscribing) pair. */
export function suite() {
  let server;
  let rooms = 0;
  before(async () => {
    server = await startServer();
  });
  after(async () => {
    await disposeLibrary();
    await server?.stop();
  });
  return function each(name, body, { limitMs = LIMIT_MS } = {}) {
    for (const [publishing, subscribing] of PAIRS) {
      test(`${name} (${publishing} to ${subscribing})`, { timeout: limitMs }, async () => {
        rooms += 1;
        const room = new Room({ server, name: `room-${rooms}`, publishing, subscribing });
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

  async join(kind, identity, { encryption, ...claims } = {}) {
    const peer = await (kind === NODE ? NodePeer : TramlinePeer).open();
    this.peers.push(peer);
    await peer.connect(this.server.url, this.server.token(this.name, identity, claims), encryption);
    return peer;
  }

  publisher(identity = 'publisher', options = {}) {
    return this.join(this.publishing, identity, options);
  }

  subscriber(identity = 'subscriber', options = {}) {
    return this.join(this.subscribing, identity, options);
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
