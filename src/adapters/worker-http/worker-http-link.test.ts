import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TurnKey } from '../../contracts/worker-link.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import { bootHeader, bootPath, jsonCalls, writeCalls } from '../../api/worker-wire.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { bytesOf } from '../../testing/live-workspace.ts';
import { FaultProxy, type ConnectionPlan } from '../../testing/faults/fault-proxy.ts';
import { faceKey as key, startWorkerFace, type RunningWorkerFace } from '../../testing/running-worker-face.ts';
import { turnRecord } from '../../testing/stored-records.ts';
import { readBoot } from './worker-http-link.ts';

const turn: TurnKey = { ...key, turnId: turnRecord().id };

const refusedAs =
  (code: ErrorCode, details: Readonly<Record<string, unknown>>) =>
  (error: unknown): boolean => {
    assert.ok(isServiceError(error), String(error));
    assert.deepEqual({ code: error.code, details: error.details }, { code, details });
    return true;
  };

test('every command of a worker is asked as it was meant, and answered', async (t) => {
  const asked: unknown[] = [];
  const note =
    (name: string) =>
    async (...args: unknown[]): Promise<void> => {
      asked.push([name, ...args]);
    };
  const face = await startWorkerFace(t, {
    worker: {
      startTurn: note('startTurn'),
      cancelTurn: note('cancelTurn'),
      steerTurn: note('steerTurn'),
      approvalSettled: note('approvalSettled'),
      hibernateSession: note('hibernateSession'),
      wakeSession: note('wakeSession'),
      recoverSession: note('recoverSession'),
      eraseSession: note('eraseSession'),
    },
  });
  const link = face.link();
  await link.startTurn(turn, { onlyIfIdle: true });
  await link.startTurn(turn);
  await link.cancelTurn(turn);
  await link.steerTurn(turn, 's1', 'grüß Gott\n\u{1f600}');
  await link.approvalSettled(key, 'a1');
  await link.hibernateSession(key);
  await link.wakeSession(key);
  await link.recoverSession(key);
  await link.eraseSession(key);
  assert.deepEqual(asked, [
    ['startTurn', turn, { onlyIfIdle: true }],
    ['startTurn', turn, { onlyIfIdle: false }],
    ['cancelTurn', turn],
    ['steerTurn', turn, 's1', 'grüß Gott\n\u{1f600}'],
    ['approvalSettled', key, 'a1'],
    ['hibernateSession', key],
    ['wakeSession', key],
    ['recoverSession', key],
    ['eraseSession', key],
  ]);
  const result = await link.runCommand({ key, command: ['echo', 'hi'], timeoutMs: 1000 });
  assert.deepEqual(result, { exitCode: 0, stdout: 'echo hi', stderr: '', executionTimeMs: 1 });
  const { fleetVersion, id, slots } = await link.status();
  assert.deepEqual([id, slots.limit, fleetVersion], ['worker-0', 2, '0.0.0']);
  await link.drain();
  assert.equal(face.drains(), 1);
});

test('a refusal arrives with its code, its facts and its words', async (t) => {
  const refusal = new ServiceError('queue_full', { waiting: 3, limit: 3 }, { message: 'Three wait already.' });
  const face = await startWorkerFace(t, { worker: { startTurn: () => Promise.reject(refusal) } });
  await assert.rejects(face.link().startTurn(turn), {
    code: 'queue_full',
    details: { waiting: 3, limit: 3 },
    message: 'Three wait already.',
  });
  const broken = await startWorkerFace(t, { worker: { startTurn: () => Promise.reject(new Error('secret')) } });
  await assert.rejects(broken.link().startTurn(turn), { code: 'internal', message: 'Something went wrong inside' });
});

test('a worker that refuses connections took nothing', async (t) => {
  const face = await startWorkerFace(t);
  await face.stop();
  const unreachable = refusedAs('worker_unreachable', { worker: 'worker-0', reason: 'refused' });
  await assert.rejects(face.link().startTurn(turn), unreachable);
  await assert.rejects(face.link().readFile(key, 'a', null), unreachable);
});

