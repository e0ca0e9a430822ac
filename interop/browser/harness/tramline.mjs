// Our Rust SDK as a peer: the program `tramline-interop-peer` (TRAMLINE_PEER), one participant per process.
//
// One JSON object a line on its stdin, `{"id", "op", …}`; each is answered by one line on stdout, `{"id", "ok": …}` or
// `{"id", "error": text}`, in any order: an operation that waits holds up no other.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class TramlinePeer {
  /** With `twoConnections` one for each direction, as in LiveKit's older signalling. */
  static async open({ twoConnections = false } = {}) {
    const child = spawn(process.env.TRAMLINE_PEER, { stdio: ['pipe', 'pipe', 'inherit'] });
    return new TramlinePeer(child, twoConnections);
  }

  constructor(child, twoConnections) {
    this.kind = 'tramline';
    this.child = child;
    this.twoConnections = twoConnections;
    this.waiting = new Map();
    this.lastId = 0;
    this.ended = once(child, 'exit');
    createInterface({ input: child.stdout })
      .on('line', (line) => this.answered(JSON.parse(line)))
      .on('close', () => {
        for (const { reject } of this.waiting.values()) reject(new Error('the peer program ended'));
      });
  }

  answered({ id, ok, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) resolve(ok);
    else reject(new Error(error));
  }

  call(op, fields = {}) {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.stdin.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    });
  }

  connect(url, token, encryption = null) {
    return this.call('connect', { url, token, encryption, two_connections: this.twoConnections });
  }

  publish(name) {
    return this.call('publish', { name });
  }

  push(sid, payload, userTimestamp = null) {
    return this.call('push', {
      sid,
      payload: Buffer.from(payload).toString('base64'),
      user_timestamp: userTimestamp === null ? null : String(userTimestamp),
    });
  }

  unpublish(sid) {
    return this.call('unpublish', { sid });
  }

  track(publisher, name) {
    return this.call('track', { publisher, name });
  }

  unpublished(sid) {
    return this.call('unpublished', { sid });
  }

  async subscribe(sid, bufferSize = null) {
    const stream = await this.call('subscribe', { sid, buffer_size: bufferSize });
    return {
      mayLose: false,
      next: async () => {
        const frame = await this.call('read', { stream });
        if (frame === null) return null;
        const { size, sha256, user_timestamp: userTimestamp, is_probe: isProbe } = frame;
        return { size, sha256, userTimestamp, isProbe };
      },
      close: () => this.call('close_stream', { stream }),
    };
  }

  participant(identity) {
    return this.call('participant', { identity });
  }

  departed(identity) {
    return this.call('departed', { identity });
  }

  disconnected() {
    return this.call('disconnected');
  }

  async close() {
    await this.call('close');
    this.child.stdin.end();
    const [status] = await this.ended;
    if (status !== 0) throw new Error(`the peer program ended with ${status}`);
  }
}
