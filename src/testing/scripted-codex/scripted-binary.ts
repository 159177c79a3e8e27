// Makes a scripted Codex startable where the real one is: a wrapper script as its binary, and the script
// beside it. For agents without a cage: a cage would not show it our Node.

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CodexBinary } from '../../codex/binary.ts';
import type { Script } from './script.ts';

export async function scriptedBinary(dir: string, script: Script): Promise<CodexBinary> {
  await mkdir(dir, { recursive: true });
  const scriptFile = path.join(dir, 'script.json');
  const codexPath = path.join(dir, 'codex');
  await writeFile(scriptFile, JSON.stringify(script));
  const program = path.join(import.meta.dirname, 'scripted-codex.ts');
  const command = [process.execPath, '--no-warnings', program, scriptFile].map(quoted).join(' ');
  await writeFile(codexPath, `#!/bin/sh\nexec ${command}\n`);
  await chmod(codexPath, 0o755);
  return { version: '0.169.0', vendorDir: dir, codexPath, bwrapPath: null };
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
