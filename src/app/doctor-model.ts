// Whether the model provider answers, and takes our key: asked as cheaply as it can be, for its models.

import type { Config } from '../config/resolve.ts';
import { fail, ok, warn, type Check } from './doctor-check.ts';

export async function checkModel(
  model: Config['model'],
  readKey: () => string | null,
  deadlineMs: number,
): Promise<Check> {
  if (model.provider === 'demo' || model.baseUrl === null) {
    return ok('model', 'the built-in demo model: no AI is connected, nothing to reach');
  }
  const place = model.baseUrl.replace(/\/\/[^/@]*@/, '//');
  let response: Response;
  try {
    const key = readKey();
    response = await fetch(`${model.baseUrl}/models`, {
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      redirect: 'error',
      signal: AbortSignal.timeout(deadlineMs),
    });
  } catch (error) {
    return fail(
      'model',
      `${place} does not answer (${reasonOf(error)})`,
      'check --base-url and the network, proxies included',
    );
  }
  const isListed = response.ok ? await lists(response, model.name) : null;
  await response.body?.cancel().catch(() => {});
  return checkOfAnswer(place, model, response.status, isListed);
}

function checkOfAnswer(place: string, model: Config['model'], status: number, isListed: boolean | null): Check {
  if (status === 401 || status === 403) {
    const source = model.apiKeyFile ?? model.apiKeyEnv;
    return fail(
      'model',
      `${place} answers and refuses the key (${status})`,
      source === null ? null : `check the key in ${source}`,
    );
  }
  if (status === 404)
    return warn('model', `${place} answers, but lists no models`, 'check that the address ends in /v1');
  if (status >= 400) return warn('model', `${place} answers with ${status}`, 'try again later');
  if (isListed === false) return warn('model', `${place} answers, but does not list ${model.name}`, 'check --model');
  return ok('model', `${place} answers${isListed === true ? ` and offers ${model.name}` : ''}`);
}

/** null when the answer cannot be read as a list. */
async function lists(response: Response, name: string): Promise<boolean | null> {
  try {
    const { data } = (await response.json()) as { data?: unknown };
    if (!Array.isArray(data)) return null;
    return data.some((entry: unknown) => (entry as { id?: unknown } | null)?.id === name);
  } catch {
    return null;
  }
}

/** The innermost reason, which fetch wraps in "fetch failed". */
function reasonOf(error: unknown): string {
  let reason = String(error);
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    reason = (cause as NodeJS.ErrnoException).code?.toString() ?? cause.message;
  }
  return reason;
}
