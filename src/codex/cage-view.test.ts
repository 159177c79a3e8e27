import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { homedir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { AgentLab, type LabAgent } from '../testing/agent-lab.ts';

// What the agent can reach when Codex's own sandbox is off: the cage alone holds it.
let lab: AgentLab;
let agent: LabAgent;
before(async () => {
  // Said where the worker itself would have it, before anything is started.
  process.env['OPENAI_API_KEY'] = 'sk-never-seen-inside';
  lab = await AgentLab.open();
  agent = await lab.start();
});
after(async () => {
  delete process.env['OPENAI_API_KEY'];
  await lab.close();
});

async function inside(script: string): Promise<string> {
  const { stdout } = await agent.calls.commandExec({
    command: ['bash', '-c', script],
    cwd: agent.paths.ws,
    timeoutMs: 20_000,
    sandboxPolicy: { type: 'dangerFullAccess' },
  });
  return stdout;
}

test('nothing of the host is there but its system directories', async () => {
  const other = await lab.start();
  const outside = [homedir(), '/root', '/home', process.cwd(), lab.root, other.slotDir, agent.slotDir, lab.modelSocket];
  const listing = await inside(`for path in ${outside.join(' ')} ''; do ls -d "$path"/* 2>/dev/null; done`);
  const system = ['/bin', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/proc', '/sbin', '/usr'];
  const allowed = new Set([...system, '/opt', '/s', '/tmp', '/var']);
  assert.deepEqual(
    listing.split('\n').filter((line) => line !== '' && !allowed.has(line)),
    [],
  );
  assert.equal(await inside('ls /s; ls /opt; id -un; pwd'), 'home\ntmp\nws\ncodex\nfleet\ncodex\n/s/ws\n');
  await other.kill();
});

test('no process holds anything of the worker: not its environment, not its open files', async () => {
  const environments = await inside('cat /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"');
  assert.match(environments, /CODEX_HOME=\/s\/home/);
  assert.doesNotMatch(environments, /sk-never-seen-inside|npm_|NODE_/);
  const files = await inside('ls -l /proc/[0-9]*/fd 2>/dev/null | grep -o -- "-> /.*" | sort -u');
  const foreign = files.split('\n').filter((line) => line !== '' && !/^-> \/(dev\/null|s\/home\/|proc\/)/.test(line));
  assert.deepEqual(foreign, []);
});

test('the host cannot be reached over the network, the model can', async () => {
  const host = net.createServer((socket) => socket.end());
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  const { port } = host.address() as net.AddressInfo;
  try {
    const connect = (to: number): string =>
      `(exec 9<>/dev/tcp/127.0.0.1/${to}) 2>/dev/null && echo open || echo closed`;
    assert.equal(await inside(connect(port)), 'closed\n');
    const ask = `exec 9<>/dev/tcp/127.0.0.1/7070; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&9; head -1 <&9`;
    assert.match(await inside(ask), /^HTTP\/1\.1 404/);
    assert.equal(await inside('cat /proc/net/dev | tail -n +3 | grep -vc lo:'), '0\n');
  } finally {
    host.close();
  }
});

test('nothing can be written but the slot, and no setting of the kernel', async () => {
  const settings = 'find /proc -path "/proc/[0-9]*" -prune -o -type f -perm /222 -print 2>/dev/null';
  const tryEach = 'while read -r file; do (exec 9>>"$file") 2>/dev/null && echo "$file"; done';
  const own = '^/proc/(self|thread-self)/';
  assert.equal(await inside(`${settings} | grep -vE "${own}" | ${tryEach}`), '');
  const places = '/ /usr /usr/bin /etc /etc/codex /opt /opt/codex /opt/codex/bin /opt/fleet /var /s /s/ws /s/home /tmp';
  assert.equal(
    await inside(`for dir in ${places}; do (: > $dir/probe) 2>/dev/null && echo $dir; done`),
    '/s\n/s/ws\n/s/home\n/tmp\n',
  );
  assert.equal(await inside('(: >> /etc/codex/requirements.toml) 2>/dev/null && echo written'), '');
});

test('a namespace of its own does not let the agent undo what is read-only', async () => {
  const tries = [
    'umount /proc/sys',
    'mount -o remount,rw /proc/sys',
    'mount -o remount,rw,bind /usr',
    'mount -t proc proc /tmp',
  ];
  const script = `${tries.map((command) => `${command} 2>/dev/null && echo "${command}"`).join('; ')}; (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo written; echo tried`;
  assert.equal(await inside(`unshare --user --map-root-user --mount bash -c '${script}'`), 'tried\n');
});

test('a path that the operator adds is seen, and cannot be written', async () => {
  const extra = await mkdtemp(path.join(homedir(), '.cage-extra-'));
  try {
    await writeFile(path.join(extra, 'tool'), 'a tool');
    assert.ok(lab.cage.kind === 'cage');
    agent = await lab.start({ isolation: { ...lab.cage, readOnlyPaths: [extra] } });
    const script = `ls -A ${path.dirname(extra)}; (: > ${extra}/tool) 2>/dev/null && echo written; cat ${extra}/tool`;
    assert.equal(await inside(script), `${path.basename(extra)}\na tool`);
  } finally {
    await rm(extra, { recursive: true });
  }
});
