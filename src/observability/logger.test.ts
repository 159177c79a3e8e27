import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { createLogger, createSilentLogger } from './logger.ts';
import type { Logger, LogLevel } from './logger.ts';

function capture(options: { level?: LogLevel; pretty?: boolean } = {}): {
  logger: Logger;
  lines: string[];
  last(): Record<string, unknown>;
} {
  const lines: string[] = [];
  const logger = createLogger({
    level: options.level ?? 'info',
    role: 'test',
    pretty: options.pretty ?? false,
    destination: { write: (line) => void lines.push(line) },
  });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
}

test('a line carries severity and message in the words of Cloud Logging, and the facts as fields', () => {
  const { logger, last } = capture();
  logger
    .child({ session_id: 's1', slot_id: 3 })
    .warn({ event: 'slot_recycled', reason: 'memory', turns: 7 }, 'Slot recycled');
  const { time, ...rest } = last();
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    severity: 'WARNING',
    role: 'test',
    pid: process.pid,
    session_id: 's1',
    slot_id: 3,
    event: 'slot_recycled',
    reason: 'memory',
    turns: 7,
    message: 'Slot recycled',
  });
});

test('credentials, prompts and outputs are redacted by name at any depth, and counts are not', () => {
  const { logger, lines, last } = capture();
  logger.info(
    {
      event: 'x',
      prompt: 'SECRET-1',
      prompt_length: 8,
      request: { headers: { Authorization: 'Bearer SECRET-2', 'x-api-key': 'SECRET-3', accept: '*/*' } },
      list: [{ access_token: 'SECRET-4', finalMessage: 'SECRET-5' }],
      usage: { input_tokens: 5, output_tokens: 6 },
    },
    'Turn accepted',
  );
  assert.equal(lines.join('').includes('SECRET'), false);
  const { request, usage, prompt_length } = last();
  assert.deepEqual(
    { request, usage, prompt_length },
    {
      request: { headers: { Authorization: '[redacted]', 'x-api-key': '[redacted]', accept: '*/*' } },
      usage: { input_tokens: 5, output_tokens: 6 },
      prompt_length: 8,
    },
  );
});

test('a credential inside a text is redacted whatever the field is called', () => {
  const { logger, last } = capture();
  const key = `sk-proj-${'a'.repeat(20)}`;
  logger.info({ note: `called with Bearer abc.def and ${key}`, url: 'redis://user:SECRET@host:6379/0' }, 'Note');
  assert.equal(last()['note'], 'called with Bearer [redacted] and [redacted]');
  assert.equal(last()['url'], 'redis://[redacted]@host:6379/0');
});

test('an error is logged with its code, details and cause, without the secrets in them', () => {
  const { logger, lines, last } = capture();
  const cause = new Error('refused: Authorization: Bearer SECRET');
  logger.error(
    { event: 'turn_lost', err: new ServiceError('worker_lost', { worker: 'w', token: 'SECRET' }, { cause }) },
    'Turn lost',
  );
  assert.equal(lines.join('').includes('SECRET'), false);
  const err = last()['err'] as Record<string, unknown>;
  assert.equal(err['type'], 'ServiceError');
  assert.equal(err['code'], 'worker_lost');
  assert.deepEqual(err['details'], { worker: 'w', token: '[redacted]' });
  assert.equal((err['cause'] as Record<string, unknown>)['message'], 'refused: Authorization: Bearer [redacted]');
});

test('a child cannot be bound to a secret', () => {
  const { logger, lines } = capture();
  logger.child({ token: 'SECRET', prompt: 'SECRET' }).info({ event: 'x' }, 'Bound');
  assert.equal(lines.join('').includes('SECRET'), false);
});

test('facts that point at themselves or are huge are cut, not fatal', () => {
  const { logger, last } = capture();
  const loop: Record<string, unknown> = { bytes: new Uint8Array(10), many: Array.from({ length: 1000 }, (_, i) => i) };
  loop['self'] = loop;
  logger.info({ event: 'x', loop }, 'Cut');
  const logged = last()['loop'] as Record<string, unknown>;
  assert.equal(logged['bytes'], '[10 bytes]');
  assert.equal((logged['many'] as unknown[]).length, 100);
});

test('below its level a logger writes nothing, and a silent one never does', () => {
  const { logger, lines } = capture({ level: 'warn' });
  logger.info({ event: 'x' }, 'Not shown');
  createSilentLogger().fatal({ event: 'x' }, 'Not shown');
  assert.deepEqual(lines, []);
});

test('for a terminal a line reads as time, severity, message and facts', () => {
  const { logger, lines } = capture({ pretty: true });
  logger.info({ event: 'slot_ready', reason: 'two words', turns: 2 }, 'Slot ready');
  assert.match(
    lines[0] ?? '',
    /^\d\d:\d\d:\d\d\.\d{3} INFO {5}Slot ready event=slot_ready reason="two words" turns=2\n$/,
  );
});
