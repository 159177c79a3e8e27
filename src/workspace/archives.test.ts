import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Readable } from 'node:stream';
import { createGzip, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { isServiceError } from '../core/errors.ts';
import { bytesOf, openLiveWorkspace } from '../testing/live-workspace.ts';
import { gzByHand, type HandEntry, paxByHand, tarByHand } from '../testing/tar-by-hand.ts';
import { LiveTree } from './live-tree.ts';
import { type ArchiveFormat, packTree } from './pack-archive.ts';
import { defaultArchiveLimits, type ArchiveLimits, unpackArchive } from './unpack-archive.ts';

const key = { tenant: 'default', sessionId: '019a0000-0000-7000-8000-000000000000' };

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'fleet-archive-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** What an archive is refused for; null when it is taken. */
async function refusalOf(
  root: string,
  archive: Buffer,
  limits: Partial<ArchiveLimits> = {},
  format: ArchiveFormat = 'tar.gz',
): Promise<string | null> {
  const dir = mkdtempSync(join(root, 'in-'));
  try {
    await unpackArchive(Readable.from([archive]), format, dir, { ...defaultArchiveLimits, ...limits });
    return null;
  } catch (error) {
    assert.ok(isServiceError(error, 'archive_refused'), String((error as Error).stack));
    return String(error.details['problem']);
  }
}

const dir = (name: string): HandEntry => ({ name, type: '5' });
const link = (name: string, linkName: string): HandEntry => ({ name, type: '2', linkName });
const deepName = (levels: number): string => Array.from({ length: levels }, () => 'd').join('/');

const hostile: readonly (readonly [what: string, archive: Buffer, problem: RegExp, benign: Buffer | null])[] = [
  ['an absolute path', gzByHand([{ name: '/etc/x' }]), /relative/, gzByHand([{ name: 'etc/x' }])],
  ['a path that climbs', gzByHand([{ name: '../x' }]), /"\.\."/, gzByHand([{ name: '..x' }])],
  ['a path that climbs midway', gzByHand([{ name: 'a/../../x' }]), /"\.\."/, gzByHand([{ name: './a/x' }])],
  [
    'a path that climbs in a pax header',
    gzByHand([paxByHand({ path: '../x' }), {}]),
    /"\.\."/,
    gzByHand([paxByHand({ path: 'x' }), {}]),
  ],
  [
    'a path that climbs in a GNU header',
    gzByHand([{ type: 'L', content: '../x\0' }, {}]),
    /"\.\."/,
    gzByHand([{ type: 'L', content: 'x\0' }, {}]),
  ],
  ['an empty name', gzByHand([{ name: '' }]), /no name/, null],
  ['an empty name between', gzByHand([{ name: 'a//b' }]), /empty name/, null],
  ['a name that is not UTF-8', gzByHand([{ name: Buffer.from([0xff, 0xfe]) }]), /UTF-8/, gzByHand([{ name: 'é' }])],
  [
    'a name that is too long',
    gzByHand([paxByHand({ path: 'n'.repeat(256) }), {}]),
    /255/,
    gzByHand([paxByHand({ path: 'n'.repeat(255) }), {}]),
  ],
  [
    'a path that is too deep',
    gzByHand([{ name: 'x' }, paxByHand({ path: deepName(65) }), {}]),
    /deeper/,
    gzByHand([paxByHand({ path: deepName(64) }), {}]),
  ],
  [
    'a hard link',
    gzByHand([{ name: 'a' }, { name: 'b', type: '1', linkName: 'a' }]),
    /hard link/,
    gzByHand([{ name: 'a' }, { name: 'b' }]),
  ],
  ['a character device', gzByHand([{ type: '3' }]), /device/, null],
  ['a block device', gzByHand([{ type: '4' }]), /device/, null],
  ['a FIFO', gzByHand([{ type: '6' }]), /FIFO/, null],
  ['an unknown type', gzByHand([{ type: 'Z' }]), /unknown type/, null],
  ['a sparse file of old', gzByHand([{ type: 'S' }]), /unknown type/, null],
  [
    'a sparse file',
    gzByHand([paxByHand({ 'GNU.sparse.major': '1' }), {}]),
    /sparse/,
    gzByHand([paxByHand({ comment: '1' }), {}]),
  ],
  ['an absolute link', gzByHand([link('l', '/etc/passwd')]), /leads/, gzByHand([link('l', 'etc/passwd')])],
  ['a link that climbs out', gzByHand([link('a/l', '../../x')]), /leads/, gzByHand([link('a/l', '../x')])],
  ['a link that climbs out midway', gzByHand([link('l', 'a/../../x')]), /leads/, null],
  [
    'a link that climbs through another',
    gzByHand([link('a/b/s', '../..'), link('l', 'a/b/s/../x')]),
    /leads/,
    gzByHand([link('a/b/s', '../..'), link('l', 'a/b/s/x')]),
  ],
  ['a link to nothing', gzByHand([link('l', '')]), /no path/, null],
  [
    'a link in a pax header',
    gzByHand([paxByHand({ linkpath: '/etc' }), link('l', 'ok')]),
    /leads/,
    gzByHand([paxByHand({ linkpath: 'etc' }), link('l', 'ok')]),
  ],
  [
    'a file through a link',
    gzByHand([link('l', 'd'), dir('d'), { name: 'l/x' }]),
    /through a link/,
    gzByHand([link('l', 'd'), dir('d'), { name: 'd/x' }]),
  ],
  [
    'a file over a link',
    gzByHand([link('l', 'd'), { name: 'l' }]),
    /something else/,
    gzByHand([{ name: 'l' }, { name: 'l' }]),
  ],
  ['a link over a file', gzByHand([{ name: 'l' }, link('l', 'd')]), /something else/, null],
  ['a directory over a link', gzByHand([link('l', 'd'), dir('l')]), /something else/, gzByHand([dir('l'), dir('l')])],
  ['a file below a file', gzByHand([{ name: 'a' }, { name: 'a/b' }]), /through a link or a file/, null],
  ['a header too many', gzByHand([{ type: 'L', content: 'x'.repeat(65_537) }, {}]), /header of more/, null],
  ['a pax header that lies', gzByHand([{ type: 'x', content: '999 path=x\n' }, {}]), /cannot be read/, null],
  ['a pax header of one number', gzByHand([{ type: 'x', content: '0'.repeat(60_000) }, {}]), /cannot be read/, null],
  [
    'a pax size that is none',
    gzByHand([paxByHand({ size: '-1' }), {}]),
    /cannot be read/,
    gzByHand([paxByHand({ size: '0' }), {}]),
  ],
  [
    'a global header that names',
    gzByHand([paxByHand({ path: 'x' }, 'g'), {}]),
    /global header/,
    gzByHand([paxByHand({ comment: 'x' }, 'g'), {}]),
  ],
  ['a checksum that is wrong', gzByHand([{ breaksChecksum: true }]), /damaged/, gzByHand([{}])],
  ['a size that is no number', gzByHand([{ size: '99999999999' }]), /cannot be read/, null],
  [
    'a size that never comes',
    gzByHand([{ size: 4096, content: 'x' }]),
    /too early/,
    gzByHand([{ size: 1, content: 'x' }]),
  ],
  ['a directory with content', gzByHand([{ ...dir('d'), content: 'x' }]), /with content/, null],
  ['no end', gzByHand([{}], Buffer.alloc(0)), /too early/, null],
  ['half a block', gzByHand([{}], Buffer.alloc(100)), /too early/, null],
  [
    'something behind the end',
    gzByHand([{}], Buffer.concat([Buffer.alloc(1024), tarByHand([{}])])),
    /behind its end/,
    gzByHand([{}], Buffer.alloc(10_240)),
  ],
  ['nothing', Buffer.alloc(0), /./, null],
  ['garbage', Buffer.from('garbage'), /damaged/, null],
  ['a gzip of garbage', gzipSync(Buffer.alloc(2048, 'x')), /not a tar/, null],
  [
    'a gzip that was cut',
    gzByHand([{ content: 'x'.repeat(5000) }]).subarray(0, -12),
    /damaged/,
    gzByHand([{ content: 'x'.repeat(5000) }]),
  ],
  ['a gzip with another sum', withByte(gzByHand([{}]), -6), /damaged/, null],
  ['zstd that says it is gzip', zstdCompressSync(tarByHand([{}])), /damaged/, null],
];

function withByte(archive: Buffer, at: number): Buffer {
  const changed = Buffer.from(archive);
  const index = archive.length + at;
  changed[index] = (changed[index] ?? 0) ^ 0xff;
  return changed;
}

test('each hostile archive is refused for what it is, and its harmless twin is taken', async (t) => {
  const root = tempDir(t);
  for (const [what, archive, problem, benign] of hostile) {
    assert.match((await refusalOf(root, archive)) ?? 'taken', problem, what);
    if (benign !== null) assert.equal(await refusalOf(root, benign), null, `the twin of ${what}`);
  }
});

test('an archive that was cut anywhere is refused', async (t) => {
  const root = tempDir(t);
  const tar = tarByHand([dir('a'), { name: 'a/b', content: 'x'.repeat(700) }]);
  for (const [format, archive] of [
    ['tar.gz', gzipSync(tar)],
    ['tar.zst', zstdCompressSync(tar)],
  ] as const) {
    assert.equal(await refusalOf(root, archive, {}, format), null);
    for (let length = 0; length < archive.length; length += 7) {
      assert.notEqual(await refusalOf(root, archive.subarray(0, length), {}, format), null, `${format} at ${length}`);
    }
  }
});

test('each limit is kept, and what just fits is taken', async (t) => {
  const root = tempDir(t);
  const three = gzByHand([{ name: 'a' }, { name: 'b' }, { name: 'c', content: '12345' }]);
  assert.match((await refusalOf(root, three, { entries: 2 })) ?? 'taken', /more than 2 entries/);
  assert.equal(await refusalOf(root, three, { entries: 3 }), null);
  assert.match((await refusalOf(root, three, { fileBytes: 4 })) ?? 'taken', /more than 4 bytes/);
  assert.equal(await refusalOf(root, three, { fileBytes: 5 }), null);
  assert.match((await refusalOf(root, three, { bytes: 1000 })) ?? 'taken', /more than 1000 bytes/);
  // A size that is only said is believed as far as it is refused.
  assert.match((await refusalOf(root, gzByHand([{ size: 0o7777777777 }]))) ?? 'taken', /more than 268435456 bytes/);
});

test('a bomb is put out in its first MiB, and memory stays where it was', async (t) => {
  const root = tempDir(t);
  const zeros = Buffer.alloc(1024 * 1024);
  const header = tarByHand([{ size: 100 * 1024 * 1024 }], Buffer.alloc(0)).subarray(0, 512);
  const gzip = createGzip({ level: 9 });
  Readable.from(
    (function* bomb() {
      yield header;
      for (let index = 0; index < 100; index += 1) yield zeros;
      yield Buffer.alloc(1024);
    })(),
  ).pipe(gzip);
  const bomb = await bytesOf(gzip as AsyncIterable<Buffer>);
  assert.ok(bomb.length < 250_000);
  const before = process.memoryUsage().rss;
  assert.match((await refusalOf(root, bomb)) ?? 'taken', /100 times/);
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
  assert.equal(await refusalOf(root, bomb, { ratio: 10_000 }), null);
  // A window that would need more memory than is given, with a twin that does not.
  const input = tarByHand([{ content: randomBytes(1024 * 1024) }]);
  const pressed = (...options: string[]): Buffer => execFileSync('zstd', [...options, '-c'], { input, maxBuffer: 1e8 });
  assert.match((await refusalOf(root, pressed('--long=27'), {}, 'tar.zst')) ?? 'taken', /packed in another way/);
  assert.equal(await refusalOf(root, pressed('--long=25'), {}, 'tar.zst'), null);
});

test('what tar and tar-stream have packed is unpacked as it was, without the bits that give power', async (t) => {
  const root = tempDir(t);
  const from = join(root, 'from');
  mkdirSync(join(from, 'deep', 'x'.repeat(120)), { recursive: true });
  writeFileSync(join(from, 'deep', 'x'.repeat(120), 'é🎈'), 'long');
  writeFileSync(join(from, 'run'), '#!/bin/sh\n');
  chmodSync(join(from, 'run'), 0o4755);
  symlinkSync('deep/target', join(from, 'link'));
  for (const format of ['gnu', 'pax', 'ustar', 'v7'] as const) {
    if (format === 'v7' || format === 'ustar') rmSync(join(from, 'deep'), { recursive: true, force: true });
    const archive = execFileSync('tar', [`--format=${format}`, '-C', from, '-czf', '-', '.']);
    const to = join(root, format);
    mkdirSync(to);
    await unpackArchive(Readable.from([archive]), 'tar.gz', to);
    assert.deepEqual(readdirSync(to, { recursive: true }), readdirSync(from, { recursive: true }), format);
    assert.equal(lstatSync(join(to, 'run')).mode & 0o7777, 0o755);
    assert.equal(readlinkSync(join(to, 'link')), 'deep/target');
  }
  const packed = pack();
  packed.entry({ name: 'a/b' }, 'content');
  packed.finalize();
  const to = join(root, 'tar-stream');
  mkdirSync(to);
  await unpackArchive(Readable.from(packed as AsyncIterable<Buffer>).compose(createGzip()), 'tar.gz', to);
  assert.equal(readFileSync(join(to, 'a/b'), 'utf8'), 'content');
});

test('what is packed is read by tar and by tar-stream, and comes back as it was', async (t) => {
  const root = tempDir(t);
  const from = join(root, 'from');
  const long = `${'d'.repeat(120)}/é🎈`;
  mkdirSync(join(from, 'd'.repeat(120)), { recursive: true });
  mkdirSync(join(from, 'empty'));
  writeFileSync(join(from, long), 'long');
  writeFileSync(join(from, 'run'), 'x'.repeat(1000), { mode: 0o755 });
  symlinkSync(`${'t'.repeat(150)}/é`, join(from, 'link'));
  symlinkSync('/etc/passwd', join(from, 'outside'));
  execFileSync('/usr/bin/mkfifo', [join(from, 'fifo')]);
  for (const format of ['tar.gz', 'tar.zst'] as const) {
    const archive = await bytesOf(packTree(new LiveTree(from), '', format));
    const to = join(root, format);
    mkdirSync(to);
    execFileSync(
      'tar',
      [format === 'tar.gz' ? '-xzf' : '--zstd', ...(format === 'tar.gz' ? [] : ['-xf']), '-', '-C', to],
      {
        input: archive,
      },
    );
    assert.deepEqual(
      readdirSync(to, { recursive: true }),
      readdirSync(from, { recursive: true }).filter((name) => name !== 'fifo'),
    );
    assert.equal(readFileSync(join(to, long), 'utf8'), 'long');
    assert.equal(lstatSync(join(to, 'run')).mode & 0o777, 0o755);
    assert.equal(readlinkSync(join(to, 'link')), `${'t'.repeat(150)}/é`);
    assert.equal(readlinkSync(join(to, 'outside')), '/etc/passwd');
    if (format === 'tar.zst') continue;
    const reader = extract();
    const names: string[] = [];
    reader.on('entry', (header, stream, next) => {
      names.push(`${header.type} ${header.name}`);
      stream.on('end', next).resume();
    });
    reader.end(gunzipSync(archive));
    await new Promise<void>((resolve) => reader.on('finish', resolve));
    assert.deepEqual(names, [
      `directory ${'d'.repeat(120)}/`,
      `file ${long}`,
      'directory empty/',
      'symlink link',
      'symlink outside',
      'file run',
    ]);
  }
});

test('an archive is unpacked whole over what is there, or not at all', async (t) => {
  const { link: files, ws, spool, outside } = await openLiveWorkspace(t);
  const put = (archive: Buffer, path = ''): Promise<unknown> =>
    files.writeArchive(key, path, 'tar.gz', Readable.from([archive]));
  mkdirSync(join(ws, 'a'));
  writeFileSync(join(ws, 'a/old'), 'old');
  writeFileSync(join(ws, 'a/kept'), 'kept');
  assert.deepEqual(await put(gzByHand([{ name: 'a/old', content: 'new' }, dir('a/sub'), { name: 'a/sub/x' }])), {
    files: 2,
    bytes: 3,
  });
  assert.deepEqual(
    new Set<unknown>(readdirSync(ws, { recursive: true })),
    new Set(['a', 'a/kept', 'a/old', 'a/sub', 'a/sub/x']),
  );
  assert.equal(readFileSync(join(ws, 'a/old'), 'utf8'), 'new');

  symlinkSync(outside, join(ws, 'z-link'));
  writeFileSync(join(ws, 'z-file'), 'z');
  const before = readdirSync(ws, { recursive: true });
  const first = { name: 'a/old', content: 'never' };
  for (const conflict of [
    gzByHand([first, { name: 'z-link/x' }]),
    gzByHand([first, { name: 'z-link' }]),
    gzByHand([first, dir('z-file')]),
    gzByHand([first, { name: 'a' }]),
  ]) {
    await assert.rejects(put(conflict), { code: /file_exists|archive_refused/ });
  }
  await assert.rejects(put(gzByHand([first]), 'z-link'), { code: 'file_exists' });
  await assert.rejects(put(gzByHand([first]), 'z-file/below'), { code: 'file_exists' });
  await assert.rejects(put(gzByHand([first, { name: '../x' }])), { code: 'archive_refused' });
  assert.deepEqual(readdirSync(ws, { recursive: true }), before);
  assert.equal(readFileSync(join(ws, 'a/old'), 'utf8'), 'new');
  assert.deepEqual([readdirSync(outside), readdirSync(spool)], [[], []]);
});
