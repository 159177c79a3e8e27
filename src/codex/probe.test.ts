import assert from 'node:assert/strict';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { AgentLab } from '../testing/agent-lab.ts';
import type { CodexBinary } from './binary.ts';
import { probeIsolation, type ProbeOptions } from './probe.ts';

let lab: AgentLab;
before(async () => {
  lab = await AgentLab.open();
});
after(() => lab.close());

function probeOptions(changes: Partial<ProbeOptions> = {}): ProbeOptions {
  const { binary, clock, logger } = lab.agentOptions('unused');
  return {
    binary,
    clock,
    logger,
    workDir: path.join(lab.root, 'probe'),
    readOnlyPaths: [],
    network: 'none',
    ...changes,
  };
}

/** A machine where bubblewrap cannot work: what it says there, said here. */
async function withoutNamespaces(): Promise<CodexBinary> {
  const bwrapPath = path.join(lab.root, 'bwrap-that-may-not');
  const says = 'bwrap: No permissions to create a new namespace, likely because the kernel does not allow it.';
  await writeFile(bwrapPath, `#!/bin/sh\necho '${says}' >&2\nexit 1\n`);
  await chmod(bwrapPath, 0o755);
  return { ...lab.binary, bwrapPath };
}

test('a machine that allows it gets a cage and the sandbox within, and the trial leaves only the shared files', async () => {
  const { isolation, report } = await probeIsolation(probeOptions());
  assert.deepEqual(report, {
    cage: 'own-root',
    cageProblem: null,
    innerSandbox: 'bubblewrap',
    innerSandboxProblem: null,
  });
  assert.equal(isolation.kind, 'cage');
  assert.deepEqual(await readdir(path.join(lab.root, 'probe')), ['cage']);
  const agent = await lab.start({ isolation });
  await agent.kill();
});

test('where no cage can be made the report says why, and the agent starts without one, reaches the model and ends whole', async () => {
  const { isolation, report } = await probeIsolation(probeOptions({ binary: await withoutNamespaces() }));
  assert.equal(report.cage, 'none');
  assert.match(report.cageProblem ?? '', /user namespaces .*\(bwrap: No permissions to create a new namespace/s);
  for (const pidNamespacePrefix of isolation.kind === 'uncaged' ? [isolation.pidNamespacePrefix, []] : []) {
    const agent = await lab.start({ isolation: { kind: 'uncaged', pidNamespacePrefix } });
    assert.equal(agent.paths.ws, path.join(agent.slotDir, 'ws'));
    const ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&9; head -1 <&9";
    const script = `
      setsid sleep 604 >/dev/null 2>&1 &
      tr '\\0' '\\n' < /proc/$PPID/environ
      port=$(grep -o '127.0.0.1:[0-9]*' ${agent.paths.home}/config.toml | cut -d: -f2)
      exec 9<>/dev/tcp/127.0.0.1/$port; ${ask}`;
    const { stdout } = await agent.calls.commandExec({
      command: ['bash', '-c', script],
      timeoutMs: 5_000,
      sandboxPolicy: { type: 'dangerFullAccess' },
    });
    assert.match(stdout, /^CODEX_HOME=/m);
    assert.doesNotMatch(stdout, /npm_|NODE_/);
    assert.match(stdout, /^HTTP\/1\.1 404/m);
    await agent.kill();
  }
});

test('a path that no cage can have is refused by name before anything is tried', async () => {
  const refused = probeIsolation(probeOptions({ readOnlyPaths: ['/opt/tools', '/s/home', 'relative', '/'] }));
  await assert.rejects(refused, (error: unknown) => {
    assert.ok(isServiceError(error, 'invalid_request'));
    assert.deepEqual(error.details['problems'], [
      '/s/home would cover or uncover /s of the cage',
      'relative is not a plain absolute path',
      '/ is not a plain absolute path',
    ]);
    return true;
  });
});
