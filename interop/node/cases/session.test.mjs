// Joining and leaving: who is let in, and what the others see of it.
import assert from 'node:assert/strict';

import { suite } from '../harness/suite.mjs';

const each = suite();

each('peers see who is there before and after they join', async (room) => {
  const claims = { name: 'The First', metadata: 'm1', attributes: { colour: 'red' } };
  const first = await room.publisher('first', claims);
  const second = await room.subscriber('second', { name: 'Zweite ä', metadata: '{"a":1}', attributes: { b: '2' } });
  assert.deepEqual(await second.participant('first'), claims);
  assert.equal((await first.participant('second')).name, 'Zweite ä');
});

each('a peer that leaves is gone for the others', async (room) => {
  const stays = await room.publisher('stays');
  const leaves = await room.subscriber('leaves');
  await stays.participant('leaves');
  await room.leave(leaves);
  await stays.departed('leaves');
});

each('a second peer of the same identity takes the place of the first', async (room) => {
  const first = await room.publisher('twin');
  const second = await room.subscriber('twin');
  assert.equal(await first.disconnected(), 'DUPLICATE_IDENTITY');
  const witness = await room.publisher('witness');
  await witness.participant('twin');
  await second.participant('witness');
});

each('a bad token is refused', async (room) => {
  const refusal = /401|invalid|permission|expired|unauthorized/i;
  await assert.rejects(room.publisher('stranger', { secret: 'x'.repeat(32) }), refusal);
  await assert.rejects(room.publisher('stranger', { validForSeconds: -300 }), refusal);
});
