// A message that can never be handled, as it goes to the dead-letter topic: what it was, and beside it why and
// from where, in names like those that Pub/Sub itself gives what its dead-letter policy moves.

import type { IncomingMessage, OutgoingMessage } from '../../contracts/message-source.ts';
import { toTimestamp } from '../../core/clock.ts';

const prefix = 'CodexFleetDeadLetter';

/** Of Pub/Sub: attributes of a message, bytes of the value of one. */
const mostAttributes = 100;
const mostValueBytes = 1_024;

export function deadLetterOf(message: IncomingMessage, reason: string, subscription: string): OutgoingMessage {
  const ours = {
    [`${prefix}Reason`]: cut(reason),
    [`${prefix}SourceMessageId`]: message.id,
    [`${prefix}SourceSubscription`]: cut(subscription),
    [`${prefix}SourceDeliveryCount`]: String(message.deliveryAttempt),
    [`${prefix}SourceTopicPublishTime`]: toTimestamp(message.publishedAt),
  };
  // Some of its own are left out where there is no room for all: better than a message that cannot be put aside.
  // Names that begin so are Google's, and refused where somebody else publishes them.
  const own = Object.entries(message.attributes).filter(([name]) => !(name in ours) && !name.startsWith('goog'));
  const kept = own.slice(0, mostAttributes - Object.keys(ours).length);
  return { data: message.data, attributes: { ...Object.fromEntries(kept), ...ours }, orderingKey: message.orderingKey };
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= mostValueBytes) return text;
  // Room for the mark, and for the two bytes by which a broken last character may grow.
  return `${bytes.subarray(0, mostValueBytes - 6).toString('utf8')}…`;
}
