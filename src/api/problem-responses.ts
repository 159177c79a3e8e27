// The answers that are no answers: for each status one response that names the codes which come with it.

import { errorRegister, type ErrorCode } from '../core/errors.ts';
import type { JsonObject } from './component-schemas.ts';
import { problemContentType } from './problem.ts';

export class ProblemResponses {
  readonly #problem: JsonObject;
  readonly #responses = new Map<string, JsonObject>();

  constructor(problem: JsonObject) {
    this.#problem = problem;
  }

  /** References by status; operations that share a group of codes share the response. */
  use(codes: readonly ErrorCode[]): JsonObject {
    const byStatus = Map.groupBy(new Set(codes), (code) => errorRegister[code].status);
    return Object.fromEntries(
      [...byStatus].map(([status, group]) => {
        const name = group.join('-');
        this.#responses.set(name, this.#describe(group));
        return [status, { $ref: `#/components/responses/${name}` }];
      }),
    );
  }

  all(): JsonObject {
    return Object.fromEntries([...this.#responses].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #describe(codes: readonly ErrorCode[]): JsonObject {
    const hasToWait = codes.some((code) => errorRegister[code].retry === 'after');
    const narrowed = { type: 'object', properties: { code: { enum: codes } } };
    return {
      description: codes.map((code) => `\`${code}\`: ${errorRegister[code].doc}`).join('\n\n'),
      ...(hasToWait
        ? { headers: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } } }
        : {}),
      content: { [problemContentType]: { schema: { allOf: [this.#problem, narrowed] } } },
    };
  }
}
