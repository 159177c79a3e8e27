// The demo model's tiny language: one verb a line. Parses a prompt into steps, or says which line is
// wrong and what is allowed. Plays nothing.

export type DemoFailure =
  /** An HTTP status instead of an answer. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** An answer that begins and then reports an error. */
  | { readonly kind: 'event'; readonly code: string };

export type Step =
  | { readonly verb: 'run' | 'ask'; readonly command: string }
  | { readonly verb: 'write'; readonly path: string; readonly content: string }
  | { readonly verb: 'say' | 'think'; readonly text: string }
  | { readonly verb: 'stream'; readonly words: number; readonly intervalMs: number }
  | { readonly verb: 'wait'; readonly durationMs: number }
  /** times null: whenever it is asked. */
  | { readonly verb: 'fail'; readonly failure: DemoFailure; readonly times: number | null }
  /** durationMs null: for as long as the caller waits. */
  | { readonly verb: 'stall'; readonly before: 'headers' | 'text'; readonly durationMs: number | null }
  | { readonly verb: 'break'; readonly afterWords: number; readonly times: number | null }
  | { readonly verb: 'recall' }
  | { readonly verb: 'instructions'; readonly marker: string | null };

export type ParsedPrompt =
  | { readonly kind: 'script'; readonly steps: readonly Step[] }
  | { readonly kind: 'mistake'; readonly line: number; readonly problem: string }
  /** Not a script at all. */
  | { readonly kind: 'chat' };

type Verb = Step['verb'];

export const verbForms: Readonly<Record<Verb, string>> = {
  run: 'run: ls -la',
  write: 'write: path/to/file: content   (or `write: path <<END`, lines, `END`)',
  say: 'say: a text',
  stream: 'stream: 200 words at 20 ms',
  ask: 'ask: a command that needs an approval',
  think: 'think: a thought',
  wait: 'wait: 500 ms',
  fail: `fail: 500   (a status, or rate_limit, quota, auth, overloaded, context; \`, 2 times\` for the first two only)`,
  stall: 'stall: 10 s   (`stall` for ever, `stall headers` before the answer begins)',
  break: 'break: after 5 words   (once a turn; `, 2 times`, `, always`)',
  recall: 'recall   (the earlier prompts of the session)',
  instructions: 'instructions   (what AGENTS.md says; `instructions: WORD` from that word on)',
};

const bareVerbs: ReadonlySet<string> = new Set(['stall', 'break', 'recall', 'instructions']);

const namedFailures: Readonly<Record<string, DemoFailure>> = {
  rate_limit: { kind: 'status', status: 429, code: 'rate_limit_exceeded' },
  quota: { kind: 'status', status: 429, code: 'insufficient_quota' },
  auth: { kind: 'status', status: 401, code: 'invalid_api_key' },
  overloaded: { kind: 'status', status: 503, code: 'server_is_overloaded' },
  // Codex 0.169 recognises this one in the stream only.
  context: { kind: 'event', code: 'context_length_exceeded' },
};

const maxSteps = 1000;
const maxWords = 100_000;
const maxDurationMs = 24 * 60 * 60 * 1000;

class Mistake extends Error {}

export function parsePrompt(prompt: string): ParsedPrompt {
  const lines = prompt.replaceAll('\r\n', '\n').split('\n');
  const first = lines.find((line) => line.trim() !== '');
  if (first === undefined || splitVerb(first) === null) return { kind: 'chat' };

  const steps: Step[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? '';
    if (line.trim() === '') {
      at += 1;
      continue;
    }
    try {
      const parsed = parseStep(line, lines.slice(at + 1));
      steps.push(parsed.step);
      if (steps.length > maxSteps) throw new Mistake(`a script has at most ${maxSteps} steps`);
      at += 1 + parsed.linesTaken;
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      return { kind: 'mistake', line: at + 1, problem: error.message };
    }
  }
  return { kind: 'script', steps };
}

function splitVerb(line: string): { verb: Verb; rest: string } | null {
  const match = /^\s*([a-z]+)(?:\s*:\s?(.*)|\s+(headers)\s*(?::\s*(.*))?|\s*)$/i.exec(line);
  const verb = match?.[1]?.toLowerCase();
  if (match === null || verb === undefined || !Object.hasOwn(verbForms, verb)) return null;
  if (match[3] !== undefined) return verb === 'stall' ? { verb, rest: `headers ${match[4] ?? ''}`.trim() } : null;
  if (match[2] === undefined && !bareVerbs.has(verb)) return null;
  return { verb: verb as Verb, rest: match[2] ?? '' };
}

