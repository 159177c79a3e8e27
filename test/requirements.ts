// What Codex Fleet promises, one line each. A test that proves one carries its id in square brackets at
// the end of its title; requirements.test.ts lists those that no test names.

export type Requirement = { readonly id: string; readonly text: string };

export const requirements = [
  {
    id: 'start-ready',
    text: 'One command starts a fleet; within seconds it prints URL, token, curl line, model, cage, sandbox and ready.',
  },
  { id: 'start-curl', text: 'The printed curl line works when pasted and answers with every field of an exec.' },
  { id: 'start-demo-said', text: 'Without a key the demo model answers, and the start says so unmistakably.' },
  { id: 'start-port-taken', text: 'A taken port is refused with exit code 2 and the pid of its owner.' },
  { id: 'start-data-dir-taken', text: 'A data directory in use is refused with exit code 2 and the pid of its owner.' },
  { id: 'start-token', text: 'The token is made at the first start, kept in a file of mode 0600, and stays the same.' },
  { id: 'stop-interrupt', text: 'Ctrl-C drains and ends with 0; no process is left.' },
  { id: 'stop-twice', text: 'A second Ctrl-C ends a fleet that drains, at once; no process is left.' },
  { id: 'stop-kill', text: 'kill -9 of the whole fleet leaves no process.' },
  {
    id: 'exec-answer',
    text: 'An exec answers with the final message, exit code, times, usage and how the turn ended.',
  },
  {
    id: 'exec-workspace',
    text: "A prompt's files and commands are done by the real Codex in the session's workspace.",
  },
  {
    id: 'exec-continues',
    text: 'A second exec of a session sees its files, and the model is shown its earlier turns.',
  },
  { id: 'exec-agents-md', text: "The workspace's AGENTS.md reaches the model." },
  { id: 'exec-planted-config', text: 'A .codex/config.toml in the workspace has no effect.' },
  { id: 'exec-failure', text: 'A turn that fails is answered 200 with exit code 1 and the reason.' },
  { id: 'exec-background', text: 'background: true answers 202 at once, with a Location that shows the turn.' },
  { id: 'exec-idempotent', text: 'A repeated Idempotency-Key is the same turn; with another body it is refused.' },
  { id: 'stream-whole', text: 'A stream has every event once, in order, ending with exactly one terminal event.' },
  { id: 'stream-resumed', text: 'A stream that was cut anywhere is resumed without a gap or a duplicate.' },
  { id: 'stream-unmixed', text: 'Sessions that run at once never mix.' },
  { id: 'turn-queued', text: 'A second prompt on a busy session waits for the first; it is never merged with it.' },
  { id: 'turn-timeout', text: 'timeout_ms ends a turn whose model says nothing: 200, timed_out, 124.' },
  { id: 'turn-wait', text: 'wait_ms answers 202 when it has passed, and the turn goes on.' },
  { id: 'turn-cancel', text: 'A cancelled turn leaves none of its processes, and its session goes on.' },
  {
    id: 'turn-crash',
    text: 'A Codex that dies in mid-turn gives one terminal event, and the session goes on with its files.',
  },
  {
    id: 'key-secret',
    text: "The model key is in no command's reach, not in Codex's process, not in logs, not on disk.",
  },
  {
    id: 'cage-files',
    text: "A session's commands see neither the data directory, nor another session, nor the host's home.",
  },
  { id: 'cage-network', text: "A session's commands cannot reach the host's loopback." },
  { id: 'hostile-typed', text: 'Each malformed or unauthorised request gets a typed 4xx at once, and makes nothing.' },
  { id: 'hostile-healthy', text: 'After hostile requests the fleet works as before.' },
  { id: 'load-complete', text: 'Forty sessions at once on four slots all complete.' },
  {
    id: 'load-fair',
    text: "A tenant that sends ten times as much delays another's turn by at most twice a fair share of turns.",
  },
  { id: 'load-full', text: 'A full queue answers 503 queue_full with Retry-After, at once, and keeps nothing of it.' },
  {
    id: 'load-overload',
    text: 'At five times what it can do, a fleet does what it can; memory stays flat, nothing accepted is lost.',
  },
  { id: 'load-flat', text: 'Turn after turn, memory, files and processes stay what they were.' },
  {
    id: 'durable-kill',
    text: 'Whenever a fleet is killed, each accepted turn ends once, runs at most once, and what was read stays as it was.',
  },
  { id: 'durable-commit', text: 'A fleet that dies at any point of a commit finishes or undoes it at its next start.' },
  { id: 'durable-key', text: 'One Idempotency-Key is one turn, also when the fleet is killed among its repetitions.' },
  { id: 'text-undoubled', text: 'An answer of the model that breaks off and begins anew doubles no character.' },
  {
    id: 'wake-whole',
    text: 'A session that hibernates, also over restarts, wakes with its files and with all that was said.',
  },
  { id: 'storage-honest', text: 'A full disk is said; no turn is plainly completed that was not kept.' },
  {
    id: 'corruption-told',
    text: 'What is damaged at rest is found and said: no turn goes on as if there were no past.',
  },
  { id: 'leak-free', text: 'Sessions that are made, used and deleted leave no memory, descriptor, process or file.' },
  { id: 'session-erased', text: 'What a deleted session held is on no part of the disk.' },
  {
    id: 'approval-asked',
    text: 'A command that needs an answer waits for one: accepted it runs, declined it does not, cancelled the turn ends.',
  },
  { id: 'files-api', text: 'Files, archives and differences of a session can be read and written from outside.' },
  {
    id: 'turn-steered',
    text: 'A running turn can be steered; a busy session queues, steers or refuses the next prompt, as it is told.',
  },
  { id: 'commands-run', text: 'A one-off command runs in the workspace, under the sandbox, without the model.' },
  {
    id: 'cluster-start',
    text: 'One command starts a local cluster of every role; the line printed for each gateway works.',
  },
  { id: 'fleet-any-gateway', text: 'What one gateway began is followed, steered, answered and ended at any other.' },
  {
    id: 'fleet-store-door',
    text: 'A worker with the store door alone keeps every promise, has nothing of the shared data directory, and outlives the death of session managers.',
  },
  {
    id: 'fleet-uncaged',
    text: 'Where no cage can be made a worker hosts one session and serves one tenant in its life; nobody waits for ever.',
  },
  {
    id: 'fleet-images',
    text: 'In containers as restricted as a pod, all roles answer a prompt, and end in good order.',
  },
  {
    id: 'session-memory',
    text: 'A session that takes too much memory loses its command, and neither its turn nor its neighbours.',
  },
  {
    id: 'trace-whole',
    text: 'One prompt is one trace, from its caller to the calls of the model, with nothing of what was said.',
  },
  {
    id: 'fleet-kill',
    text: 'Whoever is killed in a cluster: each accepted turn ends once, runs at most once, and streams go on or end in time.',
  },
  {
    id: 'fleet-fenced',
    text: 'A worker that was stopped and goes on writes nothing that another has gone on without.',
  },
  {
    id: 'fleet-redis',
    text: 'Redis may be killed, emptied, paused or refuse: running turns go on, nothing committed is lost.',
  },
  {
    id: 'fleet-partition',
    text: 'A network that is slow, cut or silent between any two roles costs time, and nothing else.',
  },
  { id: 'fleet-rolling', text: 'A restart of every process in turn costs no turn, no event and no failed request.' },
  { id: 'fleet-handover', text: 'A worker that is drained lets turns end or go on elsewhere, and takes nothing new.' },
  { id: 'fleet-disk', text: "What a worker's disk held of committed turns is had again when that disk is gone." },
  { id: 'fleet-simulated', text: 'A thousand seeds of simulated faults break no promise, and planted bugs are found.' },
  { id: 'job-runs', text: 'A job runs without anybody waiting for it, and its result is kept.' },
  { id: 'job-retry', text: 'A job is tried again as its retry policy says, and once more when a client asks.' },
  {
    id: 'job-erased',
    text: 'What a deleted job held, and what was to be told of it and its session, is on no part of the disk.',
  },
  { id: 'job-run-at', text: 'A job with run_at begins at that time, not before.' },
  { id: 'job-cancel', text: 'A job is cancelled while it waits and while it runs; one that was can be had back.' },
  { id: 'job-idempotent', text: 'A repeated Idempotency-Key is the same job; with another body it is refused.' },
  { id: 'job-share', text: 'Thirty jobs keep nobody waiting for longer than a turn who prompts.' },
  {
    id: 'job-durable',
    text: 'Whenever a fleet is killed, each job ends, each attempt runs at most once, and each end is told.',
  },
  {
    id: 'message-once',
    text: 'A message that comes again, or to one that is killed, is one job; one that can never be a job is put aside with its reason.',
  },
  {
    id: 'message-away',
    text: 'A fleet whose Pub/Sub is away at its start starts all the same, says so, and reads once it is there.',
  },
  { id: 'schedule-runs', text: 'A schedule makes a job at each of its times, once, and another when asked.' },
  {
    id: 'webhook-told',
    text: 'Webhooks are told what happens, signed as Standard Webhooks has it, in order per turn.',
  },
  { id: 'webhook-failing', text: 'A receiver that fails half the time is told each event, in order per turn.' },
  { id: 'webhook-secret', text: 'While a secret is replaced the old and the new one sign.' },
  { id: 'webhook-replay', text: 'Deliveries are listed with their attempts, and told again when asked.' },
  {
    id: 'webhook-answers',
    text: 'A receiver that redirects is not followed, one that is gone is disabled, one that is busy is given its time.',
  },
  { id: 'webhook-private', text: 'Nothing is delivered to a private address that was not opened.' },
  {
    id: 'webhook-durable',
    text: 'Whenever a fleet is killed, the end of each turn is told at least once, in order per turn.',
  },
  {
    id: 'cli-exec',
    text: 'codex-fleet exec joins the running fleet or starts one, and its exit code says how the turn ended.',
  },
  { id: 'cli-version', text: 'codex-fleet version says which versions these are.' },
  { id: 'seed-curl', text: "The seed's curl works as printed, plus the credential." },
  {
    id: 'seed-websocket',
    text: "The seed's JavaScript works as printed, plus the credential, in a browser and in Node.",
  },
  { id: 'seed-worker', text: "The seed's worker answers POST /execute and GET /health, with a credential." },
  { id: 'seed-names', text: "The seed's environment variables, metrics and log fields keep their names." },
] as const satisfies readonly Requirement[];
