// Takes the real key out of texts that others see. Providers echo keys in error messages, whole or
// with a masked middle.

const replacement = '[key removed]';
/** OpenAI's form, masked or not. */
const keyPattern = /\bsk-[A-Za-z0-9_*.-]{4,}/g;

export type KeyScrubber = (text: string) => string;

export function createKeyScrubber(apiKey: string | null): KeyScrubber {
  return (text) => {
    const withoutKey = apiKey === null || apiKey === '' ? text : text.replaceAll(apiKey, replacement);
    return withoutKey.replace(keyPattern, replacement);
  };
}