test('nothing of an upload is read for a worker that refuses connections', async (t) => {
  const face = await startWorkerFace(t);
  await face.stop();
  let reads = 0;
  const content = (async function* () {
    reads += 1;
    yield Buffer.from('x');
  })();
  const write = { path: 'a', content, isExecutable: false, ifMatch: null, ifNoneMatch: false };
  await assert.rejects(face.link().writeFile(key, write), { code: 'worker_unreachable' });
  assert.equal(reads, 0);
});

test('a name that stands for no address took nothing', async (t) => {
  const face = await startWorkerFace(t);
  const link = face.link({ url: 'http://no-such-worker.invalid:7000' });
  await assert.rejects(link.startTurn(turn), { code: 'worker_unreachable' });
});

test('a connection that ends before the answer leaves it open whether the turn was taken', async (t) => {
  for (const how of ['rst', 'fin'] as const) {
    const { face, proxy } = await startCut(t, { cut: { direction: 'down', afterBytes: 0, how } });
    face.records.turns.create(turnRecord()).catch(() => undefined);
    // With a cut at nothing the proxy ends when the first byte of the answer would have passed.
    await assert.rejects(
      face.link({ url: proxy.url }).startTurn(turn),
      refusedAs('worker_lost', { worker: 'worker-0', reason: 'cut' }),
    );
  }
});

test('a worker that says nothing is given up at the deadline', async (t) => {
  const { face, proxy } = await startCut(t, { cut: { direction: 'up', afterBytes: 1, how: 'black_hole' } });
  const link = face.link({ url: proxy.url, deadlines: { startTurnMs: 200 } });
  await assert.rejects(link.startTurn(turn), refusedAs('worker_lost', { worker: 'worker-0', reason: 'timed_out' }));
});

test('a caller with another secret gets nothing done, and is not asked for its body', async (t) => {
  const face = await startWorkerFace(t);
  const link = face.link({ secret: 'a secret of some other fleet altogether' });
  await assert.rejects(
    link.startTurn(turn),
    refusedAs('worker_unreachable', { worker: 'worker-0', reason: 'credential_refused' }),
  );
  for (const path of [jsonCalls.startTurn.path, writeCalls.writeFile.path]) {
    for (const authorization of [undefined, 'Bearer x', `Bearer ${'x'.repeat(5000)}`, 'Basic eDp4']) {
      const status = await statusBeforeBody(face, path, authorization);
      assert.equal(status, 401, `${path} ${authorization}`);
    }
  }
  assert.deepEqual(face.worker.taken, []);
});

test('who means an earlier run of a worker is told of the present one', async (t) => {
  const face = await startWorkerFace(t, { boot: 'second' });
  const late = face.link({ boot: 'first' });
  const expected = refusedAs('worker_unreachable', { boot: 'second', worker: 'worker-0', reason: 'other_boot' });
  await assert.rejects(late.startTurn(turn), expected);
  await assert.rejects(late.readFile(key, 'a', null), expected);
  assert.deepEqual(face.worker.taken, []);
  assert.equal(await readBoot(face.url, new SystemClock(), 1000), 'second');
});

test('what listens at an address and is no worker of ours is not taken for one', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  const face = await startWorkerFace(t);
  await assert.rejects(face.link({ url }).startTurn(turn), { code: 'worker_lost' });
  await assert.rejects(readBoot(url, new SystemClock(), 1000), { code: 'worker_unreachable' });
});

test('a body that is not what the call takes is refused in words', async (t) => {
  const face = await startWorkerFace(t);
  const link = face.link();
  await assert.rejects(link.startTurn({ ...turn, turnId: '' }), { code: 'invalid_request' });
  await assert.rejects(link.readFile(key, '../secrets', null), { code: 'invalid_request' });
});

