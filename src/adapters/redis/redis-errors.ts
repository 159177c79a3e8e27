// What Redis and its client say when something fails, in the words of the error register. The only place
// that reads their messages.

import { ServiceError } from '../../core/errors.ts';

/** Replies of a server that cannot serve now, though it may again. */
const unavailable: Readonly<Record<string, string>> = {
  LOADING: 'loading',
  READONLY: 'read_only',
  MISCONF: 'not_persisting',
  NOREPLICAS: 'too_few_replicas',
  MASTERDOWN: 'primary_down',
  CLUSTERDOWN: 'cluster_down',
  TRYAGAIN: 'resharding',
  MOVED: 'resharding',
  ASK: 'resharding',
  BUSY: 'busy',
  UNKILLABLE: 'busy',
  NOAUTH: 'refused',
  WRONGPASS: 'refused',
};

/** Redis 6 wraps what a script's command answered in an ERR of its own; later ones begin with it. */
const replyCodes = /(?:^|: -)([A-Z]{3,})\b/g;

export function unavailableRedis(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('store_unavailable', { store: 'redis', reason }, { cause });
}

/** Why a connection cannot be made, by the last error that it met. */
export function unreachableRedis(lastError: unknown): ServiceError {
  const known = lastError === null ? null : redisError(lastError);
  return known?.code === 'store_unavailable' ? known : unavailableRedis('unreachable', lastError ?? undefined);
}

export function redisError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  if (!(error instanceof Error)) return new ServiceError('internal', {}, { cause: error });
  if (error.name === 'ReplyError') return replyError(error);
  if (error.message === 'Command timed out') return unavailableRedis('timeout', error);
  if (isOfTrust(error)) return unavailableRedis('not_trusted', error);
  if (isOfConnection(error)) return unavailableRedis('unreachable', error);
  return new ServiceError('internal', {}, { cause: error });
}

/** Writes go to another server than the one we are connected to: connecting again finds it. */
export function isReadOnlyReply(error: Error): boolean {
  return codeOf(error) === 'READONLY';
}

function replyError(error: Error): ServiceError {
  const code = codeOf(error);
  if (code === 'OOM') return new ServiceError('storage_full', { store: 'redis' }, { cause: error });
  const reason = unavailable[code];
  return reason === undefined ? new ServiceError('internal', {}, { cause: error }) : unavailableRedis(reason, error);
}

function codeOf({ message }: Error): string {
  return [...message.matchAll(replyCodes)].at(-1)?.[1] ?? '';
}

/** By TLS: of an authority that is not trusted, of another name, or past its time. */
function isOfTrust(error: Error): boolean {
  const code = 'code' in error ? String(error.code) : '';
  return /^(UNABLE_TO_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|ERR_TLS_CERT_)/.test(code);
}

/** The client has no class of its own for a connection that ended. */
function isOfConnection(error: Error): boolean {
  const isOfSystem = 'syscall' in error || ('code' in error && /^E[A-Z]+$/.test(String(error.code)));
  const isOfClient = ['MaxRetriesPerRequestError', 'ClusterAllFailedError', 'AbortError'].includes(error.name);
  return (
    isOfSystem ||
    isOfClient ||
    /connection is closed|isn't writeable|socket timeout|too many cluster/i.test(error.message)
  );
}
