// The page and the list of what is compiled in must agree.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../', import.meta.url);
const read = name => readFileSync(new URL(name, folder), 'utf8');
const modules = readdirSync(folder).filter(name => name.endsWith('.js'));

test('every_module_is_compiled_in_and_preloaded', () => {
    const list = read('meson.build').match(/foreach module : \[([^\]]*)\]/)[1];
    const built = [...list.matchAll(/'(\w+)'/g)].map(match => `${match[1]}.js`);
    assert.deepEqual(built.sort(), modules.slice().sort());
    const page = read('index.html');
    for (const name of modules)
        assert.ok(page.includes(`"${name}"`), `${name} is not named in index.html`);
});

test('nothing_is_inline_and_nothing_comes_from_elsewhere', () => {
    const page = read('index.html');
    assert.doesNotMatch(page, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
    assert.doesNotMatch(page.replace('xmlns="http://www.w3.org/2000/svg"', ''), /https?:\/\//);
    assert.doesNotMatch(read('style.css'), /url\(|@import/);
});

test('every_element_that_the_code_looks_up_is_on_the_page', () => {
    const page = read('index.html');
    const wanted = [...read('main.js').matchAll(/\$\('([\w-]+)'\)/g)].map(match => match[1]);
    assert.ok(wanted.length > 20);
    for (const id of wanted)
        assert.ok(page.includes(`id="${id}"`), `#${id} is not in index.html`);
});
