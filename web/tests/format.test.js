import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
    address, ago, bytes, duration, moment, pace, percent, sentence, shortAddress, speed,
} from '../format.js';

test('bytes_are_rounded_to_what_people_read', () => {
    const cases = [[0, '0 B'], [999, '999 B'], [1000, '1.0 kB'], [32_000_000, '32 MB'],
        [9_960_000, '10 MB'], [999_600, '1.0 MB'], [1.5e12, '1.5 TB']];
    for (const [n, text] of cases)
        assert.equal(bytes(n), text);
    assert.equal(speed(2_400_000), '2.4 MB/s');
    assert.equal(pace(2.44), '2.4×');
});

test('durations_lose_their_seconds_when_these_do_not_matter', () => {
    const cases = [[0.4, '0 s'], [59, '59 s'], [60, '1 min'], [200, '3 min 20 s'],
        [3599, '59 min'], [3600, '1 h'], [4000, '1 h 6 min']];
    for (const [seconds, text] of cases)
        assert.equal(duration(seconds), text);
});

test('a_hundred_percent_means_done', () => {
    assert.equal(percent(0.9999), 99);
    assert.equal(percent(0.29), 29);
    assert.equal(percent(1.7), 100);
    assert.equal(percent(-1), 0);
});

test('times_past_are_told_in_rough_steps', () => {
    const now = Date.UTC(2026, 0, 10);
    const cases = [[-5000, 'just now'], [9000, 'just now'], [35_000, '30 s ago'],
        [120_000, '2 min ago'], [2 * 3600_000, '2 h ago'], [30 * 3600_000, 'yesterday'],
        [72 * 3600_000, '3 days ago']];
    for (const [back, text] of cases)
        assert.equal(ago(now - back, now), text);
});

test('a_moment_may_be_text_seconds_or_milliseconds', () => {
    const at = Date.UTC(2026, 0, 10);
    assert.equal(moment('2026-01-10T00:00:00Z'), at);
    assert.equal(moment(at), at);
    assert.equal(moment(at / 1000), at);
    assert.equal(moment(null), 0);
});

test('what_a_program_says_becomes_a_sentence', () => {
    const cases = [['the chunks are gone', 'The chunks are gone.'], ['Well.', 'Well.'],
        ['ffmpeg failed', 'ffmpeg failed.'], ['10.0.0.1 is private', '10.0.0.1 is private.'], ['', '']];
    for (const [said, text] of cases)
        assert.equal(sentence(said), text);
});

test('an_address_without_a_scheme_is_https', () => {
    assert.equal(address(' example.org/talk.mp4 '), 'https://example.org/talk.mp4');
    assert.equal(address('localhost:8080/a'), 'https://localhost:8080/a');
    assert.equal(address('HTTP://example.org'), 'HTTP://example.org');
    assert.equal(address('ftp://example.org/a'), 'ftp://example.org/a');
});

test('an_address_is_shown_without_its_secrets', () => {
    assert.equal(shortAddress('https://me:pw@example.org/a/talk.mp4?key=1#x'), 'example.org/a/talk.mp4');
    assert.equal(shortAddress('https://example.org/'), 'example.org');
    assert.equal(shortAddress('https://'), 'https://');
});
