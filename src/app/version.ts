// Our own version, from the package that this file belongs to.

import { readFileSync } from 'node:fs';

function readVersion(): string {
  // src/app or dist/app: the package is two folders up either way.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}

export const fleetVersion: string = readVersion();
