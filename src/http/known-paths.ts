// Which methods a path takes: so that a wrong method is told from a wrong path.

import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../core/errors.ts';

type KnownPath = { readonly pattern: RegExp; readonly methods: Set<string> };

export class KnownPaths {
  readonly #paths = new Map<string, KnownPath>();

  constructor(app: FastifyInstance) {
    app.addHook('onRoute', (route) => {
      const known = this.#paths.get(route.url) ?? { pattern: patternOf(route.url), methods: new Set() };
      for (const method of [route.method].flat()) known.methods.add(method);
      this.#paths.set(route.url, known);
    });
  }

  /** Why there is no route for a request to this path. */
  refusal(path: string): ServiceError {
    const allow = this.#methodsOf(path);
    return allow.length === 0 ? new ServiceError('not_found') : new ServiceError('method_not_allowed', { allow });
  }

  #methodsOf(path: string): readonly string[] {
    const methods = new Set<string>();
    for (const known of this.#paths.values()) {
      if (known.pattern.test(path)) for (const method of known.methods) methods.add(method);
    }
    return [...methods].sort();
  }
}

function patternOf(url: string): RegExp {
  const steps = url.split('/').map((step) => {
    if (step === '*') return '.*';
    return step.startsWith(':') ? '[^/]+' : step.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${steps.join('/')}$`);
}
