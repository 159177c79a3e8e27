// A real browser for the tests that need one, found on the machine; the package that drives it brings none.

import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { chromium, type Browser } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

export const chromiumHint =
  'no Chromium: install one (Debian: apt-get install chromium), or set CHROMIUM to the path of one';

/** CHROMIUM, else the first on the PATH; null when there is none. */
export function findChromium(): string | null {
  const given = process.env['CHROMIUM'] ?? '';
  const directories = (process.env['PATH'] ?? '').split(path.delimiter);
  const candidates =
    given === '' ? directories.flatMap((directory) => names.map((name) => path.join(directory, name))) : [given];
  return candidates.find(isExecutable) ?? null;
}

export async function launchChromium(executablePath: string): Promise<Browser> {
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];
  return await chromium.launch({
    executablePath,
    timeout: 30_000,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet],
  });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
