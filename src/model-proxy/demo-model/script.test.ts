import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrompt, verbForms } from './script.ts';
import type { Step } from './script.ts';

const understood: readonly [string, readonly Step[]][] = [
  ['run: ls -la', [{ verb: 'run', command: 'ls -la' }]],
  ['RUN: ls: -la', [{ verb: 'run', command: 'ls: -la' }]],
  ['run: <<END\ncd x\nls\nEND', [{ verb: 'run', command: 'cd x\nls' }]],
  [
    'run: cat > a <<EOF\nx\nEOF\nsay: ok',
    [
      { verb: 'run', command: 'cat > a <<EOF\nx\nEOF' },
      { verb: 'say', text: 'ok' },
    ],
  ],
  ['write: a/b.txt: x: y', [{ verb: 'write', path: 'a/b.txt', content: 'x: y' }]],
  ['write: empty.txt:', [{ verb: 'write', path: 'empty.txt', content: '' }]],
  ['write: a b.txt <<END\r\none\r\n\r\n  two\r\nEND', [{ verb: 'write', path: 'a b.txt', content: 'one\n\n  two' }]],
  ['write: a.txt: <<END\nx\nEND', [{ verb: 'write', path: 'a.txt', content: 'x' }]],
  ['say: hello', [{ verb: 'say', text: 'hello' }]],
  ['say: <<END\na\nb\nEND', [{ verb: 'say', text: 'a\nb' }]],
  ['stream: 200 words at 20 ms', [{ verb: 'stream', words: 200, intervalMs: 20 }]],
  ['stream: 5', [{ verb: 'stream', words: 5, intervalMs: 0 }]],
  ['ask: touch x', [{ verb: 'ask', command: 'touch x' }]],
  ['think: hm', [{ verb: 'think', text: 'hm' }]],
  ['wait: 1.5 s', [{ verb: 'wait', durationMs: 1500 }]],
  ['wait: 2 minutes', [{ verb: 'wait', durationMs: 120_000 }]],
  ['fail: 500', [{ verb: 'fail', failure: { kind: 'status', status: 500, code: 'demo_500' }, times: null }]],
  [
    'fail: rate_limit, 2 times',
    [{ verb: 'fail', failure: { kind: 'status', status: 429, code: 'rate_limit_exceeded' }, times: 2 }],
  ],
  ['fail: context once', [{ verb: 'fail', failure: { kind: 'event', code: 'context_length_exceeded' }, times: 1 }]],
  ['stall', [{ verb: 'stall', before: 'text', durationMs: null }]],
  ['stall: 10 s', [{ verb: 'stall', before: 'text', durationMs: 10_000 }]],
  ['stall headers', [{ verb: 'stall', before: 'headers', durationMs: null }]],
  ['stall: headers 50 ms', [{ verb: 'stall', before: 'headers', durationMs: 50 }]],
  ['break', [{ verb: 'break', afterWords: 0, times: 1 }]],
  ['break: after 5 words', [{ verb: 'break', afterWords: 5, times: 1 }]],
  ['break: after 1 word, 3 times', [{ verb: 'break', afterWords: 1, times: 3 }]],
  ['break: always', [{ verb: 'break', afterWords: 0, times: null }]],
  ['\n  recall\n\ninstructions: MARK\n', [{ verb: 'recall' }, { verb: 'instructions', marker: 'MARK' }]],
];

for (const [prompt, steps] of understood) {
  test(`understands ${JSON.stringify(prompt)}`, () => {
    assert.deepEqual(parsePrompt(prompt), { kind: 'script', steps });
  });
}

const wrong: readonly [string, number][] = [
  ['run:', 1],
  ['say: a\nand then', 2],
  ['say: a\n\nfrob: x', 3],
  ['write: nowhere', 1],
  ['write: a <<END\nno end', 1],
  ['stream: many words', 1],
  ['stream: 0 words', 1],
  ['stream: 100001 words', 1],
  ['stream: 5 words at noon', 1],
  ['wait: a moment', 1],
  ['wait: 1000 minutes\nwait: 25000 minutes', 2],
  ['fail: 200', 1],
  ['fail: badly', 1],
  ['stall: often', 1],
  ['break: after lunch', 1],
  ['recall: everything', 1],
];

for (const [prompt, line] of wrong) {
  test(`says which line of ${JSON.stringify(prompt)} is wrong`, () => {
    const parsed = parsePrompt(prompt);
    assert.equal(parsed.kind, 'mistake');
    assert.equal(parsed.kind === 'mistake' && parsed.line, line);
  });
}

for (const prompt of ['', '  \n', 'Hello there', 'run the tests', 'constructor: x', 'Fix this:\nrun: ls', 'say']) {
  test(`${JSON.stringify(prompt)} is no script`, () => {
    assert.deepEqual(parsePrompt(prompt), { kind: 'chat' });
  });
}

test('each form that the demo model shows of itself is understood', () => {
  for (const form of Object.values(verbForms)) {
    const shown = form.split('   (')[0] ?? '';
    assert.equal(parsePrompt(shown).kind, 'script', shown);
  }
});
