// URLs that lead to this machine, its network or a metadata service, by any way there is: as
// they are, by a redirect, by a page and what yt-dlp finds there, by a name that resolves
// otherwise the second time. A canary on the loopback must not be called by any of them.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { Canary, insideHosts, insideTricks } from '../support/canary.mjs';
import { clip } from '../support/clips.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { Server, binary } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const run = promisify(execFile);
const hasYtDlp = spawnSync('yt-dlp', ['--version']).status === 0;
const final = ['completed', 'failed', 'cancelled'];

async function begin(server, url) {
  const answer = await server.post('/api/download', { url });
  assert.equal(answer.status, 202, `${url}: ${answer.text}`);
  return answer.json.jobId;
}

async function ended(server, id) {
  return waitFor(async () => {
    const job = await server.job(id);
    return final.includes(job?.state) && job;
  }, `the end of ${id}`, { timeout: 380_000, every: 100 });
}

// { url: the job it became }, of all at once.
async function fates(server, urls) {
  const ids = await Promise.all(urls.map((url) => begin(server, url)));
  const jobs = await Promise.all(ids.map((id) => ended(server, id)));
  return new Map(urls.map((url, at) => [url, jobs[at]]));
}

describe('a URL of the inside', () => {
  test('is refused before anything is asked', async (t) => {
    const canary = await Canary.during(t);
    const server = await Server.during(t);
    const urls = [
      ...insideHosts.flatMap((host) => [`http://${host}:${canary.port}/v.mp4`, `https://${host}/v.mp4`]),
      ...insideTricks(canary.port),
    ];
    for (const url of urls) {
      const answer = await server.post('/api/download', { url });
      assert.equal(answer.status, 400, `${JSON.stringify(url)}: ${answer.text}`);
      assert.equal(answer.json.error.field, 'url');
    }
    assert.deepEqual(canary.calls, []);
  });

  test('is not redirected to', async (t) => {
    const canary = await Canary.during(t);
    const there = await Elsewhere.during(t);
    const server = await Server.during(t, { args: ['--download-allow', `127.0.0.1:${there.port}`, '--downloads', '8'] });
    const targets = [...insideHosts.map((host) => `http://${host}:${canary.port}/v.mp4`), ...insideTricks(canary.port)];
    const urls = targets
      .filter((target) => /^[\x21-\x7e]+$/.test(target))
      .map((target, at) =>
        there.put(`/${at}.mp4`, (request, answer) => {
          answer.writeHead([301, 302, 303, 307, 308][at % 5], { location: target }).end();
        }));
    for (const [url, job] of await fates(server, urls)) assert.equal(job.state, 'failed', url);
    assert.deepEqual(canary.calls, []);
  });
});

describe('a name that is denied', () => {
  test('is so in other letters and behind a redirect', async (t) => {
    const there = await Elsewhere.during(t);
    const rules = ['--download-allow', `127.0.0.1:${there.port}`, '--download-allow', `[::1]:${there.port}`];
    const server = await Server.during(t, { args: [...rules, '--download-deny', 'localhost'] });
    there.put('/secret.mp4', Buffer.from('none'));
    const names = ['localhost', 'LocalHost.', 'l%6fcalhost', '\uff4cocalhost', '%EF%BD%8Cocalhost', 'local\u00adhost'];
    const urls = names.map((name, at) =>
      there.put(`/${at}.mp4`, (request, answer) => {
        answer.writeHead(302, { location: Buffer.from(`http://${name}:${there.port}/secret.mp4`).toString('latin1') }).end();
      }));
    for (const [url, job] of await fates(server, urls)) assert.equal(job.state, 'failed', url);
    assert.deepEqual(there.asked('/secret.mp4'), []);
  });
});

