// Reads what a message says: the request for a job in its body, plain or wrapped in a CloudEvent, and the key by
// which a second copy of it is recognised. Whether the request is one that we take is not decided here.

import type { IncomingMessage } from '../../contracts/message-source.ts';
import { ServiceError } from '../../core/errors.ts';
import { decodeUtf8 } from '../../http/json-body.ts';
import { parseJsonObject } from '../../http/json-text.ts';

/** The first names the kind, so that no key of one kind is taken for one of another. */
export type MessageKey =
  | readonly ['key', string]
  | readonly ['event', string, string]
  | readonly ['message', string, string];

export type JobMessage = { readonly key: MessageKey; readonly value: unknown };

const structuredType = 'application/cloudevents+json';
export function readJobMessage(
  message: IncomingMessage,
  { maxBodyBytes, subscription }: { readonly maxBodyBytes: number; readonly subscription: string },
): JobMessage {
  if (message.data.byteLength > maxBodyBytes)
    throw new ServiceError('payload_too_large', { limit_bytes: maxBodyBytes });
  const attributes = lowerCased(message.attributes);
  const contentType = attributes.get('content-type') ?? attributes.get('ce-datacontenttype') ?? 'application/json';
  const isStructured = mediaTypeOf(contentType) === structuredType;
  const event = isStructured ? parseJsonObject(decodeUtf8(message.data), 'body') : null;
  const id = event === null ? attributes.get('ce-id') : event['id'];
  const source = event === null ? attributes.get('ce-source') : event['source'];
  const version = event === null ? attributes.get('ce-specversion') : (event['specversion'] ?? '');
  if (version !== undefined && (typeof version !== 'string' || !/^1\.\d+$/.test(version)))
    throw invalid('specversion', 'is not that of a CloudEvent 1.0');
  return {
    key: keyOf(attributes.get('idempotency_key'), source, id, [subscription, message.id]),
    value: event === null ? bodyValue(message.data, contentType) : eventValue(event),
  };
}

function keyOf(
  key: string | undefined,
  source: unknown,
  id: unknown,
  [subscription, messageId]: readonly [string, string],
): MessageKey {
  if (key !== undefined) {
    if (key === '') throw invalid('idempotency_key', 'must not be empty');
    return ['key', key];
  }
  if (id === undefined && source === undefined) return ['message', subscription, messageId];
  // The id of an event is unique within its source alone.
  if (typeof id !== 'string' || id === '') throw invalid('id', 'of the CloudEvent must be a text that is not empty');
  if (typeof source !== 'string' || source === '')
    throw invalid('source', 'of the CloudEvent must be a text that is not empty');
  return ['event', source, id];
}

function eventValue(event: Readonly<Record<string, unknown>>): unknown {
  const { data, data_base64: encoded, datacontenttype: contentType = 'application/json' } = event;
  if (typeof contentType !== 'string') throw invalid('datacontenttype', 'must be a text');
  if (encoded !== undefined) {
    if (typeof encoded !== 'string' || data !== undefined)
      throw invalid('data_base64', 'must be a text, and without data beside it');
    return bodyValue(Buffer.from(encoded, 'base64'), contentType);
  }
  if (data === undefined) throw invalid('data', 'of the CloudEvent is missing');
  return bodyOrText(data, contentType);
}

/** JSON stands in the event as it is; any other type as a text. */
function bodyOrText(data: unknown, contentType: string): unknown {
  if (isJson(mediaTypeOf(contentType))) return data;
  if (typeof data !== 'string') throw invalid('data', 'of the CloudEvent is not of its datacontenttype');
  return bodyValue(Buffer.from(data), contentType);
}

function bodyValue(data: Uint8Array, contentType: string): unknown {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === 'text/plain') return { prompt: decodeUtf8(data) };
  if (!isJson(mediaType)) throw new ServiceError('unsupported_media_type', { content_type: contentType.slice(0, 128) });
  return parseJsonObject(decodeUtf8(data), 'body');
}

function isJson(mediaType: string): boolean {
  return mediaType === 'application/json' || mediaType.endsWith('+json');
}

function mediaTypeOf(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

/** Publishers write `Content-Type` as well as `content-type`. */
function lowerCased(attributes: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(attributes).map(([name, value]) => [name.toLowerCase(), value]));
}

function invalid(field: string, message: string): ServiceError {
  return new ServiceError('invalid_request', { errors: [{ field, message }] });
}
