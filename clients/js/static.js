// Copies src/ to where Django finds static files, so that a wheel carries them. `--check` compares.

import { readFileSync, readdirSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';

const SOURCE = new URL('src/', import.meta.url);
const STATIC = new URL('../../notifications/static/notifications/', import.meta.url);

const names = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .sort();
const read = (folder) =>
  names(folder).map((name) => [name, readFileSync(new URL(name, folder), 'utf8')]);

mkdirSync(STATIC, { recursive: true });
if (process.argv.includes('--check')) {
  if (JSON.stringify(read(SOURCE)) !== JSON.stringify(read(STATIC))) {
    throw new Error('notifications/static/notifications/ is not src/: run `npm run static`');
  }
} else {
  for (const name of names(STATIC)) rmSync(new URL(name, STATIC));
  for (const name of names(SOURCE)) {
    writeFileSync(new URL(name, STATIC), readFileSync(new URL(name, SOURCE)));
  }
}
