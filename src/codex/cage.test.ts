import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CageSpec, cageArguments, cagedEnvironment, readOnlyPathProblem } from './cage.ts';

const spec: CageSpec = {
  vendorDir: '/app/vendor',
  nodePath: '/app/node',
  kitDir: '/data/kit',
  slotDir: '/data/slots/1',
  systemDirs: [
    { path: '/bin', linkTarget: 'usr/bin' },
    { path: '/lib', linkTarget: null },
  ],
  readOnlyPaths: ['/opt/tools'],
  network: 'none',
  infoFd: 7,
};

/** What each bind makes visible, as "option source target". */
function binds(args: readonly string[]): string[] {
  return args.flatMap((arg, at) => (/^--(ro-)?bind(-try)?$/.test(arg) ? [args.slice(at, at + 3).join(' ')] : []));
}

test('the slot and its tmp are the only places bound for writing', () => {
  assert.deepEqual(
    binds(cageArguments(spec)).filter((bind) => bind.startsWith('--bind')),
    ['--bind /data/slots/1 /s', '--bind /data/slots/1/tmp /tmp'],
  );
});

test('the system is laid out as on the host, and what the operator adds is read-only', () => {
  const args = cageArguments(spec);
  const joined = args.join(' ');
  assert.ok(joined.includes('--symlink usr/bin /bin'));
  assert.ok(binds(args).includes('--ro-bind /lib /lib'));
  assert.ok(binds(args).includes('--ro-bind /opt/tools /opt/tools'));
  assert.equal(args.at(-1), '--');
});

test('every namespace is its own; the network only unless the host’s is asked for, with its names then', () => {
  const own = cageArguments(spec);
  const host = cageArguments({ ...spec, network: 'host' });
  for (const option of ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--as-pid-1']) {
    assert.ok(own.includes(option) && host.includes(option));
  }
  assert.ok(own.includes('--unshare-net') && !host.includes('--unshare-net'));
  assert.ok(binds(own).includes('--ro-bind /data/kit/resolv.conf /etc/resolv.conf'));
  assert.ok(binds(host).includes('--ro-bind-try /etc/resolv.conf /etc/resolv.conf'));
});

test('the environment is cleared before it is set, and is the same for every cage', () => {
  const args = cageArguments(spec);
  const set = args.flatMap((arg, at) => (arg === '--setenv' ? [[args[at + 1], args[at + 2]]] : []));
  assert.ok(args.indexOf('--clearenv') < args.indexOf('--setenv'));
  assert.deepEqual(Object.fromEntries(set), cagedEnvironment);
  assert.deepEqual(Object.keys(cagedEnvironment), [
    'CODEX_HOME',
    'HOME',
    'LANG',
    'LOGNAME',
    'PATH',
    'SHELL',
    'TMPDIR',
    'USER',
  ]);
});

test('a path that would hide or open a part of the cage is named', () => {
  for (const fine of ['/opt/tools', '/home/ci/toolchain', '/etc/gitconfig', '/var/lib/tools', '/srv']) {
    assert.equal(readOnlyPathProblem(fine), null);
  }
  for (const bad of ['/', '/etc', '/opt', '/opt/codex/bin', '/proc/1', '/s', '/tmp/x', '/a/../s', 'x', '/x/', '/var']) {
    assert.notEqual(readOnlyPathProblem(bad), null, bad);
  }
});
