// Packets, calls and streams, which LiveKit's Node client has on its surface; both ends are that client, on one library.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { RoomEvent, RpcError } from '@livekit/rtc-node';

import { startServer } from '../../browser/harness/server.mjs';
import { NODE, NodePeer, ON_OUR_LIBRARY, disposeLibrary } from '../harness/node.mjs';

let server;
let rooms = 0;
before(async () => {
  server = await startServer();
});
after(async () => {
  await disposeLibrary();
  await server?.stop();
});

const PROBE = 'probe';

/** Two participants that hear each other. */
async function talking(encryption) {
  rooms += 1;
  const peers = await Promise.all(['speaker', 'listener'].map(async (identity) => {
    const peer = await NodePeer.open();
    await peer.connect(server.url, server.token(`talk-${rooms}`, identity), encryption);
    return peer;
  }));
  await Promise.all([peers[0].participant('listener'), peers[1].participant('speaker')]);
  for (const [speaker, listener] of [peers, [...peers].reverse()]) {
    let isHeard = false;
    const heard = next(listener, PROBE).then(() => (isHeard = true));
    while (!isHeard) {
      await speaker.room.localParticipant.publishData(Buffer.from('x'), { reliable: true, topic: PROBE });
      await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
  }
  return peers;
}

/** The next packet with this topic. */
function next(peer, topic) {
  return new Promise((resolve) => {
    const listener = (payload, participant, kind, about) => {
      if (about !== topic) return;
      peer.room.off(RoomEvent.DataReceived, listener);
      resolve({ payload: Buffer.from(payload), sender: participant?.identity });
    };
    peer.room.on(RoomEvent.DataReceived, listener);
  });
}

function each(name, body, encryption) {
  test(`${name} (${NODE})`, { timeout: 60_000 }, async () => {
    const [speaker, listener] = await talking(encryption);
    try {
      await body(speaker.room, listener.room, speaker, listener);
    } finally {
      await Promise.all([speaker.close(), listener.close()]);
    }
  });
}

each('packets arrive', async (speaker, _, __, listener) => {
  for (const size of [1, 1_000, 15_000, 60_000]) {
    const arrived = next(listener, `of ${size}`);
    await speaker.localParticipant.publishData(Buffer.alloc(size, 7), { reliable: true, topic: `of ${size}` });
    assert.deepEqual(await arrived, { payload: Buffer.alloc(size, 7), sender: 'speaker' });
  }
});

each('calls are answered, and fail with their codes', async (speaker, listener) => {
  const reverse = (text) => [...text].reverse().join('');
  listener.localParticipant.registerRpcMethod('reverse', async ({ payload }) => reverse(payload));
  listener.localParticipant.registerRpcMethod('fail', async () => {
    throw new RpcError(1234, 'refused', 'with data');
  });
  const call = (method, payload, destinationIdentity = 'listener') =>
    speaker.localParticipant.performRpc({ destinationIdentity, method, payload });
  for (const size of [1, 15_000, 65_536]) {
    const payload = 'abcdefghij'.repeat(size / 10 + 1).slice(0, size);
    assert.equal(await call('reverse', payload), reverse(payload));
  }
  await assert.rejects(call('fail', ''), { code: 1234, message: 'refused', data: 'with data' });
  await assert.rejects(call('nothing', ''), { code: 1400 });
  // LiveKit's library waits for seven seconds.
  if (ON_OUR_LIBRARY) await assert.rejects(call('reverse', '', 'nobody'), { code: 1401 });
});

/** What a handler of streams makes of the next one. */
function nextStream(room, kind, topic, read) {
  return new Promise((resolve, reject) => {
    room[`register${kind}StreamHandler`](topic, (reader, { identity }) => {
      read(reader).then((content) => resolve({ content, identity, info: reader.info }), reject);
    });
  });
}

each('texts and bytes arrive whole', async (speaker, listener) => {
  const text = 'Größe 温度 🤖 '.repeat(8_000);
  const whole = nextStream(listener, 'Text', 'whole', (reader) => reader.readAll());
  await speaker.localParticipant.sendText(text, { topic: 'whole', attributes: { colour: 'red' } });
  const { content, identity, info } = await whole;
  assert.ok(content === text, 'the text is another one');
  assert.deepEqual([identity, { ...info.attributes }], ['speaker', { colour: 'red' }]);

  const parts = nextStream(listener, 'Text', 'parts', (reader) => reader.readAll());
  const writer = await speaker.localParticipant.streamText({ topic: 'parts' });
  for (const part of ['one ', 'zwei ä', '三']) await writer.write(part);
  await writer.close();
  assert.equal((await parts).content, 'one zwei ä三');

  const bytes = nextStream(listener, 'Byte', 'bytes', (reader) => reader.readAll());
  const out = await speaker.localParticipant.streamBytes({ topic: 'bytes', name: 'scan.bin' });
  await out.write(new Uint8Array(70_000).fill(9));
  await out.close();
  const arrived = await bytes;
  assert.equal(arrived.info.name, 'scan.bin');
  assert.ok(Buffer.concat(arrived.content).equals(Buffer.alloc(70_000, 9)), 'the bytes are others');
});

each('with a key everything arrives too', async (speaker, listener, _, hearing) => {
  const arrived = next(hearing, 'sealed');
  await speaker.localParticipant.publishData(Buffer.alloc(1_000, 3), { reliable: true, topic: 'sealed' });
  assert.deepEqual((await arrived).payload, Buffer.alloc(1_000, 3));
  const whole = nextStream(listener, 'Text', 'sealed', (reader) => reader.readAll());
  await speaker.localParticipant.sendText('x'.repeat(50_000), { topic: 'sealed' });
  assert.equal((await whole).content.length, 50_000);
}, { key: 'a secret of many', derivation: 'pbkdf2' });
