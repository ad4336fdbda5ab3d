// An upload that a fleet converts, watched at both nodes: up to the middle, where
// something may happen to the fleet, and to its end.
import assert from 'node:assert/strict';

import { Audience } from './fleet.mjs';
import { verify } from './hls.mjs';
import { grown, treeOf } from './segments.mjs';
import { waitFor } from './wait.mjs';

export class Conversion {
  // `segments`: so many of each rendition are whole.
  static async begin(t, fleet, seconds, segments = 1) {
    const upload = await fleet.upload({ seconds });
    const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token);
    await upload.assemble();
    const holder = await fleet.holder();
    await holder.paced(() => grown(treeOf(fleet, upload), segments));
    await holder.paced(() => audience.progress());
    return Object.assign(new Conversion(), { fleet, seconds, upload, audience, holder });
  }

  // Everybody knows the end, every node has the same, and it plays.
  async end() {
    const { fleet, seconds, upload, audience } = this;
    const job = await upload.complete();
    await audience.end();
    for (const node of fleet.serves) {
      await verify(node, job, seconds);
      assert.deepEqual(await node.job(upload.id, upload.token), job);
    }
    await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
    return job;
  }
}
