// Codex's questions as approvals, and decisions as the answers that Codex waits for. Pure: keeps nothing,
// hashes nothing, decides nothing. Requests of any other kind are policy.ts's to refuse.

import type { ApprovalDecision, ApprovalSubject } from '../core/approval.ts';
import { cutText, fitJson } from './cut.ts';
import type { CommandExecutionRequestApprovalParams } from './generated/v2/CommandExecutionRequestApprovalParams.ts';
import type { CommandExecutionRequestApprovalResponse } from './generated/v2/CommandExecutionRequestApprovalResponse.ts';
import type { FileChangeRequestApprovalParams } from './generated/v2/FileChangeRequestApprovalParams.ts';
import type { FileChangeRequestApprovalResponse } from './generated/v2/FileChangeRequestApprovalResponse.ts';
import type { FileUpdateChange } from './generated/v2/FileUpdateChange.ts';
import type { PermissionsRequestApprovalParams } from './generated/v2/PermissionsRequestApprovalParams.ts';
import type { PermissionsRequestApprovalResponse } from './generated/v2/PermissionsRequestApprovalResponse.ts';
import { toSnakeCase } from './items.ts';
import type { Answer } from './policy.ts';

/** As parsed: what Codex sends may differ from what this version of it promises. */
export type Request = { readonly method: string; readonly params?: unknown };

/** A patch as the item described it that began before Codex asked: the request itself carries none. */
export type DescribedPatch = {
  /** Of all of it. */
  readonly hash: string;
  /** What a person is shown. Wire names. */
  readonly changes: readonly Readonly<Record<string, unknown>>[];
  /** Not all files are among them. */
  readonly isCut: boolean;
};

export type AskedApproval = {
  readonly threadId: string;
  readonly subject: ApprovalSubject;
  readonly reason: string | null;
  readonly itemId: string;
  /** Wire names. */
  readonly details: Readonly<Record<string, unknown>>;
  /**
   * The same text for the same request, and for no other: all of the subject, uncut, and all that the
   * answer would grant. null: what would be done cannot be told from the request, so none is the same.
   */
  readonly identity: string | null;
};

// One event holds all of it: at six bytes for each unit, the worst of JSON, this is 216 KiB of its 256.
const maxCommandUnits = 20 * 1024;
const maxTextUnits = 4 * 1024;
const maxDetailBytes = 48 * 1024;

/** null: it is no approval, or lacks what every approval has. */
export function readApprovalRequest(
  request: Request,
  patchOf: (itemId: string) => DescribedPatch | null,
): AskedApproval | null {
  const { params } = request;
  if (!isObject(params) || typeof params['threadId'] !== 'string' || typeof params['itemId'] !== 'string') return null;
  switch (request.method) {
    case 'item/commandExecution/requestApproval':
      return readCommand(params as CommandExecutionRequestApprovalParams);
    case 'item/fileChange/requestApproval':
      return readFileChange(params as FileChangeRequestApprovalParams, patchOf(params['itemId']));
    case 'item/permissions/requestApproval':
      return readPermissions(params as PermissionsRequestApprovalParams);
    default:
      return null;
  }
}

function readCommand(params: CommandExecutionRequestApprovalParams): AskedApproval {
  const { additionalPermissions, commandActions, environmentId, kind, networkApprovalContext } = params;
  const command = params.command ?? null;
  // A command outside the sandbox is asked for in the same words as one inside it; only the model's
  // reason tells them apart, where it gives one (0.169). So a request with a reason equals none without.
  const grant = { additionalPermissions, environmentId, kind, networkApprovalContext, hasReason: !!params.reason };
  const isWhole = kind !== 'writeStdin' && (command !== null || !!networkApprovalContext);
  return asked(params, {
    subject: { kind: 'command', command, cwd: params.cwd ?? null, patchHash: null },
    details: {
      ...(kind === 'command' ? {} : { command_kind: toSnakeCase(kind) }),
      commandActions,
      additionalPermissions,
      networkApprovalContext,
    },
    grant: isWhole ? grant : null,
  });
}

