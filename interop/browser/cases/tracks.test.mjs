// Tracks over their life: unpublished, subscribed again, read by several, many at once, found by late joiners.
import assert from 'node:assert/strict';

import { delivered, frameOf, read, untilFlowing } from '../harness/peer.mjs';
import { suite } from '../harness/suite.mjs';

const each = suite();

async function publishedAndRead(room, name) {
  const publisher = await room.publisher();
  const subscriber = await room.subscriber();
  const sid = await publisher.publish(name);
  const stream = await subscriber.subscribe(await subscriber.track('publisher', name));
  await untilFlowing(publisher, sid, stream);
  return { publisher, subscriber, sid, stream };
}

each('unpublishing ends the streams of the others', async (room) => {
  const { publisher, subscriber, sid, stream } = await publishedAndRead(room, 'short');
  await publisher.unpublish(sid);
  await subscriber.unpublished(sid);
  assert.equal(await read(stream), null);
});

each('a publisher that leaves takes its tracks along', async (room) => {
  const { publisher, subscriber, sid, stream } = await publishedAndRead(room, 'left');
  await room.leave(publisher);
  await subscriber.unpublished(sid);
  assert.equal(await read(stream), null);
});

each('a track can be subscribed again', async (room) => {
  const { publisher, subscriber, sid, stream: first } = await publishedAndRead(room, 'again');
  await first.close();
  for (let round = 1; round <= 3; round += 1) {
    const stream = await subscriber.subscribe(sid);
    await untilFlowing(publisher, sid, stream);
    await delivered(publisher, sid, stream, `round ${round}`);
    await stream.close();
  }
});

each('two streams of one track get every frame', async (room) => {
  const { publisher, subscriber, sid, stream } = await publishedAndRead(room, 'shared');
  const streams = [stream, await subscriber.subscribe(sid)];
  await untilFlowing(publisher, sid, ...streams);
  for (let number = 0; number < 20; number += 1) {
    await publisher.push(sid, `frame ${number}`);
    const frame = frameOf(`frame ${number}`);
    assert.deepEqual(await Promise.all(streams.map(read)), [frame, frame]);
  }
  await streams[0].close();
  await delivered(publisher, sid, streams[1], 'for the other');
});

each('three subscribers get every frame', async (room) => {
  const publisher = await room.publisher();
  const sid = await publisher.publish('wide');
  const streams = [];
  for (let number = 0; number < 3; number += 1) {
    const subscriber = await room.subscriber(`subscriber-${number}`);
    streams.push(await subscriber.subscribe(await subscriber.track('publisher', 'wide')));
  }
  await untilFlowing(publisher, sid, ...streams);
  for (let number = 0; number < 20; number += 1) {
    const payload = `frame ${number} `.repeat(1000);
    await publisher.push(sid, payload);
    const frame = frameOf(payload);
    assert.deepEqual(await Promise.all(streams.map(read)), [frame, frame, frame]);
  }
});

each('a late joiner finds the tracks and reads what comes next', async (room) => {
  const publisher = await room.publisher();
  const sids = [];
  for (let number = 0; number < 3; number += 1) sids.push(await publisher.publish(`early-${number}`));
  for (const sid of sids) await publisher.push(sid, 'before anyone listens');
  const late = await room.subscriber('late');
  for (const [number, sid] of sids.entries()) {
    assert.equal(await late.track('publisher', `early-${number}`), sid);
    const stream = await late.subscribe(sid);
    await untilFlowing(publisher, sid, stream);
    await delivered(publisher, sid, stream, `to the late joiner ${number}`);
  }
});

each(
  '256 tracks of one publisher do not mix',
  async (room) => {
    const publisher = await room.publisher();
    const subscriber = await room.subscriber();
    const names = Array.from({ length: 256 }, (_, number) => `track-${number}`);
    const sids = await Promise.all(names.map((name) => publisher.publish(name)));
    const streams = [];
    for (const [number, name] of names.entries()) {
      assert.equal(await subscriber.track('publisher', name), sids[number]);
      streams.push(await subscriber.subscribe(sids[number]));
    }
    for (const [number, stream] of streams.entries()) await untilFlowing(publisher, sids[number], stream);
    for (const [number, stream] of streams.entries()) {
      await delivered(publisher, sids[number], stream, `only for ${number}`);
    }
  },
  { limitMs: 120_000 },
);
