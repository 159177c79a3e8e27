import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approvalPolicies } from '../core/session.ts';
import type { ServerRequest } from './generated/ServerRequest.ts';
import {
  buildCommandExec,
  buildInitialize,
  buildThreadResume,
  buildTurnStart,
  buildTurnSteer,
  refusal,
} from './policy.ts';
import { seedRollout } from './rollout.ts';

const sessionId = '019a0000-0000-7000-8000-000000000001';

test('a session is resumed read-only, in its workspace, with the credential of its binding', () => {
  const params = buildThreadResume({
    sessionId,
    credential: 'secret',
    instructions: 'be kind',
    model: null,
  });
  assert.deepEqual(params, {
    threadId: sessionId,
    cwd: '/s/ws',
    sandbox: 'read-only',
    approvalPolicy: 'never',
    excludeTurns: true,
    model: null,
    modelProvider: 'fleet',
    developerInstructions: 'be kind',
    config: { 'model_providers.fleet.experimental_bearer_token': 'secret' },
  });
});

test('each turn says what its commands may do', () => {
  const turn = { sessionId, prompt: 'hi', approvals: 'never', model: null, network: false } as const;
  assert.deepEqual(buildTurnStart({ ...turn, sandbox: 'workspace-write' }).sandboxPolicy, {
    type: 'workspaceWrite',
    writableRoots: ['/s/ws', '/s/ws/.git'],
    networkAccess: false,
    excludeTmpdirEnvVar: false,
    excludeSlashTmp: false,
  });
  assert.deepEqual(buildTurnStart({ ...turn, sandbox: 'read-only', network: true }).sandboxPolicy, {
    type: 'readOnly',
    networkAccess: true,
  });
  assert.deepEqual(buildTurnStart({ ...turn, sandbox: 'danger-full-access' }).sandboxPolicy, {
    type: 'dangerFullAccess',
  });
});

test('each turn says when a person is asked, and that no model is asked in their place', () => {
  for (const approvals of approvalPolicies) {
    const { approvalPolicy, approvalsReviewer } = buildTurnStart({
      sessionId,
      prompt: 'hi',
      approvals,
      model: null,
      sandbox: 'read-only',
      network: false,
    });
    assert.deepEqual([approvalPolicy, approvalsReviewer], [approvals, 'user']);
  }
});

test('without a cage the workspace is where the process sees it', () => {
  const params = buildTurnStart({
    sessionId,
    prompt: 'hi',
    approvals: 'never',
    model: null,
    sandbox: 'workspace-write',
    network: false,
    workspacePath: '/elsewhere/ws',
  });
  assert.equal(params.cwd, '/elsewhere/ws');
  assert.deepEqual(params.sandboxPolicy?.type === 'workspaceWrite' && params.sandboxPolicy.writableRoots, [
    '/elsewhere/ws',
    '/elsewhere/ws/.git',
  ]);
});

test('what is given to a running turn goes to that turn of Codex and no other', () => {
  assert.deepEqual(buildTurnSteer({ sessionId, expectedTurnId: 'turn-7', text: 'left' }), {
    threadId: sessionId,
    expectedTurnId: 'turn-7',
    input: [{ type: 'text', text: 'left', text_elements: [] }],
  });
});

test('a one-off command runs in the workspace under the same policy', () => {
  const params = buildCommandExec({
    command: ['ls'],
    timeoutMs: 5,
    sandbox: 'read-only',
    network: false,
  });
  assert.deepEqual(params, {
    command: ['ls'],
    cwd: '/s/ws',
    timeoutMs: 5,
    outputBytesCap: 1024 * 1024,
    sandboxPolicy: { type: 'readOnly', networkAccess: false },
  });
});

test('the fleet names itself and asks for the experimental face', () => {
  const { clientInfo, capabilities } = buildInitialize('1.2.3');
  assert.deepEqual(clientInfo, { name: 'codex_fleet', title: 'Codex Fleet', version: '1.2.3' });
  assert.equal(capabilities?.experimentalApi, true);
});

test('nothing is granted when nobody decides, and every request has its answer', () => {
  const refusals: Record<ServerRequest['method'], unknown> = {
    'item/commandExecution/requestApproval': { result: { decision: 'decline' } },
    'item/fileChange/requestApproval': { result: { decision: 'decline' } },
    'item/permissions/requestApproval': { result: { permissions: {}, scope: 'turn' } },
    'item/tool/requestUserInput': { result: { answers: {} } },
    'mcpServer/elicitation/request': { result: { action: 'decline', content: null, _meta: null } },
    'item/tool/call': {
      result: {
        contentItems: [{ type: 'inputText', text: 'Nobody is there to decide; go on without it.' }],
        success: false,
      },
    },
    applyPatchApproval: {
      result: { decision: { denied: { rejection: 'Nobody is there to decide; go on without it.' } } },
    },
    execCommandApproval: {
      result: { decision: { denied: { rejection: 'Nobody is there to decide; go on without it.' } } },
    },
    'account/chatgptAuthTokens/refresh': unanswered('account/chatgptAuthTokens/refresh'),
    'attestation/generate': unanswered('attestation/generate'),
    'currentTime/read': unanswered('currentTime/read'),
  };
  for (const [method, expected] of Object.entries({ ...refusals, 'brand/new': unanswered('brand/new') })) {
    assert.deepEqual(refusal({ method, id: 1, params: {} } as unknown as ServerRequest), expected);
  }
});

function unanswered(method: string): unknown {
  return { error: { code: -32601, message: `this client does not answer ${method}` } };
}

test('a rollout begins with the one line that makes the thread ours', () => {
  const seed = seedRollout({
    sessionId,
    createdAtMs: Date.UTC(2026, 10, 23, 1, 2, 3, 4),
    codexVersion: '0.169.0',
    modelProvider: 'fleet',
  });
  assert.equal(seed.relativePath, `sessions/2026/11/23/rollout-2026-11-23T01-02-03-${sessionId}.jsonl`);
  assert.ok(seed.line.endsWith('}\n'));
  assert.deepEqual(JSON.parse(seed.line), {
    timestamp: '2026-11-23T01:02:03.004Z',
    type: 'session_meta',
    payload: {
      id: sessionId,
      timestamp: '2026-11-23T01:02:03.004Z',
      cwd: '/s/ws',
      originator: 'codex_fleet',
      cli_version: '0.169.0',
      source: 'appServer',
      model_provider: 'fleet',
    },
  });
});
