import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { HttpLimits } from '../http/server.ts';
import type { GatewayLimits } from './gateway-parts.ts';
import {
  type GatewayFixture,
  type Json,
  jsonOf,
  otherTenantToken,
  startGateway,
  token,
} from '../testing/gateway-fixture.ts';
import { type LiveWorkspace, openLiveWorkspace } from '../testing/live-workspace.ts';

type Stage = LiveWorkspace & {
  readonly gateway: GatewayFixture;
  /** Below the session, with the path exactly as given. */
  readonly ask: (method: string, path: string, options?: AskOptions) => Promise<Answer>;
};
type AskOptions = { readonly headers?: Record<string, string>; readonly body?: string | Buffer };
type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
};

async function openStage(
  t: TestContext,
  limits: Partial<GatewayLimits> = {},
  httpLimits: Partial<HttpLimits> = {},
): Promise<Stage> {
  const workspace = await openLiveWorkspace(t);
  const gateway = await startGateway(t, { workspace: workspace.link, limits, httpLimits });
  assert.equal((await gateway.post('/api/v1/sessions', { id: 'notes' })).status, 201);
  const ask = (method: string, path: string, { headers = {}, body }: AskOptions = {}): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Not fetch: it would tidy up the path.
    const request = httpRequest(
      {
        port: gateway.port,
        method,
        path: `/api/v1/sessions/notes${path}`,
        headers: { authorization: `Bearer ${token}`, ...headers },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
    return promise;
  };
  return { ...workspace, gateway, ask };
}

const etagOf = (content: string | Buffer): string => `"${createHash('sha256').update(content).digest('hex')}"`;
const codeOf = (answer: Answer): unknown => (JSON.parse(answer.body.toString()) as Json)['code'];

test('a file that was written is read back, octet for octet, and is never shown as a page', async (t) => {
  const { ask, ws } = await openStage(t);
  const content = Buffer.from([0, 255, 10, 13, 0x3c, 0x73, 0x63]);
  const written = await ask('PUT', '/files/site/index.html', {
    body: content,
    headers: { 'content-type': 'text/html' },
  });
  assert.deepEqual([written.status, written.headers['etag'], written.body.length], [201, etagOf(content), 0]);
  const read = await ask('GET', '/files/site/index.html');
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, content);
  const { etag, 'content-type': type, 'content-disposition': disposition, 'content-length': length } = read.headers;
  assert.deepEqual(
    { etag, type, disposition, length, nosniff: read.headers['x-content-type-options'] },
    {
      etag: etagOf(content),
      type: 'application/octet-stream',
      disposition: "attachment; filename*=UTF-8''index.html",
      length: '7',
      nosniff: 'nosniff',
    },
  );
  assert.ok(Date.parse(String(read.headers['last-modified'])) > 0);
  const again = await ask('PUT', '/files/site/index.html?executable=true', { body: 'x' });
  assert.deepEqual([again.status, again.headers['etag']], [204, etagOf('x')]);
  assert.equal(statSync(join(ws, 'site/index.html')).mode & 0o777, 0o755);
  const head = await ask('HEAD', '/files/site/index.html');
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '1', 0]);
});

test('a body of JSON is octets as well, also one that is no JSON, and an empty one is an empty file', async (t) => {
  const { ask, ws } = await openStage(t);
  const headers = { 'content-type': 'application/json' };
  assert.equal((await ask('PUT', '/files/a.json', { body: '{"broken": ', headers })).status, 201);
  assert.equal((await ask('PUT', '/files/empty')).status, 201);
  assert.equal(readFileSync(join(ws, 'a.json'), 'utf8'), '{"broken": ');
  assert.equal(readFileSync(join(ws, 'empty'), 'utf8'), '');
});

test('octets are taken by the routes for them alone', async (t) => {
  const { gateway } = await openStage(t);
  const headers = { 'content-type': 'application/octet-stream' };
  assert.equal((await gateway.post('/api/v1/exec', '{"prompt":"x"}', headers)).status, 415);
});