function parseStep(line: string, following: readonly string[]): { step: Step; linesTaken: number } {
  const split = splitVerb(line);
  if (split === null) {
    throw new Mistake(
      `"${line.trim().slice(0, 60)}" is no step; a line begins with ${Object.keys(verbForms).join(', ')}`,
    );
  }
  const { verb, rest } = split;
  const block = takeBlock(rest, following);
  const linesTaken = block === null ? 0 : block.lines.length + 1;

  switch (verb) {
    case 'run':
    case 'ask': {
      // `<<END` alone: the lines are the command. Behind a command it is the shell's own heredoc, kept whole.
      const command = block === null ? rest : block.before === '' ? block.lines.join('\n') : shellHeredoc(rest, block);
      return { step: { verb, command: required(command, verb) }, linesTaken };
    }
    case 'write':
      return { step: parseWrite(rest, block), linesTaken };
    case 'say':
    case 'think': {
      const text = block !== null && block.before === '' ? block.lines.join('\n') : rest;
      return { step: { verb, text: required(text, verb) }, linesTaken: text === rest ? 0 : linesTaken };
    }
    case 'stream':
    case 'wait':
    case 'fail':
    case 'stall':
    case 'break':
    case 'recall':
    case 'instructions':
      return { step: parseShortStep(verb, rest.trim()), linesTaken: 0 };
  }
}

type Block = { readonly before: string; readonly word: string; readonly lines: readonly string[] };

/** The lines up to the word that `<<WORD` at the end of a line names; null when there is none. */
function takeBlock(rest: string, following: readonly string[]): Block | null {
  const match = /^(.*?)\s*<<-?\s*(['"]?)([A-Za-z_]\w*)\2\s*$/.exec(rest);
  if (match === null) return null;
  const word = match[3] ?? '';
  const end = following.indexOf(word);
  if (end < 0) throw new Mistake(`the lines after <<${word} need a line "${word}" at their end`);
  return { before: (match[1] ?? '').trim(), word, lines: following.slice(0, end) };
}

function shellHeredoc(rest: string, block: Block): string {
  return [rest, ...block.lines, block.word].join('\n');
}

function parseWrite(rest: string, block: Block | null): Step {
  if (block !== null) {
    const path = block.before.replace(/:$/, '').trim();
    return { verb: 'write', path: required(path, 'write'), content: block.lines.join('\n') };
  }
  const match = /^\s*(.+?)\s*:(?:\s(.*))?$/.exec(rest);
  if (match === null) throw new Mistake(`allowed is \`${verbForms.write}\``);
  return { verb: 'write', path: required(match[1] ?? '', 'write'), content: match[2] ?? '' };
}

function parseShortStep(
  verb: 'stream' | 'wait' | 'fail' | 'stall' | 'break' | 'recall' | 'instructions',
  rest: string,
): Step {
  const wrong = new Mistake(`allowed is \`${verbForms[verb]}\``);
  switch (verb) {
    case 'stream': {
      const match = /^(\d+)(?:\s+words?)?(?:\s+(?:at|every)\s+(.+))?$/i.exec(rest);
      const words = Number(match?.[1]);
      if (match === null || words < 1 || words > maxWords) throw wrong;
      return { verb, words, intervalMs: match[2] === undefined ? 0 : durationMs(match[2], wrong) };
    }
    case 'wait':
      return { verb, durationMs: durationMs(rest, wrong) };
    case 'fail': {
      const { what, times } = splitTimes(rest, wrong);
      const named = namedFailures[what.toLowerCase()];
      if (named !== undefined) return { verb, failure: named, times };
      if (!/^[45]\d\d$/.test(what)) throw wrong;
      return { verb, failure: { kind: 'status', status: Number(what), code: `demo_${what}` }, times };
    }
    case 'stall': {
      const before = /^headers\b/i.test(rest) ? 'headers' : 'text';
      const duration = rest.replace(/^headers\b/i, '').trim();
      return { verb, before, durationMs: duration === '' ? null : durationMs(duration, wrong) };
    }
    case 'break': {
      const { what, times, isGiven } = splitTimes(rest, wrong);
      const match = /^(?:after\s+(\d+)\s+words?)?$/i.exec(what);
      const afterWords = Number(match?.[1] ?? 0);
      if (match === null || afterWords > maxWords) throw wrong;
      return { verb, afterWords, times: isGiven ? times : 1 };
    }
    case 'recall':
      if (rest !== '') throw wrong;
      return { verb };
    case 'instructions':
      return { verb, marker: rest === '' ? null : rest };
  }
}

function splitTimes(rest: string, wrong: Mistake): { what: string; times: number | null; isGiven: boolean } {
  const match = /^(.*?)(?:(?:^|[\s,]+)(?:(\d+)\s+times?|(once)|(always)))?$/i.exec(rest);
  if (match === null) throw wrong;
  const isGiven = match[2] !== undefined || match[3] !== undefined || match[4] !== undefined;
  const times = match[2] !== undefined ? Number(match[2]) : match[3] !== undefined ? 1 : null;
  return { what: (match[1] ?? '').replace(/,\s*$/, '').trim(), times, isGiven };
}

function durationMs(text: string, wrong: Mistake): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|sec|seconds?|m|min|minutes?)$/i.exec(text.trim());
  if (match === null) throw wrong;
  const unit = (match[2] ?? '').toLowerCase();
  const factor = unit === 'ms' ? 1 : unit.startsWith('s') ? 1000 : 60_000;
  const ms = Number(match[1]) * factor;
  if (ms > maxDurationMs) throw wrong;
  return ms;
}

function required(text: string, verb: Verb): string {
  if (text.trim() === '') throw new Mistake(`allowed is \`${verbForms[verb]}\``);
  return text;
}
