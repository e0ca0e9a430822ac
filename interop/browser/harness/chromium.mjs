// LiveKit's JavaScript client in Debian's Chromium as a peer: one page, one participant.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { chromium } from 'playwright-core';

const HERE = join(import.meta.dirname, '..');
const EXECUTABLE = '/usr/bin/chromium';

/** Needed wherever Chromium runs without a network and as root. */
const COMMON_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Offers loopback addresses, as addresses and not as `.local` names; no user has these. */
const LOOPBACK_FLAGS = ['--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns'];

const FILES = new Map([
  ['/', 'page/index.html'],
  ['/page/peer.js', 'page/peer.js'],
  ['/livekit-client.mjs', 'node_modules/livekit-client/dist/livekit-client.esm.mjs'],
]);
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

/** A browser and the pages for it. `asUser` leaves out the flags that ease loopback. */
export async function openBrowser({ asUser = false } = {}) {
  const site = createServer(async (request, response) => {
    const file = FILES.get(request.url.split('?')[0]);
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    const body = await readFile(join(HERE, file));
    response.writeHead(200, { 'Content-Type': TYPES[extname(file)] }).end(body);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: [...COMMON_FLAGS, ...(asUser ? [] : LOOPBACK_FLAGS)],
  });
  return new Browser(browser, site);
}

class Browser {
  constructor(browser, site) {
    this.browser = browser;
    this.site = site;
    this.address = `http://127.0.0.1:${site.address().port}/`;
  }

  async close() {
    await this.browser.close();
    this.site.closeAllConnections();
    this.site.close();
  }
}

export class ChromiumPeer {
  /** With `twoConnections` one for each direction, as in LiveKit's older signalling. */
  static async open({ browser, address }, { twoConnections = false } = {}) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(error));
    await page.goto(twoConnections ? `${address}?two-connections` : address);
    await page.waitForFunction(() => window.peer !== undefined);
    return new ChromiumPeer(context, page, problems);
  }

  constructor(context, page, problems) {
    Object.assign(this, { context, page, problems, kind: 'chromium' });
  }

  call(operation, ...args) {
    return this.page.evaluate(([name, given]) => window.peer[name](...given), [operation, args]);
  }

  connect(url, token) {
    return this.call('connect', url, token);
  }

  publish(name) {
    return this.call('publish', name);
  }

  push(sid, payload, userTimestamp = null) {
    const timestamp = userTimestamp === null ? null : String(userTimestamp);
    return this.call('push', sid, Buffer.from(payload).toString('base64'), timestamp);
  }

  unpublish(sid) {
    return this.call('unpublish', sid);
  }

  track(publisher, name) {
    return this.call('track', publisher, name);
  }

  unpublished(sid) {
    return this.call('unpublished', sid);
  }

  async subscribe(sid, bufferSize = null) {
    const number = await this.call('subscribe', sid, bufferSize);
    return {
      mayLose: true,
      next: () => this.call('next', number),
      close: () => this.call('closeStream', number),
    };
  }

  participant(identity) {
    return this.call('participant', identity);
  }

  departed(identity) {
    return this.call('departed', identity);
  }

  disconnected() {
    return this.call('disconnected');
  }

  async close() {
    // What LiveKit's client throws while it takes itself down (it unpublishes after its engine is gone) is no finding.
    const [problem] = this.problems;
    await this.call('close');
    await this.context.close();
    if (problem) throw problem;
  }
}