const paths: readonly (readonly [given: string, meant: string | null])[] = [
  ['a', 'a'],
  ['a/b/c', 'a/b/c'],
  ['a%2Fb', 'a/b'],
  ['%61%20b', 'a b'],
  ['100%25', '100%'],
  // Decoded once: what is left is a name, not an escape.
  ['%252e%252e%252fx', '%2e%2e%2fx'],
  ['%2525', '%25'],
  ['a;b=c', 'a;b=c'],
  ['a+b&c', 'a+b&c'],
  ['%3Fquery%23part', '?query#part'],
  ['.git/config', '.git/config'],
  ['.codex/config.toml', '.codex/config.toml'],
  ['...', '...'],
  ['a..b', 'a..b'],
  ['%C3%A9%F0%9F%8E%88', 'é🎈'],
  ['back%5Cslash', 'back\\slash'],
  ['new%0Aline', 'new\nline'],
  ['n'.repeat(255), 'n'.repeat(255)],
  ['..', null],
  ['../x', null],
  ['a/../../x', null],
  ['%2e%2e/x', null],
  ['%2E%2E%2Fx', null],
  ['..%2fx', null],
  ['a/%2e%2e/%2e%2e/x', null],
  ['./a', null],
  ['a/./b', null],
  ['%2fetc%2fpasswd', null],
  ['/etc/passwd', null],
  ['a//b', null],
  ['a/', null],
  ['', null],
  ['a%00b', null],
  ['%C0%AE%C0%AE/x', null],
  ['%ED%A0%80', null],
  ['%FF', null],
  ['%', null],
  ['%zz', null],
  ['n'.repeat(256), null],
  ['%C3%A9'.repeat(128), null],
  [Array.from({ length: 1366 }, () => 'ab').join('/'), null],
];

test('a path is decoded once, and one that is not inside the workspace is refused in words', async (t) => {
  const { ask, ws, outside } = await openStage(t);
  writeFileSync(join(outside, 'x'), 'secret');
  for (const [given, meant] of paths) {
    const read = await ask('GET', `/files/${given}`);
    if (meant === null) {
      assert.deepEqual([read.status, codeOf(read)], [400, 'invalid_request'], given);
      const written = await ask('PUT', `/files/${given}`, { body: 'w' });
      assert.deepEqual([written.status, codeOf(written)], [400, 'invalid_request'], given);
      continue;
    }
    assert.deepEqual([read.status, codeOf(read)], [404, 'file_not_found'], given);
    assert.equal((await ask('PUT', `/files/${given}`, { body: meant })).status, 201, given);
    assert.equal(readFileSync(join(ws, meant), 'utf8'), meant);
    assert.equal((await ask('GET', `/files/${given}`)).body.toString(), meant);
    assert.equal((await ask('DELETE', `/files/${given.split(/\/|%2F/)[0]}`)).status, 204, given);
  }
  assert.deepEqual(readdirSync(ws), []);
  assert.deepEqual(readdirSync(outside), ['x']);
});

test('the rule that a path breaks is named', async (t) => {
  const { ask } = await openStage(t);
  const answer = await ask('GET', '/files/a/../b');
  assert.deepEqual((JSON.parse(answer.body.toString()) as Json)['errors'], [
    { field: 'path', message: 'must not have "." or ".." as a name' },
  ]);
});

const whole = '0123456789';
const ranges: readonly (readonly [range: string, status: number, body: string, contentRange?: string])[] = [
  ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
  ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
  ['bytes=-3', 206, '789', 'bytes 7-9/10'],
  ['bytes=-99', 206, whole, 'bytes 0-9/10'],
  ['bytes=9-99', 206, '9', 'bytes 9-9/10'],
  ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
  ['bytes=10-', 416, '', 'bytes */10'],
  ['bytes=99-100', 416, '', 'bytes */10'],
  ['bytes=-0', 416, '', 'bytes */10'],
  ['bytes=5-2', 200, whole],
  ['bytes=0-1,3-4', 200, whole],
  ['bytes=', 200, whole],
  ['bytes=-', 200, whole],
  ['lines=0-3', 200, whole],
  ['bytes=0x1-3', 200, whole],
  ['bytes=99999999999999999999-', 200, whole],
];

test('a range is what was asked for, and what is none is the whole file', async (t) => {
  const { ask, ws } = await openStage(t);
  writeFileSync(join(ws, 'f'), whole);
  for (const [range, status, body, contentRange] of ranges) {
    const answer = await ask('GET', '/files/f', { headers: { range } });
    assert.equal(answer.status, status, range);
    assert.equal(answer.headers['content-range'], contentRange, range);
    if (status === 416) assert.equal(codeOf(answer), 'range_not_satisfiable');
    else assert.equal(answer.body.toString(), body, range);
  }
  writeFileSync(join(ws, 'empty'), '');
  assert.equal((await ask('GET', '/files/empty', { headers: { range: 'bytes=0-' } })).status, 416);
});

