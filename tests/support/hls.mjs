// Whether a published video is whole: every playlist and every segment that is
// referenced can be fetched, and all of it plays for as long as the source.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export function entries(playlist) {
  const uris = playlist.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'));
  const attributes = [...playlist.matchAll(/^#EXT-X-(?:MAP|MEDIA):.*\bURI="([^"]+)"/gm)];
  return { uris, attributes: attributes.map((match) => match[1]) };
}

export function masterUrl(server, job) {
  assert.match(job.hls_path, /^videos\/hls\/[^/]+/);
  return new URL(`/${job.hls_path}/master.m3u8`, server.origin).href;
}

async function fetchWhole(server, url, options) {
  const answer = await server.request(url, options);
  assert.equal(answer.status, 200, `${url}: ${answer.status}`);
  assert.ok(answer.body.length > 0, `${url} is empty`);
  return answer;
}

// Master and media playlists, parsed: [{ url, seconds, segments, map }].
export async function playlists(server, master, options) {
  const { text } = await fetchWhole(server, master, options);
  assert.match(text, /^#EXTM3U\n/);
  const { uris, attributes } = entries(text);
  assert.ok(uris.length > 0, 'the master playlist lists nothing');
  const found = [];
  for (const uri of new Set([...uris, ...attributes])) {
    const url = new URL(uri, master).href;
    const media = (await fetchWhole(server, url, options)).text;
    assert.match(media, /^#EXT-X-ENDLIST/m, `${url} does not end`);
    assert.match(media, /^#EXT-X-PLAYLIST-TYPE:VOD/m, `${url} is not VOD`);
    const lengths = [...media.matchAll(/^#EXTINF:([\d.]+)/gm)].map((match) => Number(match[1]));
    const parts = entries(media);
    assert.ok(parts.uris.length > 0, `${url} lists nothing`);
    assert.equal(parts.uris.length, lengths.length);
    found.push({
      url,
      seconds: lengths.reduce((sum, length) => sum + length, 0),
      segments: parts.uris.map((part) => new URL(part, url).href),
      map: parts.attributes.map((part) => new URL(part, url).href)[0],
    });
  }
  return found;
}

// Fetches everything there is, and asks ffprobe.
export async function verify(server, job, seconds, options) {
  const master = masterUrl(server, job);
  const media = await playlists(server, master, options);
  for (const playlist of media) {
    const near = Math.abs(playlist.seconds - seconds);
    assert.ok(near < 0.6, `${playlist.url}: ${playlist.seconds} s instead of ${seconds}`);
    for (const url of [playlist.map, ...playlist.segments].filter(Boolean)) {
      await fetchWhole(server, url, options);
    }
  }
  const { stdout } = await run('ffprobe', [
    '-v', 'error', '-of', 'json', '-show_entries', 'format=duration:stream=codec_type', master]);
  const probed = JSON.parse(stdout);
  assert.ok(Math.abs(Number(probed.format.duration) - seconds) < 0.6, stdout);
  assert.ok(probed.streams.some((stream) => stream.codec_type === 'video'), stdout);
  return { master, media };
}
