// How much is told to those outside: receivers of webhooks and of messages take no more than the outbox does, which
// measures what it is given as JSON in UTF-8.

/** Of a final message. */
export const maxNoticeCharacters = 64 * 1024;
/** Of all that a notice tells; a little under what an outbox takes. */
export const maxNoticeBytes = 240_000;

/** The longest beginning, of whole characters, that has room beside the rest. */
export function cutNotice(text: string, rest: object): { readonly text: string; readonly isCut: boolean } {
  let bytes = maxNoticeBytes;
  for (const character of JSON.stringify(rest)) bytes -= utf8BytesOf(character);
  let end = 0;
  for (const character of text) {
    bytes -= jsonBytesOf(character);
    if (bytes < 0 || end + character.length > maxNoticeCharacters) return { text: text.slice(0, end), isCut: true };
    end += character.length;
  }
  return { text, isCut: false };
}

/** For what is usually a sentence. */
export function cutSentence(text: string, mostCharacters: number): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters).toWellFormed()}…`;
}

/** As JSON has it: control characters and halves of a character are escaped, as quotes and backslashes are. */
function jsonBytesOf(character: string): number {
  const code = character.charCodeAt(0);
  if (code < 0x20 || (character.length === 1 && code >= 0xd800 && code <= 0xdfff)) return 6;
  return code === 0x22 || code === 0x5c ? 2 : utf8BytesOf(character);
}

function utf8BytesOf(character: string): number {
  const code = character.charCodeAt(0);
  if (character.length === 2) return 4;
  return code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
}