test('files and archives go both ways as they are', async (t) => {
  const face = await startWorkerFace(t);
  const link = face.link();
  const large = randomBytes(3_000_000);
  const path = 'ordner/ä b%2F?.bin';
  mkdirSync(join(face.files.ws, 'ordner'));
  const write = { path, isExecutable: true, ifMatch: null, ifNoneMatch: true };
  const { etag, isNew } = await link.writeFile(key, { ...write, content: inPieces(large) });
  assert.equal(isNew, true);
  const read = await link.readFile(key, path, null);
  assert.deepEqual([read.etag, read.entry.path, read.entry.isExecutable], [etag, path, true]);
  assert.ok((await bytesOf(read.content)).equals(large));
  const part = await link.readFile(key, path, { offset: 7, length: 14 });
  assert.ok((await bytesOf(part.content)).equals(large.subarray(7, 21)));
  await assert.rejects(link.writeFile(key, { ...write, content: inPieces(large) }), { code: 'precondition_failed' });

  const packed = await bytesOf(await link.readArchive(key, '', 'tar.gz'));
  assert.deepEqual(await link.writeArchive(key, 'copy', 'tar.gz', inPieces(packed)), {
    files: 1,
    bytes: large.length,
  });
  assert.ok(readFileSync(join(face.files.ws, 'copy', path)).equals(large));

  const { data } = await link.listFiles(key, { path: '', recursive: true, after: null, limit: 100 });
  assert.ok(data.some((entry) => entry.path === `copy/${path}`));
  assert.ok((await link.diff(key, { of: 'session' })).length > 0);
  await link.deleteFile(key, path, etag);
  await assert.rejects(link.readFile(key, path, null), { code: 'file_not_found' });
});

test('an upload that breaks off at its source fails with that error and leaves nothing', async (t) => {
  const face = await startWorkerFace(t);
  const broken = (async function* () {
    yield Buffer.alloc(200_000);
    throw new ServiceError('payload_too_large', { limit_bytes: 1 });
  })();
  const write = { path: 'a.bin', content: broken, isExecutable: false, ifMatch: null, ifNoneMatch: false };
  await assert.rejects(face.link().writeFile(key, write), { code: 'payload_too_large' });
  await noUploadIsLeft(face);
});

test('an upload whose connection is cut is unclear to its sender and leaves nothing', async (t) => {
  for (const how of ['rst', 'fin'] as const) {
    const { face, proxy } = await startCut(t, { cut: { direction: 'up', afterBytes: 150_000, how } });
    const content = inPieces(Buffer.alloc(2_000_000));
    const write = { path: 'a.bin', content, isExecutable: false, ifMatch: null, ifNoneMatch: false };
    await assert.rejects(face.link({ url: proxy.url }).writeFile(key, write), { code: 'worker_lost' });
    await noUploadIsLeft(face);
  }
});

test('a download that is cut ends in an error, never as if it were whole', async (t) => {
  const { face, proxy } = await startCut(t, { cut: { direction: 'down', afterBytes: 100_000, how: 'fin' } });
  writeFileSync(join(face.files.ws, 'large'), Buffer.alloc(2_000_000));
  const { content } = await face.link({ url: proxy.url }).readFile(key, 'large', null);
  await assert.rejects(bytesOf(content), refusedAs('worker_lost', { worker: 'worker-0', reason: 'cut' }));
});

test('a worker that stops sending in the middle of a file is given up', async (t) => {
  const { face, proxy } = await startCut(t, { cut: { direction: 'down', afterBytes: 100_000, how: 'black_hole' } });
  writeFileSync(join(face.files.ws, 'large'), Buffer.alloc(2_000_000));
  const { content } = await face.link({ url: proxy.url, deadlines: { stallMs: 200 } }).readFile(key, 'large', null);
  await assert.rejects(bytesOf(content), { code: 'worker_lost' });
});

test('a reader that lets go, begun or not, frees its connection', async (t) => {
  const face = await startWorkerFace(t);
  writeFileSync(join(face.files.ws, 'large'), Buffer.alloc(20_000_000));
  const link = face.link();
  for (const begin of [false, true]) {
    const { content } = await link.readFile(key, 'large', null);
    const reader = content[Symbol.asyncIterator]();
    if (begin) await reader.next();
    await reader.return?.();
  }
  await until(() => face.server.connections() === 0);
});

