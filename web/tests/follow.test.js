import assert from 'node:assert/strict';
import { test } from 'node:test';

import { normalize, readMessage } from '../follow.js';
import { Memory } from '../memory.js';
import { Meter } from '../meter.js';

test('greeting_and_keepalive_say_nothing_about_the_job', () => {
    assert.equal(readMessage({ type: 'connected', job_id: '1' }), null);
    assert.equal(readMessage({ type: 'ping', message: 'keepalive' }), null);
});

test('the_stage_is_read_from_the_whole_where_it_is_not_told', () => {
    const of = (stage, progress) => normalize({ state: 'processing', stage, progress }).stageFraction;
    assert.equal(of('assembling', 0.1), 0.5);
    assert.equal(of('assembling', 0.3), 1);
    assert.equal(of('converting', 0.2), 0);
    assert.ok(Math.abs(of('converting', 0.6) - 0.5) < 1e-9);
    assert.equal(of('rendering', 0.6), 0.6);
    assert.equal(of('rendering', null), null);
});

test('what_the_stage_tells_goes_before_what_can_be_reckoned', () => {
    const message = {
        job_id: '1', status: 'processing', stage: 'converting', progress: 0.6, message: 'x',
        metadata: { stage_progress: 0.25, speed: 2, eta_seconds: 9 },
    };
    const job = readMessage(message);
    assert.deepEqual([job.stageFraction, job.speed, job.eta], [0.25, 2, 9]);
});

test('the_address_of_the_result_may_be_told_or_only_its_folder', () => {
    const of = result => readMessage({ status: 'completed', progress: 1, result }).hlsUrl;
    assert.equal(of({ hls_url: '/v/master.m3u8', hls_path: 'x' }), '/v/master.m3u8');
    assert.equal(of({ hls_path: 'videos/hls/1-a/' }), '/videos/hls/1-a/master.m3u8');
    assert.equal(of(undefined), null);
});

class Storage {
    map = new Map();
    getItem = key => this.map.get(key) ?? null;
    setItem = (key, value) => this.map.set(key, value);
}

test('an_upload_is_found_again_only_for_the_very_same_file', () => {
    const memory = new Memory(new Storage(), new Storage());
    const file = { name: 'a.mp4', size: 10, lastModified: 7 };
    memory.keepUpload(file, 123, 0.5);
    assert.equal(memory.findUpload(file).id, 123);
    for (const other of [{ name: 'b.mp4' }, { size: 11 }, { lastModified: 8 }])
        assert.equal(memory.findUpload({ ...file, ...other }), undefined);
    memory.forgetUpload(file);
    assert.equal(memory.findUpload(file), undefined);
});

test('old_uploads_and_broken_storage_are_forgotten', () => {
    const local = new Storage();
    const memory = new Memory(local, new Storage());
    const file = { name: 'a', size: 1, lastModified: 1 };
    memory.keepUpload(file, 1, 0, Date.now() - 8 * 24 * 3600 * 1000);
    assert.equal(memory.findUpload(file), undefined);
    local.setItem('reelay.uploads', '{oops');
    assert.deepEqual(memory.unfinished(), []);
});

test('speed_is_that_of_the_last_seconds', () => {
    const meter = new Meter();
    meter.add(0, 0);
    assert.equal(meter.speed(), null);
    for (let s = 1; s <= 60; s++)
        meter.add(s <= 30 ? s * 1000 : 30000 + (s - 30) * 10, s * 1000);
    assert.equal(meter.speed(), 10);
});