test('If-Range and If-None-Match ask for what the client lacks', async (t) => {
  const { ask, ws } = await openStage(t);
  writeFileSync(join(ws, 'f'), whole);
  const statusOf = async (headers: Record<string, string>): Promise<number> =>
    (await ask('GET', '/files/f', { headers })).status;
  const etag = etagOf(whole);
  assert.deepEqual(
    [
      await statusOf({ range: 'bytes=0-1', 'if-range': etag }),
      await statusOf({ range: 'bytes=0-1', 'if-range': '"other"' }),
      await statusOf({ 'if-none-match': etag }),
      await statusOf({ 'if-none-match': `"a", W/${etag}` }),
      await statusOf({ 'if-none-match': '*' }),
      await statusOf({ 'if-none-match': '"other"' }),
    ],
    [206, 200, 304, 304, 304, 200],
  );
});

test('of many who write over the same version one wins, and the others are told', async (t) => {
  const { ask, ws } = await openStage(t);
  writeFileSync(join(ws, 'f'), 'first');
  const headers = { 'if-match': etagOf('first') };
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => ask('PUT', '/files/f', { headers, body: `writer ${index}` })),
  );
  const winners = answers.flatMap((answer, index) => (answer.status === 204 ? [index] : []));
  assert.equal(winners.length, 1);
  assert.equal(answers.filter((answer) => answer.status === 412).length, 19);
  assert.equal(readFileSync(join(ws, 'f'), 'utf8'), `writer ${winners[0]}`);

  const makers = await Promise.all(
    Array.from({ length: 20 }, () => ask('PUT', '/files/new', { headers: { 'if-none-match': '*' }, body: 'x' })),
  );
  assert.deepEqual(
    makers.map((answer) => answer.status).toSorted((a, b) => a - b),
    [201, ...Array.from({ length: 19 }, () => 412)],
  );
});

test('conditions that do not hold change nothing, and ones that cannot be read are refused', async (t) => {
  const { ask, ws, spool } = await openStage(t);
  writeFileSync(join(ws, 'f'), 'first');
  mkdirSync(join(ws, 'dir'));
  const table: readonly (readonly [method: string, path: string, headers: Record<string, string>, status: number])[] = [
    ['PUT', 'f', { 'if-match': '"0"' }, 412],
    ['PUT', 'f', { 'if-match': `W/${etagOf('first')}` }, 412],
    ['PUT', 'f', { 'if-none-match': '*' }, 412],
    ['PUT', 'absent', { 'if-match': '*' }, 412],
    ['PUT', 'absent/deep', { 'if-match': '*' }, 412],
    ['PUT', 'f', { 'if-match': '"a", "b"' }, 400],
    ['PUT', 'f', { 'if-none-match': '"a"' }, 400],
    ['PUT', 'dir', {}, 409],
    ['PUT', 'f/below', {}, 409],
    ['PUT', 'f', { 'content-encoding': 'gzip' }, 415],
    ['DELETE', 'f', { 'if-match': '"0"' }, 412],
    ['DELETE', 'dir', { 'if-match': '*' }, 412],
    ['DELETE', 'absent', {}, 404],
  ];
  for (const [method, path, headers, status] of table) {
    const body = method === 'PUT' ? 'second' : undefined;
    const answer = await ask(method, `/files/${path}`, { headers, ...(body === undefined ? {} : { body }) });
    const what = `${method} ${path} ${JSON.stringify(headers)}`;
    assert.equal(answer.status, status, what);
    if (status === 412) assert.equal(codeOf(answer), 'precondition_failed', what);
    if (status === 409) assert.equal(codeOf(answer), 'file_exists', what);
  }
  assert.deepEqual(readdirSync(ws, { recursive: true }), ['dir', 'f']);
  assert.equal(readFileSync(join(ws, 'f'), 'utf8'), 'first');
  assert.deepEqual(readdirSync(spool), []);
  assert.equal((await ask('DELETE', '/files/f', { headers: { 'if-match': etagOf('first') } })).status, 204);
});

test('links are listed and can be taken away, and lead nowhere', async (t) => {
  const { ask, ws, outside } = await openStage(t);
  writeFileSync(join(outside, 'secret'), 'secret');
  symlinkSync(join(outside, 'secret'), join(ws, 'link'));
  symlinkSync(outside, join(ws, 'dir'));
  assert.equal((await ask('GET', '/files/link')).status, 404);
  assert.equal((await ask('GET', '/files/dir/secret')).status, 404);
  assert.equal((await ask('GET', '/files?path=dir')).status, 404);
  assert.equal((await ask('PUT', '/files/link', { body: 'x' })).status, 409);
  assert.equal((await ask('PUT', '/files/dir/secret', { body: 'x' })).status, 409);
  assert.equal((await ask('PUT', '/files/dir/more/secret', { body: 'x' })).status, 409);
  assert.equal((await ask('DELETE', '/files/dir/secret')).status, 404);
  const list = JSON.parse((await ask('GET', '/files')).body.toString()) as { data: Json[] };
  assert.deepEqual(
    list.data.map(({ path, kind, target }) => [path, kind, target]),
    [
      ['dir', 'symlink', outside],
      ['link', 'symlink', join(outside, 'secret')],
    ],
  );
  assert.equal((await ask('DELETE', '/files/dir')).status, 204);
  assert.equal((await ask('DELETE', '/files/link')).status, 204);
  assert.deepEqual(readdirSync(ws), []);
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
});

