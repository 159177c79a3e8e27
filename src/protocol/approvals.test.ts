import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApprovalDecision, approvalDecisions } from '../core/approval.ts';
import { answerApproval, patchText, readApprovalRequest, type Request } from './approvals.ts';
import { utf8Length } from './cut.ts';

const threadId = '019a0000-0000-7000-8000-000000000001';
const nothing = (): null => null;

// As 0.169 sent them.
const command: Request = {
  method: 'item/commandExecution/requestApproval',
  params: {
    kind: 'command',
    threadId,
    turnId: '01a206cb-a716-7b82-994b-9c1f9e1e918d',
    itemId: 'c30',
    startedAtMs: 1795410339683,
    environmentId: 'local',
    reason: 'because',
    command: "/bin/bash -c 'touch esc'",
    cwd: '/s/ws',
    commandActions: [{ type: 'unknown', command: 'touch esc' }],
    proposedExecpolicyAmendment: ['touch', 'esc'],
    availableDecisions: [
      'accept',
      { acceptWithExecpolicyAmendment: { execpolicy_amendment: ['touch', 'esc'] } },
      'cancel',
    ],
  },
};
const fileChange: Request = {
  method: 'item/fileChange/requestApproval',
  params: { threadId, turnId: 't', itemId: 'c180', startedAtMs: 1795410342098, reason: null, grantRoot: null },
};
const permissions: Request = {
  method: 'item/permissions/requestApproval',
  params: {
    threadId,
    turnId: 't',
    itemId: 'c280',
    startedAtMs: 1,
    environmentId: null,
    cwd: '/s/ws',
    reason: 'net',
    permissions: { network: { enabled: true }, fileSystem: null },
  },
};

function changed(request: Request, changes: Readonly<Record<string, unknown>>): Request {
  return { ...request, params: { ...(request.params as object), ...changes } };
}

function identityOf(request: Request): string | null {
  return readApprovalRequest(request, nothing)?.identity ?? null;
}

test('a command is asked for as Codex would run it, without the rules that Codex proposes to remember', () => {
  const { identity, ...asked } = readApprovalRequest(command, nothing) ?? {};
  assert.equal(typeof identity, 'string');
  assert.deepEqual(asked, {
    threadId,
    itemId: 'c30',
    subject: { kind: 'command', command: "/bin/bash -c 'touch esc'", cwd: '/s/ws', patchHash: null },
    reason: 'because',
    details: { command_actions: [{ type: 'unknown', command: 'touch esc' }] },
  });
});

test('a patch is asked for with the hash and the changes of the item that described it', () => {
  const changes = [{ path: '/s/ws/a.txt', kind: 'add', diff: 'hello\n' }];
  const asked = readApprovalRequest(fileChange, (id) =>
    id === 'c180' ? { hash: 'abc', changes, isCut: false } : null,
  );
  assert.deepEqual(
    [asked?.subject, asked?.details],
    [{ kind: 'file_change', command: null, cwd: null, patchHash: 'abc' }, { changes }],
  );
  assert.notEqual(asked?.identity, null);
  assert.equal(identityOf(fileChange), null);
});

test('permissions are asked for as they would be granted', () => {
  const asked = readApprovalRequest(permissions, nothing);
  assert.deepEqual(
    [asked?.subject, asked?.details, asked?.reason],
    [
      { kind: 'permissions', command: null, cwd: '/s/ws', patchHash: null },
      { permissions: { network: { enabled: true }, fileSystem: null } },
      'net',
    ],
  );
});

test('two requests are the same when they ask for the same, whatever names and reasons they carry', () => {
  const same = changed(command, { itemId: 'other', turnId: 'other', startedAtMs: 2, reason: 'for another reason' });
  assert.equal(identityOf(same), identityOf(command));
  const nested = { network: { enabled: true, host: 'a' } };
  const turned = { network: { host: 'a', enabled: true }, fileSystem: null };
  assert.equal(
    identityOf(changed(command, { additionalPermissions: nested })),
    identityOf(changed(command, { additionalPermissions: turned })),
  );
  const others: Readonly<Record<string, unknown>>[] = [
    { command: "/bin/bash -c 'touch  esc'" },
    { cwd: '/s/ws/' },
    // A command in the sandbox: Codex gives no reason for it.
    { reason: null },
    { environmentId: 'remote' },
    { additionalPermissions: nested },
    { networkApprovalContext: { host: 'example.com', protocol: 'https' } },
  ];
  const identities = [command, ...others.map((changes) => changed(command, changes))].map(identityOf);
  assert.equal(new Set(identities).size, identities.length);
  const more = changed(permissions, { permissions: { network: null, fileSystem: { read: null, write: ['/s'] } } });
  assert.notEqual(identityOf(more), identityOf(permissions));
});

test('what goes into a running terminal, and a command that is not named, is like no other request', () => {
  assert.equal(identityOf(changed(command, { kind: 'writeStdin', approvalId: 'c20' })), null);
  assert.equal(identityOf(changed(command, { command: null })), null);
});

test('the text of a patch tells apart every change of it', () => {
  const change = { path: 'a', kind: { type: 'update', move_path: null }, diff: '+x' } as const;
  const patches = [
    [change],
    [{ ...change, path: 'b' }],
    [{ ...change, diff: '+y' }],
    [{ ...change, kind: { type: 'update', move_path: 'b' } } as const],
    [{ ...change, kind: { type: 'delete' } } as const],
    [change, change],
  ];
  assert.equal(new Set(patches.map(patchText)).size, patches.length);
});

test('an approval fits one event, however much is asked at once, and says where it was cut', () => {
  const huge = '\u0001'.repeat(1_000_000);
  const asked = readApprovalRequest(
    changed(command, {
      command: huge,
      cwd: huge,
      reason: huge,
      commandActions: Array.from({ length: 5_000 }, () => huge.slice(0, 999)),
    }),
    nothing,
  );
  assert.ok(utf8Length(JSON.stringify({ ...asked, identity: null })) < 240 * 1024);
  assert.equal(asked?.details['truncated'], true);
  // Two that differ behind the cut are two.
  assert.notEqual(
    identityOf(changed(command, { command: `${huge}a` })),
    identityOf(changed(command, { command: huge })),
  );
  assert.equal(readApprovalRequest(command, nothing)?.details['truncated'], undefined);
});

test('what is no approval, or lacks what each has, is none', () => {
  const none: Request[] = [
    { method: 'item/tool/requestUserInput', params: { threadId, itemId: 'i' } },
    { method: 'item/commandExecution/requestApproval' },
    { method: 'item/commandExecution/requestApproval', params: [] },
    changed(command, { itemId: 7 }),
    changed(fileChange, { threadId: null }),
  ];
  assert.deepEqual(
    none.map((request) => readApprovalRequest(request, nothing)),
    none.map(() => null),
  );
});

test('each decision has its word in the answer to each kind', () => {
  const answers = (request: Request): unknown[] =>
    approvalDecisions.map((decision: ApprovalDecision) => answerApproval(request, decision));
  const words = ['accept', 'acceptForSession', 'decline', 'cancel'].map((decision) => ({ result: { decision } }));
  assert.deepEqual([answers(command), answers(fileChange)], [words, words]);
  const granted = { network: { enabled: true } };
  assert.deepEqual(answers(permissions), [
    { result: { permissions: granted, scope: 'turn' } },
    { result: { permissions: granted, scope: 'session' } },
    { result: { permissions: {}, scope: 'turn' } },
    { result: { permissions: {}, scope: 'turn' } },
  ]);
});