test('a reader that takes nothing holds the worker back, and is cut in time', async (t) => {
  const face = await startWorkerFace(t, { limits: { stallMs: 300 } });
  writeFileSync(join(face.files.ws, 'large'), Buffer.alloc(60_000_000));
  const { content } = await face.link().readFile(key, 'large', null);
  const reader = content[Symbol.asyncIterator]();
  await reader.next();
  await until(() => face.server.connections() === 0);
  await assert.rejects(bytesOf({ [Symbol.asyncIterator]: () => reader }), { code: 'worker_lost' });
});

test('a worker that refuses an upload early is heard before its end', async (t) => {
  const face = await startWorkerFace(t, { limits: { fileBytes: 100_000 } });
  let hasEnded = false;
  const endless = (async function* () {
    try {
      for (;;) {
        yield Buffer.alloc(64_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      hasEnded = true;
    }
  })();
  const write = { path: 'a', content: endless, isExecutable: false, ifMatch: null, ifNoneMatch: false };
  await assert.rejects(face.link().writeFile(key, write), { code: 'payload_too_large' });
  await until(() => hasEnded);
});

test('a hundred calls at once are each answered with their own', async (t) => {
  const face = await startWorkerFace(t, {
    worker: {
      runCommand: async ({ command }) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        return { exitCode: 0, stdout: command.join(), stderr: '', executionTimeMs: 1 };
      },
    },
  });
  const link = face.link();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) => link.runCommand({ key, command: [`${index}`], timeoutMs: 1000 })),
  );
  assert.deepEqual(
    answers.map(({ stdout }) => stdout),
    Array.from({ length: 100 }, (_, index) => `${index}`),
  );
});

test('after its end a link takes nothing, and retiring lets what runs come to its end', async (t) => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const face = await startWorkerFace(t, {
    worker: {
      wakeSession: () => {
        entered.resolve();
        return gate.promise;
      },
    },
  });
  const link = face.link();
  const waking = link.wakeSession(key);
  await entered.promise;
  const retired = link.retire();
  await assert.rejects(link.startTurn(turn), { code: 'worker_unreachable' });
  gate.resolve();
  await waking;
  await retired;
});

test('the boot can be asked for by anybody, and nothing else can', async (t) => {
  const face = await startWorkerFace(t);
  const answer = await fetch(face.url + bootPath);
  assert.deepEqual([answer.status, answer.headers.get(bootHeader)], [204, face.boot]);
  const refused = await fetch(face.url + jsonCalls.status.path, { method: 'POST', body: '{}' });
  assert.deepEqual([refused.status, refused.headers.get(bootHeader)], [401, face.boot]);
});

async function startCut(t: TestContext, plan: ConnectionPlan): Promise<{ face: RunningWorkerFace; proxy: FaultProxy }> {
  const face = await startWorkerFace(t);
  const port = Number(new URL(face.url).port);
  const proxy = await FaultProxy.start({ target: () => ({ host: '127.0.0.1', port }), plan: () => plan });
  t.after(() => proxy.close());
  return { face, proxy };
}

async function noUploadIsLeft(face: RunningWorkerFace): Promise<void> {
  await until(() => readdirSync(face.files.spool).length === 0);
  assert.deepEqual(readdirSync(face.files.ws), []);
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

/** The test's own deadline ends it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** How a request is answered whose head says that a body comes, and whose body never does. */
function statusBeforeBody(face: RunningWorkerFace, path: string, authorization: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(face.url).port), '127.0.0.1');
    const credential = authorization === undefined ? '' : `authorization: ${authorization}\r\n`;
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\n${credential}content-type: application/json\r\ncontent-length: 1000\r\n\r\n`,
    );
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(data.toString())?.[1]));
    });
  });
}
