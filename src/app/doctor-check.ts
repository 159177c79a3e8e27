// The outcome of one check: how it stands, in words, and what to do about it.

export type Check = {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** null when there is nothing to do, or nothing that we know of. */
  readonly advice: string | null;
};

export function ok(name: string, message: string): Check {
  return { name, status: 'ok', message, advice: null };
}

export function warn(name: string, message: string, advice: string | null): Check {
  return { name, status: 'warn', message, advice };
}

export function fail(name: string, message: string, advice: string | null): Check {
  return { name, status: 'fail', message, advice };
}
