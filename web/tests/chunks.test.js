import assert from 'node:assert/strict';
import { test } from 'node:test';

import { missingChunks, planChunks } from '../chunks.js';

test('the_plan_covers_the_file_without_gap_or_overlap', () => {
    for (const size of [1, 4, 5, 6, 99, 100]) {
        const plan = planChunks(size, 5);
        let end = 0;
        plan.forEach((chunk, place) => {
            assert.equal(chunk.index, place);
            assert.equal(chunk.start, end);
            assert.ok(chunk.size > 0 && chunk.size <= 5);
            end += chunk.size;
        });
        assert.equal(end, size);
    }
});

test('an_empty_file_is_one_empty_chunk', () => {
    assert.deepEqual(planChunks(0, 5), [{ index: 0, start: 0, size: 0 }]);
});

test('a_chunk_that_arrived_in_part_is_missing', () => {
    const plan = planChunks(12, 5);
    const held = [{ index: 2, size: 2 }, { index: 0, size: 3 }];
    assert.deepEqual(missingChunks(plan, held).map(chunk => chunk.index), [0, 1]);
    assert.deepEqual(missingChunks(plan, []), plan);
});
