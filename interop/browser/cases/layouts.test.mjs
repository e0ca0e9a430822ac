// Two peer connections, one for each direction (`/rtc`, LiveKit's older signalling), beside peers that have one.
import assert from 'node:assert/strict';

import { ONE_PACKET, delivered, untilFlowing } from '../harness/peer.mjs';
import { suite } from '../harness/suite.mjs';

const each = suite({
  pairs: [
    ['chromium-v0', 'chromium-v0'],
    ['chromium-v0', 'chromium'],
    ['chromium', 'chromium-v0'],
    ['chromium-v0', 'tramline'],
    ['tramline', 'chromium-v0'],
    ['tramline-v0', 'chromium'],
    ['chromium', 'tramline-v0'],
  ],
});

each('peers see each other come and go', async (room) => {
  const first = await room.publisher('first', { name: 'The First', metadata: 'm1', attributes: { colour: 'red' } });
  const second = await room.subscriber('second', { metadata: 'm2' });
  assert.deepEqual((await second.participant('first')).attributes, { colour: 'red' });
  assert.equal((await first.participant('second')).metadata, 'm2');
  await room.leave(second);
  await first.departed('second');
});

each('frames travel in both directions at once', async (room) => {
  const peers = [await room.publisher('a'), await room.subscriber('b')];
  const sids = [await peers[0].publish('out'), await peers[1].publish('out')];
  const streams = [
    await peers[0].subscribe(await peers[0].track('b', 'out')),
    await peers[1].subscribe(await peers[1].track('a', 'out')),
  ];
  await untilFlowing(peers[0], sids[0], streams[1]);
  await untilFlowing(peers[1], sids[1], streams[0]);
  for (const size of [1, ONE_PACKET, ONE_PACKET + 1, 65_536, 250_000]) {
    for (const from of [0, 1]) {
      await delivered(peers[from], sids[from], streams[1 - from], Buffer.alloc(size, size % 251));
    }
  }
});

each('a track is unpublished, published again and subscribed again', async (room) => {
  const publisher = await room.publisher();
  const subscriber = await room.subscriber();
  for (let life = 0; life < 3; life += 1) {
    const sid = await publisher.publish('again');
    assert.equal(await subscriber.track('publisher', 'again'), sid);
    for (let round = 0; round < 2; round += 1) {
      const stream = await subscriber.subscribe(sid);
      await untilFlowing(publisher, sid, stream);
      await delivered(publisher, sid, stream, `life ${life}`);
      await stream.close();
    }
    await publisher.unpublish(sid);
    await subscriber.unpublished(sid);
  }
});

each('who may not subscribe publishes all the same', async (room) => {
  const publisher = await room.publisher('publisher', { grants: { canSubscribe: false } });
  const subscriber = await room.subscriber();
  const sid = await publisher.publish('out');
  const stream = await subscriber.subscribe(await subscriber.track('publisher', 'out'));
  await untilFlowing(publisher, sid, stream);
  await delivered(publisher, sid, stream, 'one way');
});

each('a token of a foreign key is refused', async (room) => {
  await assert.rejects(room.publisher('stranger', { secret: 'x'.repeat(32) }), /401|invalid|unauthorized/i);
});
