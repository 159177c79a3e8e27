// A Redis that is asked by TLS, with certificates of a private authority as managed services have them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { freePortOfLoopback, isRedisInstalled, missingRedis, RedisServer } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';

const stores = redisStores();
const skip = skipReason();
const dir = mkdtempSync(path.join(tmpdir(), 'fleet-redis-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));

function skipReason(): string | false {
  if (!isRedisInstalled()) return missingRedis;
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs openssl (Debian: apt-get install openssl)';
  }
}

function file(name: string): string {
  return path.join(dir, name);
}

function openssl(...words: readonly string[]): void {
  execFileSync('openssl', words, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const;

function makeAuthority(name: string): void {
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  );
}

/** `names`: as openssl has them; null names none. */
function makeCertificate(name: string, authority: string, names: string | null): void {
  openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=10.20.30.40');
  const extensions = file(`${name}.ext`);
  writeFileSync(extensions, `basicConstraints=CA:FALSE\n${names === null ? '' : `subjectAltName=${names}\n`}`);
  const signing = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial', '-extfile', extensions];
  openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-days', '2', '-out', `${name}.pem`);
}

async function serverWith(certificate: string): Promise<{ server: RedisServer; port: number }> {
  const port = await freePortOfLoopback();
  const server = await RedisServer.start('none', [
    ...['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', file('authority.pem')],
    ...['--tls-cert-file', file(`${certificate}.pem`), '--tls-key-file', file(`${certificate}.key`)],
  ]);
  assert.ok(server !== null);
  return { server, port };
}

test('a server of a private authority is trusted by its file alone, and only for what its certificate names', {
  skip,
}, async (t) => {
  makeAuthority('authority');
  makeAuthority('stranger');
  writeFileSync(file('empty.pem'), '\n');
  makeCertificate('nameless', 'authority', null);
  makeCertificate('of-loopback', 'authority', 'IP:127.0.0.1,DNS:localhost');
  makeCertificate('of-another', 'authority', 'IP:10.0.0.9,DNS:redis.internal');
  const attempt = async (certificate: string, host: string, caFile: string | null): Promise<string> => {
    const { port, server } = await serverWith(certificate);
    try {
      const url = `rediss://:${server.password}@${host}:${port}`;
      const connection = await stores.connect({ url, openTimeoutMs: 1_000, caFile });
      await connection.run((client) => client.set('a', 'b'));
      await connection.close();
      return 'trusted';
    } catch (error) {
      return String((error as { readonly details?: { readonly reason?: unknown } }).details?.reason);
    } finally {
      await server.stop();
    }
  };
  const authority = file('authority.pem');
  const cases: readonly (readonly [certificate: string, host: string, caFile: string | null, expected: string])[] = [
    // A managed service: it names no address at which it is reached.
    ['nameless', '127.0.0.1', authority, 'trusted'],
    ['of-loopback', '127.0.0.1', authority, 'trusted'],
    ['of-loopback', 'localhost', authority, 'trusted'],
    // A name is compared, and an address where any is named.
    ['nameless', 'localhost', authority, 'not_trusted'],
    ['of-another', '127.0.0.1', authority, 'not_trusted'],
    ['of-another', 'localhost', authority, 'not_trusted'],
    // Of another authority, or of one that the system does not know.
    ['nameless', '127.0.0.1', file('stranger.pem'), 'not_trusted'],
    ['of-loopback', '127.0.0.1', null, 'not_trusted'],
    ['of-loopback', '127.0.0.1', file('missing.pem'), 'authority_unreadable'],
    // An empty one would stand for every authority that the system knows.
    ['of-loopback', '127.0.0.1', file('empty.pem'), 'authority_unreadable'],
  ];
  for (const [certificate, host, caFile, expected] of cases) {
    await t.test(
      `${certificate} at ${host} by ${caFile === null ? 'the system' : path.basename(caFile)}: ${expected}`,
      async () => {
        assert.equal(await attempt(certificate, host, caFile), expected);
      },
    );
  }
});
