import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { heldBytes, type MemoryReaders, type ProcessMemory } from './exact-memory.ts';

const MiB = 1024 ** 2;
const processes = (count: number, mebibytes: number, fromPid = 1): ProcessMemory[] =>
  Array.from({ length: count }, (_, at) => ({ pid: fromPid + at, residentBytes: mebibytes * MiB }));

type Stage = {
  /** Each process's part of what it holds; null: not told. */
  readonly part: (pid: number) => number | null;
  readonly mapped?: number;
  readonly files?: Readonly<Record<number, readonly { readonly id: string; readonly bytes: number }[]>>;
};

function readers(all: readonly ProcessMemory[], { files = {}, mapped = 0, part }: Stage) {
  const asked: number[] = [];
  const made: MemoryReaders = {
    share: (pid) => {
      asked.push(pid);
      const share = part(pid);
      const resident = all.find((one) => one.pid === pid)?.residentBytes ?? 0;
      return share === null ? null : { bytes: resident * share, mappedBytes: mapped };
    },
    openFiles: (pid, most) => (files[pid] ?? []).slice(0, most),
  };
  return { asked, made };
}

test('what processes share counts once, and all of it where nothing is told of that', () => {
  const four = processes(4, 100);
  assert.equal(heldBytes(four, readers(four, { part: () => 0.25 }).made), 100 * MiB);
  assert.equal(heldBytes(four, readers(four, { part: () => null }).made), 400 * MiB);
  assert.equal(heldBytes([], readers([], { part: () => 1 }).made), 0);
});

test('of hundreds of large processes a few are looked at, and the answer is near all the same', () => {
  const forked = processes(400, 512);
  const { asked, made } = readers(forked, { part: () => 1 / 400 });
  const held = heldBytes(forked, made);
  assert.ok(Math.abs(held - 512 * MiB) < MiB, `${held / MiB} MiB`);
  assert.ok(asked.length <= 4, `${asked.length} were looked at`);
});

test('of very many small processes no more than some hundreds are looked at', () => {
  const small = processes(5_000, 1);
  const { asked, made } = readers(small, { part: () => 0.5 });
  assert.ok(Math.abs(heldBytes(small, made) - 2_500 * MiB) < MiB);
  assert.ok(asked.length <= 256, `${asked.length} were looked at`);
});

test('a large process among many that share everything is always looked at', () => {
  const all = [...processes(300, 200, 100), { pid: 7, residentBytes: 3_000 * MiB }];
  const { asked, made } = readers(all, { part: (pid) => (pid === 7 ? 1 : 1 / 300) });
  assert.ok(heldBytes(all, made) >= 3_000 * MiB);
  assert.ok(asked.includes(7));
});

test('a file in memory without a name counts once for all that hold it, and not again where it is mapped', () => {
  const two = processes(2, 10);
  const files = { 1: [{ id: 'a', bytes: 500 * MiB }], 2: [{ id: 'a', bytes: 500 * MiB }] };
  assert.equal(heldBytes(two, readers(two, { part: () => 1, files }).made), 520 * MiB);
  assert.equal(heldBytes(two, readers(two, { part: () => 1, files, mapped: 250 * MiB }).made), 20 * MiB);
});

const isPythonMissing = spawnSync('python3', ['--version']).status !== 0;

test('a real file without a name is found', {
  skip: isPythonMissing && 'python3, which makes one, is not installed',
}, async () => {
  const program =
    'import os,time\nf=os.memfd_create("x")\nos.write(f,b"x"*(64<<20))\nprint(1,flush=True)\ntime.sleep(60)';
  const child = spawn('python3', ['-c', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    const held = heldBytes([{ pid: child.pid ?? 0, residentBytes: 0 }]);
    assert.ok(held >= 60 * MiB, `${held / MiB} MiB`);
  } finally {
    child.kill('SIGKILL');
  }
});
