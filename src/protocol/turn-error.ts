// What Codex's account of a failed turn means in our register of errors.

import type { ErrorCode } from '../core/errors.ts';
import type { TurnError as TurnFailure } from '../core/turn.ts';
import type { CodexErrorInfo } from './generated/v2/CodexErrorInfo.ts';
import type { TurnError } from './generated/v2/TurnError.ts';

/** Kinds that speak of the provider, not of the turn. */
const providerKinds: ReadonlySet<string> = new Set([
  'flexUnavailable',
  'httpConnectionFailed',
  'internalServerError',
  'modelNotFound',
  'policyCapacityUnavailable',
  'rateLimitExceeded',
  'responseStreamConnectionFailed',
  'responseStreamDisconnected',
  'responseTooManyFailedAttempts',
  'serverOverloaded',
  'unauthorized',
  'usageLimitExceeded',
]);

/** 0.169 reports the last broken stream of a turn as `other`, with this in front. */
const brokenStream = 'stream disconnected before completion';

export function toTurnFailure(error: TurnError | null): TurnFailure {
  if (error === null) return failure('turn_failed', 'Codex ended the turn without saying why.');
  const isProvider = providerKinds.has(kindOf(error.codexErrorInfo)) || error.message.startsWith(brokenStream);
  return failure(isProvider ? 'model_unavailable' : 'turn_failed', readable(error.message));
}

function failure(code: ErrorCode, message: string): TurnFailure {
  return { code, message };
}

function kindOf(info: CodexErrorInfo | null): string {
  if (info === null) return '';
  return typeof info === 'string' ? info : (Object.keys(info)[0] ?? '');
}

/** A provider's refusal arrives as its JSON body, or with the internal address that Codex called. */
function readable(message: string): string {
  return (messageInBody(message) ?? message).replace(/, url: \S+/, '');
}

function messageInBody(text: string): string | null {
  if (!text.startsWith('{')) return null;
  try {
    const body = JSON.parse(text) as { error?: { message?: unknown } | null };
    return typeof body.error?.message === 'string' ? body.error.message : null;
  } catch {
    return null;
  }
}
