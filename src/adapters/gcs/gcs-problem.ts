// What Cloud Storage and the way there say when something fails: whether asking again may help, and what to
// tell a person. The only place that reads their statuses and messages.

import { ServiceError } from '../../core/errors.ts';

export type GcsReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
};

/** The role that has all that we need, on the bucket. */
export const neededRole = 'roles/storage.objectUser';
export const neededPermissions = [
  'storage.objects.create',
  'storage.objects.get',
  'storage.objects.list',
  'storage.objects.delete',
] as const;
export type NeededPermission = (typeof neededPermissions)[number];

/** Whose call it was, for what is told. */
export type Asked = { readonly bucket: string; readonly permission: NeededPermission };

/** A failure of one attempt. */
export type Problem = { readonly mayPass: boolean; readonly error: ServiceError };

const passing: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504, 507]);
/** Reasons of a 403 that ask for patience, not for a permission. */
const passingReasons = /^(rateLimitExceeded|userRateLimitExceeded|quotaExceeded|backendError)$/;

/** Of an answer that nobody expected. */
export function problemOfReply(reply: GcsReply, { bucket, permission }: Asked): Problem {
  const { status } = reply;
  const { message, reasons } = told(reply.body);
  const cause = new Error(message === '' ? `HTTP ${status}` : message);
  const fail = (reason: string, text: string, more: Record<string, unknown> = {}): ServiceError =>
    unavailable(reason, text, { status, ...more }, cause);
  if (passing.has(status) || (status === 403 && reasons.some((reason) => passingReasons.test(reason)))) {
    const reason = status === 429 || status === 403 ? 'rate_limited' : 'failing';
    return { mayPass: true, error: fail(reason, `Cloud Storage answers ${status}`) };
  }
  if (status === 401 || status === 403) {
    const missing = /storage\.\w+\.\w+/.exec(message)?.[0] ?? permission;
    return { mayPass: false, error: refused(bucket, [missing], { status }, cause) };
  }
  if (status === 404) return { mayPass: false, error: noBucket(bucket, cause) };
  return { mayPass: false, error: fail('unexpected_answer', `Cloud Storage answers ${status}, which we do not know`) };
}

/** Of a connection, or of getting credentials. */
export function problemOfWay(error: unknown): Problem {
  if (error instanceof ServiceError) return { mayPass: false, error };
  const message = error instanceof Error ? error.message : String(error);
  if (/default credentials/i.test(message)) {
    const text =
      'no Google credentials are found: on Google Cloud the service account of the workload, elsewhere `gcloud auth application-default login`';
    return { mayPass: false, error: unavailable('no_credentials', text, {}, error) };
  }
  if (/invalid_grant|invalid_client|unauthorized_client/.test(message)) {
    return { mayPass: false, error: unavailable('refused', 'Google refuses the credentials', {}, error) };
  }
  return { mayPass: true, error: unavailable('unreachable', 'Cloud Storage cannot be reached', {}, error) };
}

export function tooSlow(cause?: unknown): ServiceError {
  return unavailable('timeout', 'Cloud Storage did not answer in time', {}, cause);
}

/** What was sent or came is not what it was on the other side. */
export function corrupted(): ServiceError {
  return unavailable('checksum', 'what Cloud Storage has or gave does not match its checksum', {});
}

export function refused(
  bucket: string,
  missing: readonly string[],
  details: Record<string, unknown> = {},
  cause?: unknown,
): ServiceError {
  const text = `the bucket ${bucket} refuses us: missing ${missing.join(', ')}; grant ${neededRole} on it`;
  return unavailable('refused', text, { missing, role: neededRole, ...details }, cause);
}

export function noBucket(bucket: string, cause?: unknown): ServiceError {
  return unavailable('no_bucket', `there is no bucket ${bucket}`, { status: 404, bucket }, cause);
}

export function unavailable(
  reason: string,
  message: string,
  details: Record<string, unknown>,
  cause?: unknown,
): ServiceError {
  return new ServiceError('store_unavailable', { store: 'cloud_storage', reason, ...details }, { cause, message });
}

/** A 404 that speaks of the object; null when it does not say. */
export function isObjectMissing(reply: GcsReply): boolean {
  return /no such object/i.test(told(reply.body).message);
}

function told(body: Uint8Array): { message: string; reasons: readonly string[] } {
  const text = Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, 16 * 1024)).toString();
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
    const reasons = (Array.isArray(error?.errors) ? error.errors : []).map((one) => String(one?.reason));
    return { message: typeof error?.message === 'string' ? error.message : '', reasons };
  } catch {
    // For media it is text alone.
    return { message: text.slice(0, 500), reasons: [] };
  }
}