test('pages of a listing have every path once, in byte order', async (t) => {
  const { ask, ws } = await openStage(t);
  const files = ['a', 'a-b', 'a.txt', 'b/c/d', 'b/c-d', 'b.x', 'é', '\uFFFC', '🎈', 'Z', 'b/c/e'];
  for (const file of files) {
    mkdirSync(join(ws, file, '..'), { recursive: true });
    writeFileSync(join(ws, file), '');
  }
  const expected = [...files, 'b', 'b/c'].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const limit of [1, 2, 5, 1000]) {
    const found: unknown[] = [];
    let after = '';
    for (let hasMore = true; hasMore; ) {
      const answer = await ask('GET', `/files?recursive=true&limit=${limit}${after}`);
      const page = JSON.parse(answer.body.toString()) as { data: Json[]; has_more: boolean; last_id: string };
      assert.ok(page.data.length <= limit);
      found.push(...page.data.map(({ path }) => path));
      hasMore = page.has_more;
      after = `&after=${encodeURIComponent(page.last_id)}`;
    }
    assert.deepEqual(found, expected, `limit ${limit}`);
  }
  const flat = JSON.parse((await ask('GET', '/files?path=b')).body.toString()) as { data: Json[] };
  assert.deepEqual(
    flat.data.map(({ path, kind }) => [path, kind]),
    [
      ['b/c', 'directory'],
      ['b/c-d', 'file'],
    ],
  );
});

