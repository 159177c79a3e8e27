// How the data face says no, in OpenAI's error shape. Codex 0.169 repeats a call that got any status
// but 400 and 429 (measured: 401, 403, 404, 409 and 413 as often as `stream_max_retries` allows), so
// whatever a repetition cannot help is a 400; `code` says what it was.

import type { ServerResponse } from 'node:http';
import { turnBudgetUsedUp } from '../core/usage.ts';

const refusals = {
  invalid_api_key: { status: 401, message: 'The credential is missing or unknown.' },
  grant_ended: { status: 400, message: 'The credential has ended.' },
  no_running_turn: { status: 400, message: 'The session has no running turn.' },
  model_not_allowed: { status: 400, message: 'The session may not use this model.' },
  field_not_allowed: { status: 400, message: 'The request asks for something that the proxy does not forward.' },
  invalid_json: { status: 400, message: 'The body is not a JSON object with a model.' },
  unsupported_encoding: { status: 400, message: 'The content encoding is not supported.' },
  body_too_large: { status: 400, message: 'The body is too large.' },
  turn_budget_exhausted: { status: 400, message: turnBudgetUsedUp },
  too_many_calls: { status: 429, message: 'The session has too many model calls under way.' },
  overloaded: { status: 503, message: 'The model proxy is busy or stopping.' },
  grants_unavailable: { status: 503, message: 'Whether the credential is good is not known at the moment.' },
  provider_unreachable: { status: 502, message: 'The model provider could not be reached.' },
  provider_timed_out: { status: 504, message: 'The model provider did not begin to answer in time.' },
  not_found: { status: 404, message: 'There is no such route.' },
  internal: { status: 500, message: 'The model proxy failed.' },
} as const;

export type RefusalCode = keyof typeof refusals;

export class ModelRefusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, detail?: string) {
    super(detail === undefined ? refusals[code].message : `${refusals[code].message} ${detail}`);
    this.name = 'ModelRefusal';
    this.code = code;
  }

  get status(): number {
    return refusals[this.code].status;
  }
}

export function writeRefusal(response: ServerResponse, refusal: ModelRefusal): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status, code, message } = refusal;
  const type = status === 401 ? 'authentication_error' : status >= 500 ? 'server_error' : 'invalid_request_error';
  const body = JSON.stringify({ error: { message, type, code, param: null } });
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // A body that was not read to its end makes the connection unusable.
    ...(response.req.complete ? {} : { connection: 'close' }),
  });
  response.end(body);
}