describe('what a server was told', () => {
  test('no other server hears', async (t) => {
    const canary = await Canary.during(t);
    const [one, other] = [await Elsewhere.during(t), await Elsewhere.during(t)];
    const allowed = [one, other].map((there) => `127.0.0.1:${there.port}`);
    const server = await Server.during(t, { args: ['--download-allow', allowed[0], '--download-allow', allowed[1]] });
    const elsewhere = other.url('/v.mp4').replace('127.0.0.1', 'localhost'); // cookies know no ports (RFC 6265, 8.5)
    other.put('/v.mp4', Buffer.from('none'));
    one.put('/v.mp4', (request, answer) => {
      answer.writeHead(302, { location: elsewhere, 'set-cookie': ['a=b; Path=/', 'c=d; Domain=localhost'], refresh: `0; url=http://127.0.0.1:${canary.port}/` }).end();
    });
    const url = one.url('/v.mp4').replace('//', '//name:password@');
    await fates(server, [url]);
    assert.match(one.asked('/v.mp4')[0].headers.authorization, /^Basic /);
    const { headers } = other.asked('/v.mp4')[0];
    for (const name of ['authorization', 'cookie', 'referer', 'proxy-authorization']) assert.equal(headers[name], undefined, name);
    assert.deepEqual(canary.calls, []);
  });
});

