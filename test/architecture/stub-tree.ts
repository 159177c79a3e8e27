// A tree in a temporary directory with this repository's real TypeScript and lint settings and almost
// no code: what the settings allow and forbid shows in a second, whatever state the sources are in.

import { execFile } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '../..');
const toolTimeoutMs = 60_000;

export type LintFinding = { readonly file: string; readonly rule: string };

export class StubTree {
  readonly #path = mkdtempSync(join(tmpdir(), 'codex-fleet-stub-tree-'));
  readonly folders: readonly string[];

  constructor() {
    const projects = globSync('src/*/tsconfig.json', { cwd: root });
    for (const file of ['package.json', 'tsconfig.base.json', '.oxlintrc.json', ...projects]) {
      cpSync(join(root, file), join(this.#path, file));
    }
    symlinkSync(join(root, 'node_modules'), join(this.#path, 'node_modules'));
    this.folders = projects.map((project) => project.split('/')[1] ?? '').sort();
    for (const folder of this.folders)
      this.write(`src/${folder}/stub.ts`, 'export const stub = 1;\nexport type Stub = 1;\n');
    this.write('src/testing/stub.ts', 'export const stub = 1;\n');
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.#path, file)), { recursive: true });
    writeFileSync(join(this.#path, file), text);
  }

  delete(file: string): void {
    rmSync(join(this.#path, file));
  }

  remove(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }

  /** Builds the folder with all that it refers to; answers what was printed, one line per error. */
  async build(folder: string): Promise<string[]> {
    const output = await this.#run('node_modules/typescript/bin/tsc', ['-b', '--pretty', 'false', `src/${folder}`]);
    return output.split('\n').filter((line) => line !== '');
  }

  async lint(): Promise<LintFinding[]> {
    const output = await this.#run('node_modules/oxlint/bin/oxlint', ['--format=json', 'src']);
    const { diagnostics } = JSON.parse(output) as { diagnostics: readonly { filename: string; code: string }[] };
    return diagnostics.map(({ filename, code }) => ({ file: relative('src', filename), rule: code }));
  }

  /** What strayed into the sources: a failed build must leave nothing there. */
  strayOutputs(): string[] {
    return globSync('src/**/*.{js,d.ts,map,tsbuildinfo}', { cwd: this.#path });
  }

  #run(script: string, args: readonly string[]): Promise<string> {
    const options = { cwd: this.#path, timeout: toolTimeoutMs };
    return new Promise((resolve, reject) => {
      execFile(process.execPath, [script, ...args], options, (error, stdout, stderr) => {
        // Both tools exit with 1 or 2 when they find something: an answer, not a failure.
        if (error === null || (typeof error.code === 'number' && stdout !== '')) resolve(stdout);
        else reject(new Error(`${script} did not run: ${stderr}`, { cause: error }));
      });
    });
  }
}
