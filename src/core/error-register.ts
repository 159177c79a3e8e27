// The one register of errors: what a caller may see, which status it gets, what a retry would do.
// Code that fails throws a ServiceError (errors.ts) with a code and facts; prose and status come from here.

export type RetryAdvice = 'never' | 'same' | 'elsewhere' | 'after' | 'unsafe';

export type ErrorEntry = {
  readonly status: number;
  readonly title: string;
  /** never: it will fail again; same: repeat at once; elsewhere: another worker; after: wait first; unsafe: it may have run. */
  readonly retry: RetryAdvice;
  /** One sentence for the reference page: when this is answered and what to do. */
  readonly doc: string;
};

export const errorRegister = {
  invalid_request: {
    status: 400,
    title: 'The request is not valid',
    retry: 'never',
    doc: 'A field is missing, unknown, of the wrong type or out of range; `errors` names each one with what is allowed.',
  },
  invalid_json: {
    status: 400,
    title: 'The body is not valid JSON',
    retry: 'never',
    doc: 'The body could not be read as one JSON object in UTF-8.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The content type is not supported',
    retry: 'never',
    doc: 'Send `Content-Type: application/json`, without a content encoding.',
  },
  payload_too_large: {
    status: 413,
    title: 'The body is too large',
    retry: 'never',
    doc: 'The body is larger than this route takes; `limit_bytes` says how much.',
  },
  headers_too_large: {
    status: 431,
    title: 'The headers are too large',
    retry: 'never',
    doc: 'The request line and headers together are larger than the server takes.',
  },
  unauthenticated: {
    status: 401,
    title: 'A valid credential is needed',
    retry: 'never',
    doc: 'Send `Authorization: Bearer <token>`; the token is printed at the first start and kept in the data directory.',
  },
  forbidden: {
    status: 403,
    title: 'This credential may not do that',
    retry: 'never',
    doc: 'The credential is valid but lacks the right, or the Origin is not among `allowed_origins`.',
  },
  not_found: { status: 404, title: 'There is no such route', retry: 'never', doc: 'No route has this path.' },
  method_not_allowed: {
    status: 405,
    title: 'The method is not allowed here',
    retry: 'never',
    doc: 'The path exists, with other methods; `Allow` lists them.',
  },
  worker_reserved: {
    status: 503,
    title: 'The workers serve other tenants for now',
    retry: 'after',
    doc: 'Where no cage can be made, a worker serves one tenant and is replaced before it serves another: that has begun. A turn that waits is run then by itself; repeat anything else.',
  },
  session_not_found: {
    status: 404,
    title: 'There is no such session',
    retry: 'never',
    doc: 'No session of this tenant has that id or alias; it may have been deleted.',
  },
  turn_not_found: {
    status: 404,
    title: 'There is no such turn',
    retry: 'never',
    doc: 'The session has no turn with that id.',
  },
  item_not_found: {
    status: 404,
    title: 'There is no such item',
    retry: 'never',
    doc: 'The session has no item with that id.',
  },
  session_exists: {
    status: 409,
    title: 'A session of that id exists',
    retry: 'never',
    doc: 'Create with another `id`, or use the session that exists.',
  },
  session_busy: {
    status: 409,
    title: 'The session is busy',
    retry: 'after',
    doc: 'The session has a running turn or command, and what was asked does not wait for its end.',
  },
  session_failed: {
    status: 409,
    title: 'The session can take no more turns',
    retry: 'never',
    doc: 'The session cannot be continued; start another.',
  },
  turn_ended: {
    status: 409,
    title: 'The turn has ended',
    retry: 'never',
    doc: 'What was asked needs a turn that still runs or waits.',
  },
  cursor_invalid: {
    status: 400,
    title: 'The cursor is not one of ours',
    retry: 'never',
    doc: 'Pass a `cursor` exactly as an event carried it.',
  },
  cursor_expired: {
    status: 410,
    title: 'The events after this cursor are gone',
    retry: 'never',
    doc: 'The log no longer reaches back that far; `first_cursor` is the earliest that can be read.',
  },
  session_quarantined: {
    status: 409,
    title: 'The session is quarantined',
    retry: 'never',
    doc: 'Its Codex process crashed in two turns in a row. `POST …/wake` lets it go on; its files can be read meanwhile.',
  },
  session_full: {
    status: 409,
    title: 'The session is full',
    retry: 'never',
    doc: 'Its conversation has grown past `sessions.rollout_limit_bytes`; start another. Its files can still be read.',
  },
  turn_not_running: {
    status: 409,
    title: 'The turn does not run',
    retry: 'never',
    doc: 'Only a running turn can be steered; start a new one instead.',
  },
  approval_not_found: {
    status: 404,
    title: 'There is no such approval',
    retry: 'never',
    doc: 'No approval of this tenant has that id.',
  },
  approval_settled: {
    status: 409,
    title: 'The approval is settled',
    retry: 'never',
    doc: 'It was answered before, or expired; `approval_status` and `decision` say how it stands.',
  },
  job_not_found: {
    status: 404,
    title: 'There is no such job',
    retry: 'never',
    doc: 'No job of this tenant has that id; those that ended are kept for `jobs.retain_ms`.',
  },
  job_ended: {
    status: 409,
    title: 'The job has ended',
    retry: 'never',
    doc: 'A job that has ended cannot be cancelled; one that failed or was cancelled can be tried again.',
  },
  job_not_ended: {
    status: 409,
    title: 'The job has not ended',
    retry: 'never',
    doc: 'Only a job that has ended can be erased; cancel it first. `job_status` says how it stands.',
  },
  job_not_retryable: {
    status: 409,
    title: 'The job did not fail',
    retry: 'never',
    doc: 'Only a job that failed or was cancelled can be tried again; `job_status` says how it stands.',
  },
  schedule_not_found: {
    status: 404,
    title: 'There is no such schedule',
    retry: 'never',
    doc: 'No schedule of this tenant has that id.',
  },
  webhook_not_found: {
    status: 404,
    title: 'There is no such webhook',
    retry: 'never',
    doc: 'No webhook of this tenant has that id.',
  },
  delivery_not_found: {
    status: 404,
    title: 'There is no such delivery',
    retry: 'never',
    doc: 'The webhook has no delivery with that id; those that ended are kept for `webhooks.retain_ms`.',
  },
  limit_reached: {
    status: 409,
    title: 'There may be no more of these',
    retry: 'never',
    doc: 'The tenant has as many as it may have; `limit` says how many. Remove one first.',
  },
  too_many_jobs: {
    status: 429,
    title: 'Too many jobs have not ended',
    retry: 'after',
    doc: 'The tenant has `limit` jobs that wait or run; wait until some have ended.',
  },
  file_not_found: {
    status: 404,
    title: 'There is no such file',
    retry: 'never',
    doc: 'The workspace has no file of that path; links are not followed.',
  },
  file_exists: {
    status: 409,
    title: 'Something else is in the way',
    retry: 'never',
    doc: 'A directory, a link or a special file stands where the file would be, or on the way to it.',
  },
  precondition_failed: {
    status: 412,
    title: 'The file is not as expected',
    retry: 'never',
    doc: '`If-Match` or `If-None-Match` does not fit what is there; read it again.',
  },
  range_not_satisfiable: {
    status: 416,
    title: 'The range lies outside the file',
    retry: 'never',
    doc: '`Range` begins behind the end of the file; `size` says how long it is.',
  },
  archive_refused: {
    status: 422,
    title: 'The archive is refused',
    retry: 'never',
    doc: 'It holds something that no archive here may hold, or too much of it; `entry` and `problem` say what. Nothing was unpacked.',
  },
  workspace_too_large: {
    status: 413,
    title: 'The workspace is too large',
    retry: 'never',
    doc: 'It holds more files or bytes than a snapshot may; remove some, or name them in `snapshot_exclude`.',
  },
  snapshot_gone: {
    status: 410,
    title: 'That state is not kept any more',
    retry: 'never',
    doc: 'What the workspace was at that turn has been cleared away; a later turn, or the start of the session, can be compared with.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
    retry: 'never',
    doc: 'Use a new key for a new request.',
  },
  queue_full: {
    status: 503,
    title: 'Too many turns are waiting',
    retry: 'after',
    doc: 'No slot is free and the queue is full; `Retry-After` says when to try again.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many turns in a minute',
    retry: 'after',
    doc: 'The tenant started as many turns as `limits.turns_per_minute` allows; `Retry-After` says when the next may start.',
  },
  no_worker_ready: {
    status: 503,
    title: 'No worker is ready',
    retry: 'after',
    doc: 'No worker can take a turn now.',
  },
  draining: {
    status: 503,
    title: 'The server is stopping',
    retry: 'after',
    doc: 'It takes no new turns; another replica, or this one after its restart, will.',
  },
  too_many_connections: {
    status: 503,
    title: 'Too many connections',
    retry: 'after',
    doc: 'The server holds as many connections as it may.',
  },
  too_many_streams: {
    status: 429,
    title: 'Too many streams on this connection',
    retry: 'after',
    doc: 'The WebSocket carries as many streams as it may; wait for one to end, or open another.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long to arrive',
    retry: 'same',
    doc: 'The headers or the body were not complete in time.',
  },
  worker_not_found: {
    status: 404,
    title: 'There is no such worker',
    retry: 'never',
    doc: 'No worker of the fleet has that id; it may have stopped.',
  },
  worker_unreachable: {
    status: 502,
    title: 'The worker could not be reached',
    retry: 'elsewhere',
    doc: 'The connection failed before anything was sent.',
  },
  worker_lost: {
    status: 502,
    title: 'The worker was lost',
    retry: 'unsafe',
    doc: 'The connection ended after the request was sent; look at the turn before repeating it.',
  },
  store_unavailable: {
    status: 503,
    title: 'A store does not answer',
    retry: 'after',
    doc: 'Nothing was accepted; try again.',
  },
  store_conflict: {
    status: 409,
    title: 'Another change came first',
    retry: 'same',
    doc: 'Read the resource again, then repeat.',
  },
  stale_epoch: {
    status: 409,
    title: 'The session has another owner',
    retry: 'elsewhere',
    doc: 'A worker tried to write a session that was taken over; callers see this only in internal calls.',
  },
  grant_not_found: {
    status: 404,
    title: 'There is no such grant',
    retry: 'elsewhere',
    doc: 'The model proxy was restarted or the grant revoked: the session must be bound again. Callers see this only in internal calls.',
  },
  // What follows speaks of turns, in their `error`; as an HTTP answer only where no turn exists.
  turn_failed: {
    status: 502,
    title: 'The turn failed',
    retry: 'unsafe',
    doc: 'Codex ended the turn with an error; `message` is what it said.',
  },
  turn_timed_out: {
    status: 504,
    title: 'The turn took longer than its timeout_ms',
    retry: 'unsafe',
    doc: 'The turn ran for `timeout_ms` and was ended.',
  },
  turn_cancelled: {
    status: 409,
    title: 'The turn was cancelled',
    retry: 'never',
    doc: 'Someone asked for it.',
  },
  queue_timed_out: {
    status: 503,
    title: 'No slot came free in time',
    retry: 'after',
    doc: 'The turn waited `queue_timeout_ms` and never started.',
  },
  agent_crashed: {
    status: 502,
    title: 'The Codex process ended in mid-turn',
    retry: 'unsafe',
    doc: 'The session goes on in another process; what the turn had done to its files stays.',
  },
  agent_start_failed: {
    status: 503,
    title: 'Codex could not be started',
    retry: 'after',
    doc: 'No Codex process could be made ready for the turn; the log says why.',
  },
  agent_unresponsive: {
    status: 502,
    title: 'Codex did not answer in time',
    retry: 'unsafe',
    doc: 'A call to the Codex process passed its deadline; the process was replaced.',
  },
  agent_garbled: {
    status: 502,
    title: 'Codex could not be understood',
    retry: 'unsafe',
    doc: 'The Codex process wrote what cannot be read, such as a line without an end; it was replaced.',
  },
  agent_overgrown: {
    status: 507,
    title: 'The Codex process needed too much memory',
    retry: 'unsafe',
    doc: 'It grew to twice `worker.recycle_rss_bytes` in mid-turn and was ended; the session goes on in another process.',
  },
  model_unavailable: {
    status: 502,
    title: 'The model provider could not be used',
    retry: 'after',
    doc: 'The provider refused, failed, or sent nothing in time.',
  },
  session_corrupt: {
    status: 500,
    title: 'Stored data of the session is damaged',
    retry: 'never',
    doc: 'A checksum does not match what was stored; `part` says where. Nothing of it was handed out; other sessions are not touched.',
  },
  store_corrupt: {
    status: 500,
    title: 'The database is damaged',
    retry: 'never',
    doc: 'A part of the database file cannot be read. What lies in other parts still can; restore the file or move it away.',
  },
  storage_full: {
    status: 507,
    title: 'The disk is full',
    retry: 'after',
    doc: 'Nothing more can be written; free space and try again.',
  },
  internal: {
    status: 500,
    title: 'Something went wrong inside',
    retry: 'never',
    doc: 'A defect of ours; the log has it under the `request_id`.',
  },
} as const satisfies Record<string, ErrorEntry>;
