// A client that notes how long each answer took and what it was, for a test that asks whether a fleet in trouble still
// answers in time, and in words that a program understands.

import { problemContentType, problemSchema } from '../../src/api/problem.ts';
import { type Answer, FleetClient } from '../e2e/fleet-client.ts';

export type Measured = {
  readonly asked: string;
  readonly status: number;
  /** null: no problem; 'none': a refusal that is not in the register's form, or no answer at all. */
  readonly code: string | null;
  readonly elapsedMs: number;
};

export class MeasuredClient extends FleetClient {
  readonly #measures: Measured[];

  constructor({ token, url }: FleetClient, measures: Measured[]) {
    super(url, token);
    this.#measures = measures;
  }

  override async request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer<T>> {
    const asked = `${method} ${path.replaceAll(/[0-9a-f-]{36}/g, ':id').replace(/\?.*/, '')}`;
    const startedMs = performance.now();
    try {
      const answer = await super.request<T>(method, path, body, headers);
      const { elapsedMs, status } = answer;
      this.#measures.push({ asked, status, code: status < 400 ? null : codeOf(answer), elapsedMs });
      return answer;
    } catch (error) {
      this.#measures.push({ asked, status: 0, code: 'none', elapsedMs: performance.now() - startedMs });
      throw error;
    }
  }
}

function codeOf({ body, headers }: Answer): string {
  const isProblem = headers.get('content-type')?.startsWith(problemContentType) === true;
  const problem = problemSchema.safeParse(body);
  return isProblem && problem.success ? problem.data.code : 'none';
}

/** Refusals that say nothing a program understands, or something else than that a store is away; answers that took too long. */
export function untypedOrLate(
  measures: readonly Measured[],
  allowed: readonly string[],
  mostMs: number,
): readonly Measured[] {
  return measures.filter(({ code, elapsedMs }) => (code !== null && !allowed.includes(code)) || elapsedMs > mostMs);
}
