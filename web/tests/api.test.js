import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ApiError } from '../api.js';

test('a_refusal_is_told_in_the_words_of_who_refused', () => {
    const ours = ApiError.of(409, '{"error":{"code":"wrong_count","message":"it was 2 before"}}', null);
    assert.equal(ours.message, 'it was 2 before');
    const bucket = ApiError.of(403, '<Error><Code>SignatureDoesNotMatch</Code></Error>', null);
    assert.equal(bucket.message, 'The storage answered 403 (SignatureDoesNotMatch).');
    assert.equal(ApiError.of(502, '<html>Bad Gateway</html>', '7').message, 'The server answered 502.');
});

test('a_storage_that_says_nothing_is_named_and_tried_again', () => {
    const error = ApiError.storage(new URL('https://b.s3.example.com/key?X-Amz-Signature=1'),
        'https://app.example.com');
    assert.match(error.message, /b\.s3\.example\.com does not answer .* CORS rule may not let https:\/\/app/);
    assert.ok(error.isPassing);
    assert.ok(!error.message.includes('Signature'));
});