test('what is too large is refused, said or not, and an upload that ends early leaves nothing', async (t) => {
  const { ask, ws, spool, gateway } = await openStage(t, { fileBytes: 1000 });
  const said = await ask('PUT', '/files/f', { body: Buffer.alloc(1001) });
  assert.deepEqual([said.status, codeOf(said)], [413, 'payload_too_large']);
  const unsaid = await ask('PUT', '/files/f', {
    body: Buffer.alloc(1001),
    headers: { 'transfer-encoding': 'chunked' },
  });
  assert.deepEqual([unsaid.status, codeOf(unsaid)], [413, 'payload_too_large']);
  assert.equal((await ask('PUT', '/files/just', { body: Buffer.alloc(1000) })).status, 201);

  const socket = connect(gateway.port, '127.0.0.1');
  socket.write(
    `PUT /api/v1/sessions/notes/files/cut HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-length: 900\r\n\r\nhalf`,
  );
  while (readdirSync(spool).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  socket.destroy();
  while (readdirSync(spool).length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(readdirSync(ws), ['just']);
});

test('a body is asked for only once the request was found worth it', async (t) => {
  const { gateway, ws } = await openStage(t);
  const converse = async (path: string, authorization: string): Promise<string> => {
    const socket = connect(gateway.port, '127.0.0.1');
    let said = '';
    const { promise, resolve } = Promise.withResolvers<string>();
    socket.on('data', (piece) => {
      said += piece.toString();
      if (said.startsWith('HTTP/1.1 100') && !said.includes('HTTP/1.1 201')) socket.write('hello');
      if (/HTTP\/1\.1 [2-5]/.test(said)) socket.end();
    });
    socket.on('close', () => resolve(said));
    socket.write(
      `PUT /api/v1/sessions/notes/files/${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n`,
    );
    return promise;
  };
  assert.match(await converse('f', 'Bearer wrong'), /^HTTP\/1\.1 401/);
  assert.match(await converse('../f', `Bearer ${token}`), /^HTTP\/1\.1 400/);
  assert.match(await converse('f', `Bearer ${token}`), /^HTTP\/1\.1 100[^]*HTTP\/1\.1 201/);
  assert.equal(readFileSync(join(ws, 'f'), 'utf8'), 'hello');
});

test('an upload has longer than other requests, as long as it goes on', async (t) => {
  const limits = { stallMs: 400, uploadMs: 1500 };
  const { gateway, ws, spool } = await openStage(t, limits, { headersTimeoutMs: 100, requestTimeoutMs: 100 });
  const upload = async (pieces: number, pauseMs: number): Promise<string> => {
    const socket = connect(gateway.port, '127.0.0.1');
    const { promise, resolve } = Promise.withResolvers<string>();
    let said = '';
    socket.on('data', (piece) => {
      said += piece.toString();
      if (said.startsWith('HTTP/1.1 201')) socket.end();
    });
    socket.on('close', () => resolve(said.split(' ')[1] ?? ''));
    socket.on('error', () => undefined);
    const head = `PUT /api/v1/sessions/notes/files/slow HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n`;
    socket.write(`${head}content-length: 5\r\n\r\n`);
    for (let sent = 0; sent < pieces; sent += 1) {
      await new Promise((next) => setTimeout(next, pauseMs));
      socket.write('x');
    }
    return promise;
  };
  assert.deepEqual(await Promise.all([upload(3, 10), upload(4, 380)]), ['408', '408']);
  assert.deepEqual([readdirSync(ws), readdirSync(spool)], [[], []]);
  assert.equal(await upload(5, 120), '201');
  assert.equal(readFileSync(join(ws, 'slow'), 'utf8'), 'xxxxx');
});

test('another tenant has no such session, whatever is asked of it', async (t) => {
  const { ask, ws } = await openStage(t);
  writeFileSync(join(ws, 'f'), 'x');
  const headers = { authorization: `Bearer ${otherTenantToken}` };
  for (const [method, path] of [
    ['GET', '/files'],
    ['GET', '/files/f'],
    ['PUT', '/files/f'],
    ['DELETE', '/files/f'],
    ['GET', '/archive'],
    ['PUT', '/archive'],
    ['GET', '/diff'],
  ] as const) {
    assert.equal(codeOf(await ask(method, path, { headers })), 'session_not_found', `${method} ${path}`);
  }
  assert.ok(existsSync(join(ws, 'f')));
});

test('a method that files do not know is told from a path that is none', async (t) => {
  const { ask } = await openStage(t);
  const answer = await ask('PATCH', '/files/a/b', { headers: { 'content-type': 'application/json' }, body: '{}' });
  assert.deepEqual([answer.status, answer.headers['allow']], [405, 'DELETE, GET, HEAD, PUT']);
});

test('archives go up and down, of the whole or of a directory', async (t) => {
  const { ask, ws } = await openStage(t);
  mkdirSync(join(ws, 'a/b'), { recursive: true });
  writeFileSync(join(ws, 'a/b/f'), 'content');
  for (const format of ['tar.gz', 'tar.zst']) {
    const down = await ask('GET', `/archive?format=${format}&path=a`);
    assert.equal(down.status, 200);
    const up = await ask('PUT', `/archive?format=${format}&path=copy/${format}`, { body: down.body });
    assert.deepEqual([up.status, JSON.parse(up.body.toString())], [200, { files: 1, bytes: 7 }]);
    assert.equal(readFileSync(join(ws, 'copy', format, 'b/f'), 'utf8'), 'content');
  }
  const refused = await ask('PUT', '/archive', { body: 'not an archive' });
  assert.deepEqual([refused.status, codeOf(refused)], [422, 'archive_refused']);
  assert.equal((await ask('GET', '/archive?path=absent')).status, 404);
});

test('a diff is a list, or one patch', async (t) => {
  const { ask, ws, gateway } = await openStage(t);
  writeFileSync(join(ws, 'new'), 'one\ntwo\n');
  writeFileSync(join(ws, 'picture'), Buffer.from([0, 1, 2]));
  const patch = 'diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+one\n+two\n';
  assert.deepEqual(await jsonOf(await gateway.get('/api/v1/sessions/notes/diff')), {
    object: 'list',
    data: [
      { path: 'new', status: 'added', binary: false, patch, additions: 2, deletions: 0 },
      { path: 'picture', status: 'added', binary: true, patch: null, additions: 0, deletions: 0 },
    ],
    first_id: 'new',
    last_id: 'picture',
    has_more: false,
  });
  const text = await ask('GET', '/diff?since=session', { headers: { accept: 'text/x-diff' } });
  assert.equal(text.headers['content-type'], 'text/x-diff; charset=utf-8');
  assert.equal(text.body.toString(), `${patch}# "picture" was added; it is binary, or too large to be shown.\n`);
  assert.equal((await ask('GET', '/diff?since=yesterday')).status, 400);
  assert.equal((await ask('GET', '/diff?since=019a0000-0000-7000-8000-000000000000')).status, 404);
});
