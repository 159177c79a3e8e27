// A copy of the sources with one place changed, to see whether the simulation finds what that breaks.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeedResult } from '../../src/testing/simulation/run-seed.ts';
import { runSeeds } from './run-seeds.ts';
import type { PlantedBug } from './planted-bugs.ts';

const root = join(import.meta.dirname, '../..');

export class PatchedTree {
  readonly #path = mkdtempSync(join(tmpdir(), 'codex-fleet-patched-'));

  constructor() {
    const filter = (file: string): boolean => !file.endsWith('.test.ts');
    cpSync(join(root, 'src'), join(this.#path, 'src'), { recursive: true, filter });
    cpSync(join(root, 'test/simulation'), join(this.#path, 'test/simulation'), { recursive: true, filter });
    cpSync(join(root, 'package.json'), join(this.#path, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(this.#path, 'node_modules'));
  }

  /** The first of so many seeds that fails with the bug in place; null when none does. */
  async firstFailure({ file, from, name, to }: PlantedBug, seeds: number): Promise<SeedResult | null> {
    const path = join(this.#path, file);
    const sound = readFileSync(path, 'utf8');
    if (sound.split(from).length !== 2) throw new Error(`"${name}": the text to change is not once in ${file}`);
    writeFileSync(
      path,
      sound.replace(from, () => to),
    );
    try {
      return (await runSeeds(this.#path, 1, seeds)).failure;
    } finally {
      writeFileSync(path, sound);
    }
  }

  remove(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }
}
