// Stores whose answers are counted: what each call came to, by class. Adds nothing else to what they do: the promise
// that a store answers with is handed on as it is.

import { type ErrorCode, isServiceError } from '../core/errors.ts';
import type { Metrics } from '../observability/metrics.ts';
import { type CountedStore, countedStores, type StoreOutcome } from '../observability/operating-metrics.ts';

const outcomeOfCode: Partial<Record<ErrorCode, StoreOutcome>> = {
  store_conflict: 'conflict',
  store_unavailable: 'unavailable',
  store_corrupt: 'corrupt',
  session_corrupt: 'corrupt',
  storage_full: 'full',
};

export function storeOutcomeOf(error: unknown): StoreOutcome {
  if (!isServiceError(error)) return 'failed';
  return outcomeOfCode[error.code] ?? (error.code === 'internal' ? 'failed' : 'refused');
}

/** The same stores; what is asked of them from now on is counted. */
export function countedClusterStores<S extends Readonly<Record<CountedStore, object>>>(
  stores: S,
  metrics: Pick<Metrics, 'storeCalls'>,
): S {
  const counted: Record<string, unknown> = {};
  for (const store of countedStores) {
    counted[store] = countedStore(stores[store], (outcome) => metrics.storeCalls.inc({ store, outcome }));
  }
  return { ...stores, ...counted };
}

export function countedStore<T extends object>(store: T, count: (outcome: StoreOutcome) => void): T {
  const wrapped = new Map<PropertyKey, unknown>();
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      const isMethod = typeof value === 'function';
      if (!isMethod && (typeof value !== 'object' || value === null)) return value;
      const known = wrapped.get(property);
      if (known !== undefined) return known;
      // The records are groups of methods.
      const made = isMethod ? countedMethod(target, value as Method, count) : countedStore(value as object, count);
      wrapped.set(property, made);
      return made;
    },
  });
}

type Method = (...given: unknown[]) => unknown;

function countedMethod(target: object, method: Method, count: (outcome: StoreOutcome) => void): Method {
  return (...given) => {
    const answer = method.apply(target, given);
    if (answer instanceof Promise) {
      answer.then(
        () => count('ok'),
        (error: unknown) => count(storeOutcomeOf(error)),
      );
    }
    return answer;
  };
}