const playlist = (lines) => `#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n${lines}\n`;
const media = (...uris) => playlist(`${uris.map((uri) => `#EXTINF:4,\n${uri}`).join('\n')}\n#EXT-X-ENDLIST`);
const segment = async () => {
  const words = ['-v', 'error', '-i', await clip(), '-c', 'copy', '-f', 'mpegts', '-'];
  return (await run('ffmpeg', words, { encoding: 'buffer' })).stdout;
};
const M3U8 = { type: 'application/vnd.apple.mpegurl' };

// What pages can make yt-dlp, and the ffmpeg it starts, ask for: by name, a page's URL.
function traps(there, secret) {
  const { port } = new URL(secret);
  const master = (uri) => `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION=320x180\n${uri}\n`;
  const put = (path, text, how = M3U8) => there.put(path, Buffer.from(text), how);
  put('/inner.m3u8', media(secret));
  return {
    'a segment': put('/segment.m3u8', media('/good.ts', secret)),
    'a segment of a metadata service': put('/metadata.m3u8', media('http://169.254.169.254/latest/meta-data/')),
    'a segment in another form': put('/form.m3u8', media(`http://0x7f.1:${port}/s.ts`)),
    'a segment by IPv6': put('/six.m3u8', media(`http://[::ffff:127.0.0.1]:${port}/s.ts`)),
    'a segment by https': put('/tls.m3u8', media(`https://localhost:${port}/s.ts`)),
    'a segment that redirects': (there.put('/away.ts', (request, answer) => answer.writeHead(302, { location: secret }).end()),
      put('/away.m3u8', media('/away.ts'))),
    'a playlist in a playlist': put('/master.m3u8', master('/inner.m3u8')),
    'a playlist elsewhere': put('/outside.m3u8', master(secret.replace('.mp4', '.m3u8'))),
    'a key': put('/key.m3u8', playlist(`#EXT-X-KEY:METHOD=AES-128,URI="${secret}"\n#EXTINF:4,\n/good.ts\n#EXT-X-ENDLIST`)),
    'an initialisation section': put('/map.m3u8', playlist(`#EXT-X-MAP:URI="${secret}"\n#EXTINF:4,\n/good.ts\n#EXT-X-ENDLIST`)),
    'sound of its own': put('/sound.m3u8', `#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="${secret.replace('.mp4', '.m3u8')}"\n#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO="a"\n/inner.m3u8\n`),
    // What yt-dlp leaves to ffmpeg.
    'a segment that ffmpeg asks for': put('/sample.m3u8', playlist(`#EXT-X-KEY:METHOD=SAMPLE-AES,URI="${secret}"\n#EXTINF:4,\n${secret}\n#EXT-X-ENDLIST`)),
    'a segment by RTMP': put('/rtmp.m3u8', media(`rtmp://127.0.0.1:${port}/s`)),
    'a segment by ffmpeg\'s protocols': put('/concat.m3u8', media(`concat:${secret}|/etc/passwd`)),
    'a video by RTMP': put('/rtmp', `<html><video src="rtmp://127.0.0.1:${port}/s.mp4"></video></html>`, { type: 'text/html' }),
    'a video by WebSocket': put('/ws', `<html><video src="ws://127.0.0.1:${port}/s.mp4"></video></html>`, { type: 'text/html' }),
    'what a page says of itself': put('/og', `<html><meta property="og:video" content="${secret}"></html>`, { type: 'text/html' }),
    'what a player of a page has': put('/player', `<html><script>jwplayer("a").setup({file: "${secret}"});</script></html>`, { type: 'text/html' }),
    'a feed': put('/feed', `<?xml version="1.0"?><rss version="2.0"><channel><title>a</title><item><title>b</title><enclosure url="${secret}" type="video/mp4"/></item></channel></rss>`, { type: 'text/html' }),
    'a list of XSPF': put('/list', `<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><location>${secret}</location></track></trackList></playlist>`, { type: 'text/html' }),
    'a proxy in the fragment': `${put('/proxy', '<html></html>', { type: 'text/html' })}#__youtubedl_smuggle=${encodeURIComponent(JSON.stringify({ http_headers: { 'Ytdl-request-proxy': `http://127.0.0.1:${port}` } }))}`,
    'a file of this machine': put('/file.m3u8', media('file:///etc/passwd')),
    'a video of a page': put('/page', `<html><video src="${secret}"></video></html>`, { type: 'text/html' }),
    'a refresh of a page': put('/refresh', `<html><meta http-equiv="refresh" content="0; url=${secret}"></html>`, { type: 'text/html' }),
    'a DASH manifest': put('/m.mpd', `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" width="320" height="180"><BaseURL>${secret}</BaseURL></Representation></AdaptationSet></Period></MPD>`, { type: 'application/dash+xml' }),
  };
}

describe('what a page leads to', { skip: hasYtDlp ? false : 'yt-dlp is not installed' }, () => {
  test('is not of the inside', { timeout: 400_000 }, async (t) => {
    const canary = await Canary.during(t);
    const there = await Elsewhere.during(t);
    const server = await Server.during(t, { args: ['--download-allow', `127.0.0.1:${there.port}`, '--downloads', '4'] });
    there.put('/good.ts', await segment(), { type: 'video/mp2t' });
    const good = there.put('/good.m3u8', Buffer.from(media('/good.ts')), M3U8);
    const all = traps(there, `http://127.0.0.1:${canary.port}/v.mp4`);
    const jobs = await fates(server, [good, ...Object.values(all)]);
    assert.equal(jobs.get(good).state, 'completed', jobs.get(good).error);
    for (const [name, url] of Object.entries(all)) {
      assert.equal(jobs.get(url).state, 'failed', name);
      t.diagnostic(`${name}: ${jobs.get(url).error}`);
    }
    assert.match(jobs.get(all['a segment']).error, /127\.0\.0\.1 is this machine/);
    assert.match(jobs.get(all['a segment of a metadata service']).error, /169\.254\.169\.254 is link-local/);
    assert.deepEqual(canary.calls, []);
  });
});

// In a user, network and mount namespace of its own, with a name server of its own.
const helper = fileURLToPath(new URL('../support/rebinding.mjs', import.meta.url));
const apart = ['-r', '-n', '-m', '--'];
const refusal = (() => {
  const { status, stderr, error } = spawnSync('unshare', [...apart, 'sh', '-c', 'ip link set lo up && mount --bind /dev/null /etc/resolv.conf'], { encoding: 'utf8' });
  return status === 0 ? false : `no namespaces here: ${error?.message ?? stderr.trim()}`;
})();

describe('a name that resolves otherwise the second time', { skip: refusal }, () => {
  test('leads to no other address than the one that was judged', { timeout: 300_000 }, async () => {
    const { stdout } = await run('unshare', [...apart, process.execPath, helper, binary, hasYtDlp ? 'pages' : 'files'], { timeout: 240_000 });
    const told = JSON.parse(stdout);
    assert.deepEqual(told.canary, []);
    assert.equal(told.jobs['http://steady.test/v.mp4'].state, 'completed', stdout);
    for (const [url, job] of Object.entries(told.jobs))
      if (!/^http:\/\/(steady|both)\.test\/v/.test(url)) assert.equal(job.state, 'failed', `${url}: ${stdout}`);
    assert.equal(told.jobs['http://both.test/v.mp4'].state, 'completed', stdout);
    assert.match(told.jobs['http://own.test/v.mp4'].error, /93\.184\.215\.15/);
    if (hasYtDlp) assert.ok(told.asked['page.test'] >= 2, `page.test was to be looked up again: ${stdout}`);
  });
});
