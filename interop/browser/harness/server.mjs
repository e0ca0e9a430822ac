// The server under test: our own program, or one that already runs.
//
// TRAMLINE_BIN is the path of our `tramline`. With TRAMLINE_INTEROP_URL (and LIVEKIT_API_KEY, LIVEKIT_API_SECRET) the
// cases run against any server that speaks the protocol, to tell whether a case or the server is wrong.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 10_000;

export async function startServer() {
  const { TRAMLINE_BIN, TRAMLINE_INTEROP_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET } = process.env;
  if (TRAMLINE_INTEROP_URL) {
    return new Server(TRAMLINE_INTEROP_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, null);
  }
  const child = spawn(TRAMLINE_BIN, ['serve', '--dev', '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const signal = AbortSignal.timeout(START_LIMIT_MS);
  const failed = once(child, 'exit').then(([status]) => {
    throw new Error(`the server ended with ${status} before it said where it is`);
  });
  failed.catch(() => {});
  try {
    const [line] = await Promise.race([once(lines, 'line', { signal }), failed]);
    const said = JSON.parse(line);
    return new Server(said.url, said.api_key, said.api_secret, child);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

export class Server {
  constructor(url, key, secret, child) {
    Object.assign(this, { url, key, secret, child });
  }

  /** A token as the official builders make it. */
  token(room, identity, { secret = this.secret, validForSeconds = 3600, grants = {}, ...claims } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: this.key,
      sub: identity,
      nbf: Math.min(now, now + validForSeconds),
      exp: now + validForSeconds,
      video: { roomJoin: true, room, ...grants },
      ...claims,
    };
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(payload)}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  }

  /** Asks our server to end and checks that it does; a server that was running already is left alone. */
  async stop() {
    if (!this.child) return;
    const ended = once(this.child, 'exit', { signal: AbortSignal.timeout(STOP_LIMIT_MS) });
    this.child.kill('SIGTERM');
    try {
      const [status, signal] = await ended;
      if (status !== 0) throw new Error(`the server ended with ${status ?? signal}`);
    } finally {
      this.child.kill('SIGKILL');
    }
  }
}