function readFileChange(params: FileChangeRequestApprovalParams, patch: DescribedPatch | null): AskedApproval {
  const { grantRoot } = params;
  return asked(params, {
    subject: { kind: 'file_change', command: null, cwd: null, patchHash: patch?.hash ?? null },
    details: { changes: patch?.changes, ...(patch?.isCut === true ? { truncated: true } : {}), grantRoot },
    grant: patch === null ? null : { grantRoot },
  });
}

function readPermissions(params: PermissionsRequestApprovalParams): AskedApproval {
  const { environmentId, permissions } = params;
  return asked(params, {
    subject: { kind: 'permissions', command: null, cwd: params.cwd, patchHash: null },
    details: { permissions },
    grant: { environmentId, permissions },
  });
}

type Reading = {
  readonly subject: ApprovalSubject;
  readonly details: Readonly<Record<string, unknown>>;
  readonly grant: Readonly<Record<string, unknown>> | null;
};

function asked(
  params: { readonly threadId: string; readonly itemId: string; readonly reason?: string | null },
  { details, grant, subject }: Reading,
): AskedApproval {
  const { command, cwd, kind, patchHash } = subject;
  const isCut = (command?.length ?? 0) > maxCommandUnits;
  const named = Object.entries({ ...details, ...(isCut ? { truncated: true } : {}) })
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => [toSnakeCase(key), value]);
  return {
    threadId: params.threadId,
    itemId: params.itemId,
    subject: {
      ...subject,
      command: command === null ? null : cutText(command, maxCommandUnits),
      cwd: cwd === null ? null : cutText(cwd, maxTextUnits),
    },
    reason: params.reason ? cutText(params.reason, maxTextUnits) : null,
    details: fitJson(Object.fromEntries(named) as Record<string, unknown>, maxDetailBytes, {
      keep: ['command_kind'],
    }),
    identity: grant === null ? null : canonicalJson([kind, command, cwd, patchHash, grant]),
  };
}

/** What the hash of a patch is taken of. */
export function patchText(changes: readonly FileUpdateChange[]): string {
  return canonicalJson(changes);
}

/** What Codex waits for. `cancel` also ends the turn; Codex does that by itself where its answer has a word for it. */
export function answerApproval(request: Request, decision: ApprovalDecision): Answer {
  switch (request.method) {
    case 'item/permissions/requestApproval':
      return { result: permissionsAnswer((request.params as PermissionsRequestApprovalParams).permissions, decision) };
    case 'item/fileChange/requestApproval':
      return { result: { decision: codexWord[decision] } satisfies FileChangeRequestApprovalResponse };
    default:
      return { result: { decision: codexWord[decision] } satisfies CommandExecutionRequestApprovalResponse };
  }
}

const codexWord = {
  accept: 'accept',
  accept_for_session: 'acceptForSession',
  decline: 'decline',
  cancel: 'cancel',
} as const satisfies Record<ApprovalDecision, string>;

function permissionsAnswer(
  { fileSystem, network }: PermissionsRequestApprovalParams['permissions'],
  decision: ApprovalDecision,
): PermissionsRequestApprovalResponse {
  const isGranted = decision === 'accept' || decision === 'accept_for_session';
  const permissions = { ...(network === null ? {} : { network }), ...(fileSystem === null ? {} : { fileSystem }) };
  return {
    permissions: isGranted ? permissions : {},
    scope: decision === 'accept_for_session' ? 'session' : 'turn',
  };
}

/** One text for one value: keys in order, absent ones and nulls left out alike. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (!isObject(part)) return part;
    return Object.fromEntries(
      Object.keys(part)
        .sort()
        .filter((key) => part[key] !== null && part[key] !== undefined)
        .map((key) => [key, part[key]]),
    );
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
