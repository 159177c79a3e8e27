// JSON from outside as one object, or a refusal in words. Looked over before it is parsed: what is nested
// for its own sake or has a million values costs memory in the parser; of a key that stands twice, two
// readers see two values.

import { ServiceError } from '../core/errors.ts';

/** Our own bodies have 3. */
const maxDepth = 64;
/** Our own bodies have some 1,100. */
const maxValues = 10_000;
const maxShownName = 64;

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

type Frame = {
  /** null for an array. */
  readonly keys: Set<string> | null;
  /** Under which it stands; empty in an array. */
  readonly name: string;
  latestKey: string;
};

/** Wider for who has shown that it is of the fleet: records hold what others have put into them. */
export type JsonBounds = { readonly depth: number; readonly values: number };

export function parseJsonObject(
  text: string,
  what: 'body' | 'frame',
  bounds: JsonBounds = { depth: maxDepth, values: maxValues },
): Record<string, unknown> {
  lookOver(text, what, bounds);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal(`The ${what} is not valid JSON.`);
  }
  if (!isJsonObject(value)) throw refusal(`The ${what} must be a JSON object.`);
  return value;
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One pass over text that need not be JSON: about 1 ms for a million characters. */
function lookOver(text: string, what: string, { depth, values: mostValues }: JsonBounds): void {
  const frames: Frame[] = [];
  let top: Frame | undefined;
  let isKeyNext = false;
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case quote: {
        const end = endOfString(text, at);
        if (isKeyNext && top !== undefined) takeKey(top, text.slice(at, end + 1), what);
        isKeyNext = false;
        at = end;
        break;
      }
      case openBrace:
      case openBracket: {
        const isObject = text.charCodeAt(at) === openBrace;
        if (frames.length >= depth) throw refusal(`The ${what} is nested more than ${depth} deep.`);
        top = { keys: isObject ? new Set() : null, name: top?.latestKey ?? '', latestKey: '' };
        frames.push(top);
        isKeyNext = isObject;
        values += 1;
        break;
      }
      case closeBrace:
      case closeBracket:
        frames.pop();
        top = frames.at(-1);
        isKeyNext = false;
        break;
      case comma:
        isKeyNext = top !== undefined && top.keys !== null;
        values += 1;
        break;
    }
    if (values > mostValues) throw refusal(`The ${what} has more than ${mostValues} values.`);
  }
}

/** The place of the closing quote, or of the last character where there is none. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === quote) return at;
    if (code === backslash) at += 1;
  }
  return text.length - 1;
}

function takeKey(frame: Frame, source: string, what: string): void {
  const key = nameIn(source);
  if (frame.keys?.has(key) === true) throw refusal(`The ${what} has the key ${shown(key)} twice.`);
  frame.keys?.add(key);
  frame.latestKey = key;
  // What is copied key by key into another object would change what that object is.
  if (key === '__proto__' || (key === 'prototype' && frame.name === 'constructor')) {
    throw refusal(`The ${what} has the key ${shown(key)}, which is not taken.`);
  }
}

/** `"\u0061"` and `"a"` are one key. What is no JSON string is left to the parser. */
function nameIn(source: string): string {
  if (!source.includes('\\')) return source.slice(1, -1);
  try {
    return String(JSON.parse(source));
  } catch {
    return source;
  }
}

function shown(key: string): string {
  const text = key.length <= maxShownName ? key : `${key.slice(0, maxShownName)}…`;
  return JSON.stringify(text.toWellFormed());
}

function refusal(message: string): ServiceError {
  return new ServiceError('invalid_json', {}, { message });
}
