import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readContainerMemory } from './container-memory.ts';

const read = (files: Readonly<Record<string, string>>) => (file: string) => files[file] ?? null;
const second = '/sys/fs/cgroup/memory';
const first = '/sys/fs/cgroup/memory/memory';

test('what the kernel can take back does not count, and shared memory does', () => {
  const files = {
    [`${second}.max`]: '1000',
    [`${second}.current`]: '900',
    [`${second}.stat`]: 'anon 500\nfile 300\nkernel 50\nshmem 120\nfile_mapped 9',
  };
  assert.deepEqual(readContainerMemory(read(files)), { usedBytes: 720, limitBytes: 1000 });
  // Names of files that were looked at once, as a large tree leaves them.
  const walked = { ...files, [`${second}.stat`]: `${files[`${second}.stat`]}\nslab_reclaimable 200\nslab 230` };
  assert.deepEqual(readContainerMemory(read(walked)), { usedBytes: 520, limitBytes: 1000 });
  // Far from the limit it is not looked at more closely.
  const far = { ...files, [`${second}.current`]: '700' };
  assert.deepEqual(readContainerMemory(read(far)), { usedBytes: 700, limitBytes: 1000 });
});

test('the first version of control groups says it in other places', () => {
  const files = {
    [`${first}.limit_in_bytes`]: '1000',
    [`${first}.usage_in_bytes`]: '900',
    [`${first}.stat`]: 'cache 300\nrss 500\nshmem 120',
  };
  assert.deepEqual(readContainerMemory(read(files)), { usedBytes: 720, limitBytes: 1000 });
});

test('where there is no limit, or nothing to read, there is no answer', () => {
  assert.equal(readContainerMemory(read({ [`${second}.max`]: 'max', [`${second}.current`]: '900' })), null);
  const unlimited = { [`${first}.limit_in_bytes`]: '9223372036854771712', [`${first}.usage_in_bytes`]: '900' };
  assert.equal(readContainerMemory(read(unlimited)), null);
  assert.equal(readContainerMemory(read({})), null);
});
